/**
 * @file What masks save: the operations of a network without the terms that were taken out of its sums.
 */
import { operationCount } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { layersOf } from '../../spaces/layers.js';
import type { Network } from '../../spaces/network.js';

/**
 * Primitive operations of one inference whose terms are in the sums. Every position of a map uses every weight once, so
 * those of a layer fall by the part of its mask that is zero.
 */
export function keptOperations(network: Pick<Network, 'architecture' | 'operatorLayers'>): number {
  const masks = new Map(network.operatorLayers.map(({ name, mask }) => [name, mask]));
  return layersOf(network.architecture, familyNamed).reduce((total, layer) => {
    const mask = masks.get(layer.name);
    const kept = mask === undefined ? 1 : mask.reduce((sum, value) => sum + value, 0) / mask.length;
    return total + Math.round(kept * operationCount(layer));
  }, 0);
}

/** Whether anything was taken out. */
export function isPruned({ operatorLayers }: Pick<Network, 'operatorLayers'>): boolean {
  return operatorLayers.some(({ mask }) => mask !== undefined);
}
