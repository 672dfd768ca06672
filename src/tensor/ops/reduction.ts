/**
 * @file Sums, means and maxima over any axes, on the tape.
 */
import { ShapeError } from '../../base/errors.js';
import { gathered, reductions } from '../broadcast.js';
import { kernels } from '../device.js';
import { BinaryKind } from '../kinds.js';
import type { BroadcastAxis, ReductionForm } from '../kernels.js';
import { release, take } from '../pool.js';
import { shapeText, sizeOf } from '../shape.js';
import { contribute, record } from '../tape.js';
import { Tensor } from '../tensor.js';

export interface ReductionOptions {
  /** Axes to reduce, -1 being the last; all when left out, none when empty. */
  readonly axes?: readonly number[];
  /** Keep reduced axes, with extent 1. Default false. */
  readonly keepDims?: boolean;
}

/** Sum over axes. @throws ShapeError for an axis that is not there or is named twice */
export function sum(x: Tensor, options: ReductionOptions = {}): Tensor {
  return total('sum', x, options, 1);
}

/** Mean over axes. @throws ShapeError as {@link sum} */
export function mean(x: Tensor, options: ReductionOptions = {}): Tensor {
  const kept = keptAxes('mean', x, options);
  const count = sizeOf(x.shape.filter((_, axis) => !kept[axis]));
  return total('mean', x, options, 1 / count);
}

/**
 * Largest value over axes; NaN where there is one. The gradient goes to the first place of the largest value in
 * row-major order, or to that of the first NaN. @throws ShapeError as {@link sum}
 */
export function max(x: Tensor, options: ReductionOptions = {}): Tensor {
  const kept = keptAxes('max', x, options);
  const forms = formsOf(x, kept);
  // The maxima of all but the last pass, which the gradient goes back through: innermost axes first, so that the
  // first of the first is the first in row-major order.
  const between = forms.slice(0, -1).map(({ outer, inner }) => Tensor.temporary([outer * inner]));
  const y: Tensor = record(
    'max',
    [x],
    resultShape(x, kept, options),
    (out) => {
      if (forms.length === 0) out.set(x.data);
      forms.forEach((form, i) =>
        kernels().reduceMaximum(form, (between[i - 1] ?? x).data, between[i]?.data ?? out),
      );
    },
    (dy) =>
      contribute(x, (dx) => {
        if (forms.length === 0) dx.set(dy);
        let slope = dy;
        for (let i = forms.length - 1; i >= 0; i--) {
          const form = forms[i] as ReductionForm;
          const to = i === 0 ? dx : take(form.outer * form.reduced * form.inner);
          const from = (between[i - 1] ?? x).data;
          kernels().reduceMaximumGradient(form, from, (between[i] ?? y).data, slope, to);
          if (slope !== dy) release(slope);
          slope = to;
        }
      }),
    { tensors: [x, ...between], output: true },
  );
  return y;
}

/** scale times the sum over axes. */
function total(op: string, x: Tensor, options: ReductionOptions, scale: number): Tensor {
  const kept = keptAxes(op, x, options);
  const forms = formsOf(x, kept);
  return record(
    op,
    [x],
    resultShape(x, kept, options),
    (y) => {
      if (forms.length === 0) y.set(x.data);
      let from = x.data;
      forms.forEach((form, i) => {
        const last = i === forms.length - 1;
        const sums = last ? y : take(form.outer * form.inner);
        kernels().reduceSum(form, last ? scale : 1, from, sums);
        if (from !== x.data) release(from);
        from = sums;
      });
    },
    (dy) => contribute(x, (dx) => repeat(x, kept, scale, dy, dx)),
    { tensors: [], output: false },
  );
}

/** dx = scale times dy, repeated along the axes that are not kept. */
function repeat(
  x: Tensor,
  kept: readonly boolean[],
  scale: number,
  dy: Float32Array,
  dx: Float32Array,
): void {
  const axes: BroadcastAxis[] = x.shape.map((extent, axis) => ({
    extent,
    a: kept[axis] as boolean,
    b: false,
  }));
  const factor = take(1);
  factor[0] = scale;
  kernels().binary(BinaryKind.Multiply, gathered(axes), dy, factor, dx);
  release(factor);
}

function formsOf(x: Tensor, kept: readonly boolean[]): readonly ReductionForm[] {
  return reductions(x.shape.map((extent, axis) => ({ extent, kept: kept[axis] as boolean })));
}

function resultShape(
  x: Tensor,
  kept: readonly boolean[],
  { keepDims = false }: ReductionOptions,
): readonly number[] {
  return keepDims
    ? x.shape.map((extent, axis) => (kept[axis] === true ? extent : 1))
    : x.shape.filter((_, axis) => kept[axis]);
}

/** For each axis whether it stays. */
function keptAxes(op: string, x: Tensor, { axes }: ReductionOptions): readonly boolean[] {
  const rank = x.shape.length;
  const kept = x.shape.map(() => axes !== undefined);
  for (const axis of axes ?? []) {
    const at = axis < 0 ? axis + rank : axis;
    if (!Number.isInteger(axis) || at < 0 || at >= rank)
      throw new ShapeError(`${op}: ${shapeText(x.shape)} has no axis ${axis}`);
    if (!kept[at]) throw new ShapeError(`${op}: axis ${axis} of ${shapeText(x.shape)} is named twice`);
    kept[at] = false;
  }
  return kept;
}
