/**
 * @file Broadcasting as NumPy does it: shapes are aligned at their last axes, and an axis of extent 1 or none repeats
 * along that of the other operand. Axes are gathered into as few loops as there can be.
 */
import { ShapeError } from '../base/errors.js';
import type { BroadcastAxis, ReductionForm } from './kernels.js';
import { shapeText, sizeOf } from './shape.js';

interface Shaped {
  readonly shape: readonly number[];
}

/** How two operands meet: the shape of the result, and its loops. */
export interface Broadcast {
  readonly shape: readonly number[];
  /** Outermost first; axes of extent 1 are left out, neighbours that belong to the same operands are one loop. */
  readonly axes: readonly BroadcastAxis[];
}

/** @throws ShapeError naming the op and both shapes when an axis has two different extents, neither of them 1 */
export function broadcast(op: string, a: Shaped, b: Shaped): Broadcast {
  const rank = Math.max(a.shape.length, b.shape.length);
  const extentOf = (shape: readonly number[], axis: number): number => shape[axis - rank + shape.length] ?? 1;
  const axes = Array.from({ length: rank }, (_, axis) => {
    const [left, right] = [extentOf(a.shape, axis), extentOf(b.shape, axis)];
    if (left !== right && left !== 1 && right !== 1)
      throw new ShapeError(
        `${op}: shapes ${shapeText(a.shape)} and ${shapeText(b.shape)} do not fit: ${left} and ${right} along an axis`,
      );
    const extent = left === 1 ? right : left;
    return { extent, a: left === extent, b: right === extent };
  });
  return { shape: axes.map(({ extent }) => extent), axes: gathered(axes) };
}

/** The fewest loops over the same elements. */
export function gathered(axes: readonly BroadcastAxis[]): readonly BroadcastAxis[] {
  const loops: BroadcastAxis[] = [];
  for (const axis of axes) {
    const last = loops.at(-1);
    if (axis.extent === 1) continue;
    if (last?.a === axis.a && last.b === axis.b)
      loops[loops.length - 1] = { ...axis, extent: last.extent * axis.extent };
    else loops.push(axis);
  }
  return loops;
}

/** A reduction of [outer, reduced, inner] over its middle axis for each run of axes to be summed over, last run first. */
export function reductions(
  axes: readonly { readonly extent: number; readonly kept: boolean }[],
): readonly ReductionForm[] {
  const runs: { extent: number; kept: boolean }[] = [];
  for (const { extent, kept } of axes) {
    const last = runs.at(-1);
    if (extent === 1) continue;
    if (last?.kept === kept) last.extent *= extent;
    else runs.push({ extent, kept });
  }
  const forms: ReductionForm[] = [];
  let inner = 1;
  runs.forEach((_, i) => {
    const at = runs.length - 1 - i;
    const { extent, kept } = runs[at] as { extent: number; kept: boolean };
    if (kept) inner *= extent;
    else
      forms.push({
        outer: sizeOf(runs.slice(0, at).map((run) => run.extent)),
        reduced: extent,
        inner,
      });
  });
  return forms;
}
