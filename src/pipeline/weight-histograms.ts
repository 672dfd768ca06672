/**
 * @file How the weights of each family are distributed: near-Gaussian for conv, Laplacian for add, a grid for shift.
 */
import { stemName } from '../spaces/blocks/ends.js';
import type { Network } from '../spaces/network.js';
import type { WeightHistogram } from './result.js';

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
