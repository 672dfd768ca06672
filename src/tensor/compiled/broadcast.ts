/**
 * @file Calls of the compiled elementwise ops: kinds by their number, axes as extents and bits.
 */
import { BinaryGradientKind, BinaryKind, UnaryKind } from '../kinds.js';
import type { BroadcastAxis } from '../kernels.js';
import { sizeOf } from '../shape.js';
import type { CompiledOp } from './kernels.js';

/** Axes that one compiled call takes (SA_AXES in native/shiftadd.h). */
const mostAxes = 6;

const unaryKinds = Object.values(UnaryKind);
const binaryKinds = Object.values(BinaryKind);
const gradientKinds = Object.values(BinaryGradientKind);

export const unaryNumber = (kind: UnaryKind): number => unaryKinds.indexOf(kind);
export const binaryNumber = (kind: BinaryKind): number => binaryKinds.indexOf(kind);
export const binaryGradientNumber = (kind: BinaryGradientKind): number =>
  binaryKinds.length + gradientKinds.indexOf(kind);

/**
 * Calls `op` on operands a and b with the axes they have and further buffers that have all axes; once for each place
 * along the outer axes that one call cannot take.
 */
export function callBroadcast(
  op: CompiledOp,
  kind: number,
  axes: readonly BroadcastAxis[],
  a: Float32Array,
  b: Float32Array,
  whole: readonly Float32Array[],
): void {
  if (axes.length <= mostAxes) {
    const extents = new Array<number>(mostAxes).fill(1);
    let [hasA, hasB] = [0, 0];
    axes.forEach((axis, i) => {
      extents[i] = axis.extent;
      if (axis.a) hasA |= 1 << i;
      if (axis.b) hasB |= 1 << i;
    });
    op(a, b, ...whole, ...extents, hasA, hasB, kind);
    return;
  }
  const [first, ...inner] = axes as [BroadcastAxis, ...BroadcastAxis[]];
  const innerSize = (has: (axis: BroadcastAxis) => boolean): number =>
    sizeOf(inner.filter(has).map(({ extent }) => extent));
  const [sizeA, sizeB, size] = [
    innerSize((axis) => axis.a),
    innerSize((axis) => axis.b),
    innerSize(() => true),
  ];
  const part = (buffer: Float32Array, length: number, at: number): Float32Array =>
    buffer.subarray(at * length, (at + 1) * length);
  for (let at = 0; at < first.extent; at++)
    callBroadcast(
      op,
      kind,
      inner,
      part(a, sizeA, first.a ? at : 0),
      part(b, sizeB, first.b ? at : 0),
      whole.map((buffer) => part(buffer, size, at)),
    );
}
