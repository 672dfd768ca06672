/**
 * @file Reference maps by a tabulated odd function.
 */
import type { OddTable } from '../kernels.js';

/** y = outputScale * f(inputScale * x). */
export function oddTable(
  f: OddTable,
  inputScale: number,
  outputScale: number,
  x: Float32Array,
  y: Float32Array,
): void {
  for (let i = 0; i < x.length; i++) y[i] = outputScale * lookUp(f, inputScale * x[i]!)[0];
}

/** dx = outputScale * inputScale * f'(inputScale * x) * dy; returns the sum of f(inputScale * x) * dy. */
export function oddTableGradient(
  f: OddTable,
  inputScale: number,
  outputScale: number,
  x: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    const [value, slope] = lookUp(f, inputScale * x[i]!);
    sum += value * dy[i]!;
    dx[i] = outputScale * inputScale * slope * dy[i]!;
  }
  return sum;
}

/** f(z) and its slope there. */
function lookUp({ values, slopes, pointsPerUnit }: OddTable, z: number): [number, number] {
  if (Number.isNaN(z)) return [NaN, NaN];
  const magnitude = Math.abs(z);
  const point = Math.min(Math.floor(magnitude * pointsPerUnit), values.length - 1);
  const slope = slopes[point]!;
  return [Math.sign(z) * (values[point]! + slope * (magnitude - point / pointsPerUnit)), slope];
}
