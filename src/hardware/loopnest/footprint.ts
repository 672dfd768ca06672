/**
 * @file How many words a tile of a tensor has, and how many of them it shares with the same tile moved along.
 *
 * A tile covers a block of consecutive values of every dimension. Weights and outputs are boxes. An input tile is a
 * product over its axes; along a sliding axis the words are { stride p + r }, which is an interval when the kernel
 * part is at least as long as the stride, and otherwise a comb: the words between the teeth are not fetched.
 */
import { dim } from './problem.js';

/** Words of one sliding axis: `outputs` consecutive positions of P (or Q) and `taps` of R (or S). */
export function axisWords(outputs: number, taps: number, stride: number): number {
  return taps >= stride ? (outputs - 1) * stride + taps : outputs * taps;
}

/** Words of one sliding axis that a tile shares with itself moved by `shift` input words (either sign). */
export function axisOverlap(outputs: number, taps: number, stride: number, shift: number): number {
  if (taps >= stride) return Math.max(0, (outputs - 1) * stride + taps - Math.abs(shift));
  // Moving by a whole teeth and b words: a tooth's words land in tooth p + a or, past its end, in p + a + 1.
  const a = Math.floor(shift / stride);
  const b = shift - a * stride;
  return (
    Math.max(0, outputs - Math.abs(a)) * Math.max(0, taps - b) +
    Math.max(0, outputs - Math.abs(a + 1)) * Math.max(0, taps - (stride - b))
  );
}

/**
 * Words of a tile of a tensor.
 * @param tile extent by dimension, read from `offset` on
 */
export function tileWords(tensor: number, tile: ArrayLike<number>, offset: number, stride: number): number {
  const group = tile[offset + dim.G]!;
  switch (tensor) {
    case 0:
      return (
        group * tile[offset + dim.M]! * tile[offset + dim.C]! * tile[offset + dim.R]! * tile[offset + dim.S]!
      );
    case 1:
      return (
        group *
        tile[offset + dim.N]! *
        tile[offset + dim.C]! *
        axisWords(tile[offset + dim.P]!, tile[offset + dim.R]!, stride) *
        axisWords(tile[offset + dim.Q]!, tile[offset + dim.S]!, stride)
      );
    default:
      return (
        group * tile[offset + dim.N]! * tile[offset + dim.M]! * tile[offset + dim.P]! * tile[offset + dim.Q]!
      );
  }
}

/**
 * Number of different values of a i + b j for 0 <= i < m, 0 <= j < n: pairs (i, j) and (i + b', j - a') coincide,
 * where a' and b' are a and b without their common divisor, so each value is counted at the end of its chain.
 */
export function distinctOffsets(a: number, m: number, b: number, n: number): number {
  const divisor = greatestCommonDivisor(a, b);
  return m * n - Math.max(0, m - b / divisor) * Math.max(0, n - a / divisor);
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
