/**
 * @file Grids of integers for real numbers, v ~ scale * (code - zero), and the simulation of a grid in floats.
 *
 * Integer path and simulation round alike: v / scale is a float32 product with the reciprocal of the scale, rounded to the
 * nearest whole number, halves to even, as ONNX's Round does. Where the scale is a power of two the product is exact.
 */
import { record, contribute } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Codes from `least` to `most` that stand for scale * (code - zero). */
export interface Grid {
  readonly scale: number;
  /** The code of the real number zero. */
  readonly zero: number;
  readonly least: number;
  readonly most: number;
}

/** The smallest power of two that is not below `scale` > 0. */
export function powerOfTwoAbove(scale: number): number {
  let power = 2 ** Math.ceil(Math.log2(scale));
  while (power < scale) power *= 2;
  while (power / 2 >= scale) power /= 2;
  return power;
}

/** A scale that float32 holds exactly, so that stored and simulated grids are the same; a power of two on request. */
export function storableScale(scale: number, powerOfTwo: boolean): number {
  // A layer whose inputs and weights are all zero has codes of zero at any scale.
  if (!(scale > 0)) return 1;
  return powerOfTwo ? powerOfTwoAbove(scale) : Math.fround(scale);
}

/** Two's complement of `bits` bits around zero. */
export function signedGrid(scale: number, bits: number): Grid {
  return { scale, zero: 0, least: -(2 ** (bits - 1)), most: 2 ** (bits - 1) - 1 };
}

/** 0 to 2^bits - 1, for what is never negative. */
export function unsignedGrid(scale: number, bits: number): Grid {
  return { scale, zero: 0, least: 0, most: 2 ** bits - 1 };
}

/** The largest and the smallest real number of a grid. */
export function rangeOf({ scale, zero, least, most }: Grid): { readonly low: number; readonly high: number } {
  return { low: scale * (least - zero), high: scale * (most - zero) };
}

/** 1.5 * 2^23: adding it to a float32 below 2^22 leaves no place for a fraction. */
const roundingConstant = 12582912;
const safelyRounded = 2 ** 22;

/** The code of a float32 number. */
export function codeOf(value: number, { scale, zero, least, most }: Grid): number {
  const scaled = Math.fround(value * Math.fround(1 / scale));
  // NaN is no number of steps from anywhere; it becomes the least code like in any comparison that fails.
  const rounded =
    Math.abs(scaled) < safelyRounded
      ? Math.fround(scaled + roundingConstant) - roundingConstant
      : scaled > 0
        ? safelyRounded
        : -safelyRounded;
  return Math.max(least, Math.min(most, rounded + zero));
}

/** Codes of many numbers, as integers. */
export function codesOf(values: ArrayLike<number>, grid: Grid): Int32Array {
  return Int32Array.from(values, (value) => codeOf(value, grid));
}

/**
 * The numbers of `grid` nearest to those of x: what an integer layer sees of its input. Its gradient passes unchanged
 * where x lies within the grid (straight-through estimator) and is zero beyond.
 */
export function roundToGrid(x: Tensor, grid: Grid): Tensor {
  const { scale, zero, least, most } = grid;
  return record(
    'roundToGrid',
    [x],
    x.shape,
    (y) => {
      const inverse = Math.fround(1 / scale);
      const values = x.data;
      const [low, high] = [least - zero, most - zero];
      for (let i = 0; i < y.length; i++) {
        const scaled = Math.max(low, Math.min(high, Math.fround(values[i]! * inverse)));
        y[i] = (Math.fround(scaled + roundingConstant) - roundingConstant) * scale;
      }
    },
    (dy) => {
      const { low, high } = rangeOf(grid);
      contribute(x, (dx) => {
        for (let i = 0; i < dx.length; i++) dx[i] = x.data[i]! >= low && x.data[i]! <= high ? dy[i]! : 0;
      });
    },
    { tensors: [x], output: false },
  );
}
