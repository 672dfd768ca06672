/**
 * @file The sharing map of families whose weights are made of a sign and of bits that real values decide by their sign.
 *
 * With u a fixed part of the shared tensor's standard deviation, a shared value S gives the sign S / u and the values
 * |S| / u - border, one border per bit. With the borders between neighbouring levels the family then computes with S
 * rounded to its levels, in units of u. A batch norm takes the unit out again, so u is held fixed in the gradient.
 */
import { kernels } from '../tensor/device.js';
import { UnaryKind } from '../tensor/kinds.js';
import { release, take } from '../tensor/pool.js';
import { give, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { InvertibleSharingMap } from './contract.js';
import { addScalar, multiply, planeOf } from './reparameterised.js';
import { deviationOf } from './statistics.js';

export interface Thresholds {
  /** u as a part of the standard deviation. */
  readonly unit: number;
  /** One border for each plane after that of the sign, in units of u. */
  readonly borders: readonly number[];
  /** The family's, see `OperatorFamily`. */
  effectiveWeights(stored: Float32Array): Float32Array;
}

export function thresholdSharing(thresholds: Thresholds): InvertibleSharingMap {
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
  const plane = (index: number): Float32Array => planeOf(planes, index, values.length);
  plane(0).set(values);
  kernels().scale(1 / unit, plane(0));
  borders.forEach((border, k) => {
    kernels().unary(UnaryKind.Absolute, 0, 0, plane(0), plane(k + 1));
    addScalar(plane(k + 1), -border, plane(k + 1));
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
      const [dShared, bits] = [take(size), take(size)];
      kernels().unary(UnaryKind.Sign, 0, 0, shared.data, dShared);
      bits.set(planeOf(dPlanes, 1, size));
      for (let k = 2; k <= borders.length; k++) kernels().axpy(1, planeOf(dPlanes, k, size), bits);
      multiply(dShared, bits, dShared);
      kernels().axpy(1, planeOf(dPlanes, 0, size), dShared);
      kernels().scale(1 / unit, dShared);
      release(bits);
      give(shared, dShared);
    },
    { tensors: [shared], output: false },
  );
}
