/**
 * @file Reference reductions of x [outer, reduced, inner] over the middle axis.
 */
import type { ReductionForm } from '../kernels.js';

/** y = scale * sum x. */
export function reduceSum(form: ReductionForm, scale: number, x: Float32Array, y: Float32Array): void {
  eachColumn(form, (at, to) => {
    let sum = 0;
    for (let r = 0; r < form.reduced; r++) sum += x[at + r * form.inner]!;
    y[to] = scale * sum;
  });
}

/** y = sum a * b. */
export function reduceProducts(form: ReductionForm, a: Float32Array, b: Float32Array, y: Float32Array): void {
  eachColumn(form, (at, to) => {
    let sum = 0;
    for (let r = 0; r < form.reduced; r++) sum += a[at + r * form.inner]! * b[at + r * form.inner]!;
    y[to] = sum;
  });
}

/** y = max x, NaN where some x is. */
export function reduceMaximum(form: ReductionForm, x: Float32Array, y: Float32Array): void {
  eachColumn(form, (at, to) => {
    let most = -Infinity;
    for (let r = 0; r < form.reduced; r++) most = Math.max(most, x[at + r * form.inner]!);
    y[to] = most;
  });
}

/** dx = dy at the first x that is y, or the first that is NaN; else 0. */
export function reduceMaximumGradient(
  form: ReductionForm,
  x: Float32Array,
  y: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): void {
  eachColumn(form, (at, to) => {
    let taken = false;
    for (let r = 0; r < form.reduced; r++) {
      const value = x[at + r * form.inner]!;
      const hit: boolean = !taken && (value === y[to] || Number.isNaN(value));
      dx[at + r * form.inner] = hit ? dy[to]! : 0;
      taken ||= hit;
    }
  });
}

/** Calls `use` with the index of the first element of each column and of its result. */
function eachColumn({ outer, reduced, inner }: ReductionForm, use: (at: number, to: number) => void): void {
  for (let n = 0; n < outer; n++) for (let i = 0; i < inner; i++) use(n * reduced * inner + i, n * inner + i);
}
