/**
 * @file Numbers that both sides make for themselves, and a fingerprint by which their results are compared.
 *
 * `peer/kernels.py` holds the same two functions; a row is only as good as the proof that both sides computed the
 * same thing.
 */
import { kernels } from '../../src/tensor/device.js';

/** A number in [-1, 1) for index `i` of the sequence `seed` (the mixer lowbias32 of Chris Wellons). */
export function hashed(i: number, seed: number): number {
  let x = (i + Math.imul(seed, 0x9e3779b9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1;
}

/** A buffer of the device with `length` numbers of the sequence `seed`. */
export function input(length: number, seed: number): Float32Array {
  const values = kernels().allocate(length);
  for (let i = 0; i < length; i++) values[i] = hashed(i, seed);
  return values;
}

/** Sum, Euclidean norm, and the product with a fixed sequence, which sees a permutation. */
export type Digest = readonly [sum: number, norm: number, product: number];

export function digest(values: Float32Array): Digest {
  let [sum, squares, product] = [0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    sum += value;
    squares += value * value;
    product += value * Math.fround(hashed(i, 99));
  }
  return [sum, Math.sqrt(squares), product];
}

/** Whether two digests are those of one result, to within the rounding of float32 sums in another order. */
export function agree(ours: Digest, theirs: Digest): boolean {
  const tolerance = 1e-3 * Math.max(ours[1], theirs[1], 1e-30);
  const sumTolerance = tolerance + 1e-4 * Math.max(Math.abs(ours[0]), Math.abs(theirs[0]));
  return (
    Math.abs(ours[0] - theirs[0]) <= sumTolerance &&
    Math.abs(ours[1] - theirs[1]) <= tolerance &&
    Math.abs(ours[2] - theirs[2]) <= tolerance
  );
}
