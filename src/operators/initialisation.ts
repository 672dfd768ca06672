/**
 * @file Initial weights that several families use.
 */
import type { Random } from '../base/random.js';
import type { LayerGeometry } from './contract.js';

/** Number of weights of a layer: k k (in / groups) out. */
export function weightCount(geometry: LayerGeometry): number {
  return geometry.kernel ** 2 * (geometry.inChannels / geometry.groups) * geometry.outChannels;
}

/** Inputs summed into one output. */
export function fanIn(geometry: LayerGeometry): number {
  return geometry.kernel ** 2 * (geometry.inChannels / geometry.groups);
}

/** N(0, 2 / fanIn): He et al. 2015, for layers followed by a ReLU. */
export function kaimingNormal(geometry: LayerGeometry, random: Random): Float32Array {
  const deviation = Math.sqrt(2 / fanIn(geometry));
  return Float32Array.from({ length: weightCount(geometry) }, () => deviation * random.normal());
}

/** U(-b, b) with b = 1 / sqrt(fanIn): the default of DeepShift's layers (Kaiming uniform with a = sqrt 5). */
export function kaimingUniform(geometry: LayerGeometry, random: Random): Float32Array {
  const bound = 1 / Math.sqrt(fanIn(geometry));
  return Float32Array.from({ length: weightCount(geometry) }, () => bound * (2 * random.uniform() - 1));
}

/** N(0, 1): AdderNet (CVPR'20). */
export function standardNormal(geometry: LayerGeometry, random: Random): Float32Array {
  return Float32Array.from({ length: weightCount(geometry) }, () => random.normal());
}
