/**
 * @file The sharing map of families whose weights are made of a sign and of bits that real values decide by their sign.
 *
 * With u a fixed part of the shared tensor's standard deviation, a shared value S gives the sign S / u and the values
 * |S| / u - border, one border per bit. With the borders between neighbouring levels the family then computes with S
 * rounded to its levels, in units of u. A batch norm takes the unit out again, so u is held fixed in the gradient.
 */
import { take } from '../tensor/pool.js';
import { give, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { SharingMap } from './contract.js';
import { isNegative, wordsOf } from './sign-bits.js';
import { deviationOf } from './statistics.js';

export interface Thresholds {
  /** u as a part of the standard deviation. */
  readonly unit: number;
  /** One border for each plane after that of the sign, in units of u. */
  readonly borders: readonly number[];
  /** The family's, see `OperatorFamily`. */
  effectiveWeights(stored: Float32Array): Float32Array;
}

export function thresholdSharing(thresholds: Thresholds): SharingMap {
  return {
    parameters: [],
    apply: (shared) => applyThresholds(shared, thresholds),
    /** Values that no shared one maps to, as those of a layer trained alone, give the level they stand for. */
    invert(stored, _, sharedStd) {
      const unit = thresholds.unit * sharedStd;
      const levels = thresholds.effectiveWeights(stored);
      const image = new Float32Array(stored.length);
      split(stored.subarray(0, levels.length), 1, thresholds.borders, image);
      const ofImage = thresholds.effectiveWeights(image);
      return levels.map((level, i) => unit * (level === ofImage[i] ? (stored[i] as number) : level));
    },
  };
}

/** Writes the planes of the values, in units of `unit`. */
function split(values: Float32Array, unit: number, borders: readonly number[], planes: Float32Array): void {
  const { length } = values;
  for (let i = 0; i < length; i++) planes[i] = (values[i] as number) / unit;
  borders.forEach((border, plane) => {
    const start = (plane + 1) * length;
    for (let i = 0; i < length; i++) planes[start + i] = Math.abs(values[i] as number) / unit - border;
  });
}

/** Gradient: dS = (dsign + sgn(S) sum of dbits) / u. */
function applyThresholds(shared: Tensor, { unit: part, borders }: Thresholds): Tensor {
  const unit = part * (deviationOf(shared.data) || 1);
  return record(
    'thresholds',
    [shared],
    [1 + borders.length, ...shared.shape],
    (planes) => split(shared.data, unit, borders, planes),
    (dPlanes) => {
      const { size } = shared;
      const words = wordsOf(shared.data);
      const dShared = take(size);
      for (let i = 0; i < size; i++) {
        let bits = 0;
        for (let at = i + size; at < dPlanes.length; at += size) bits += dPlanes[at] as number;
        const sign = 1 - 2 * isNegative(words[i] as number);
        dShared[i] = ((dPlanes[i] as number) + sign * bits) / unit;
      }
      give(shared, dShared);
    },
    { tensors: [shared], output: false },
  );
}
