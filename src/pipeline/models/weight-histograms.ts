/**
 * @file How the weights of each family are distributed: near-Gaussian for conv, Laplacian for add, a grid for shift.
 */
import { distributionOf, WeightLaw } from '../../operators/weight-laws.js';
import { stemName } from '../../spaces/blocks/ends.js';
import type { Network } from '../../spaces/network.js';
import type { Supernet } from '../../supernet/supernet.js';
import type { SupernetWeights, WeightHistogram } from '../run/result.js';

const bins = 61;

/** One histogram per family over the effective weights of the network's operator layers (all but the stem). */
export function weightHistograms(network: Network): readonly WeightHistogram[] {
  const byFamily = new Map<string, Float32Array[]>();
  for (const layer of network.operatorLayers) {
    if (layer.name === stemName) continue;
    const held = byFamily.get(layer.family.name) ?? [];
    byFamily.set(layer.family.name, [...held, layer.effectiveWeights()]);
  }
  return [...byFamily].map(([family, tensors]) => ({ family, ...histogram(tensors) }));
}

/**
 * The same of all that each family can see of a supernet, with how near it is to the two laws. Layers differ in scale by
 * their fan-in, and a mixture of scales has heavier tails than any of its parts: each tensor counts in units of its own
 * root mean square.
 */
export function weightsByFamily({ sharedLayers }: Supernet): readonly SupernetWeights[] {
  const byFamily = new Map<string, Float32Array[]>();
  for (const layer of sharedLayers)
    for (const family of layer.families) {
      const weights = layer.weightsOf(family);
      const size = Math.sqrt(weights.reduce((sum, value) => sum + value * value, 0) / weights.length) || 1;
      const held = byFamily.get(family.name) ?? [];
      byFamily.set(family.name, [...held, weights.map((value) => value / size)]);
    }
  return [...byFamily].map(([family, tensors]) => ({
    family,
    ...histogram(tensors),
    ...formOf(tensors),
  }));
}

/** Moments about zero and distances of all values together. */
function formOf(tensors: readonly Float32Array[]): Omit<SupernetWeights, keyof WeightHistogram> {
  const count = tensors.reduce((sum, { length }) => sum + length, 0);
  const values = new Float32Array(count);
  let at = 0;
  for (const tensor of tensors) {
    values.set(tensor, at);
    at += tensor.length;
  }
  values.sort();
  const moment = (of: (value: number) => number): number =>
    values.reduce((sum, value) => sum + of(value), 0) / count;
  const variance = moment((value) => value ** 2);
  const magnitude = moment(Math.abs);
  return {
    weights: count,
    excessKurtosis: variance > 0 ? moment((value) => value ** 4) / variance ** 2 - 3 : 0,
    gaussianDistance: distanceTo(WeightLaw.Gaussian, values, Math.sqrt(variance)),
    // The unit Laplacian has a mean magnitude of 1 / sqrt 2.
    laplacianDistance: distanceTo(WeightLaw.Laplacian, values, Math.SQRT2 * magnitude),
  };
}

/** The largest difference between the part of ascending values below a point and that of the law of this deviation. */
function distanceTo(law: WeightLaw, ascending: Float32Array, deviation: number): number {
  const { length } = ascending;
  let most = 0;
  ascending.forEach((value, i) => {
    const below = distributionOf(law, value / (deviation || 1));
    // Of equal values the first and the last one count.
    if (value !== ascending[i - 1]) most = Math.max(most, below - i / length);
    if (value !== ascending[i + 1]) most = Math.max(most, (i + 1) / length - below);
  });
  return most;
}

function histogram(tensors: readonly Float32Array[]): Pick<WeightHistogram, 'edges' | 'counts'> {
  let reach = 0;
  for (const values of tensors) for (const value of values) reach = Math.max(reach, Math.abs(value));
  reach ||= 1;
  const edges = Array.from({ length: bins + 1 }, (_, i) => reach * ((2 * i) / bins - 1));
  const counts = new Array<number>(bins).fill(0);
  for (const values of tensors)
    for (const value of values) {
      const bin = Math.min(bins - 1, Math.floor(((value / reach + 1) / 2) * bins));
      counts[bin] = (counts[bin] as number) + 1;
    }
  return { edges, counts };
}
