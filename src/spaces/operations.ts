/**
 * @file Everything of weight that runs in one inference of a network, as operations to be timed: the layers, the joins of
 * the blocks, the pooling in front of the classifier. Norms and activations are timed with the layer in front of them.
 */
import {
  operationOf,
  OperationKind,
  type MapOperation,
  type Operation,
} from '../hardware/measured/operation.js';
import type { Architecture } from './architecture.js';
import { nodesOf } from './expand.js';
import { layersOf, type FamilyCost } from './layers.js';
import { NodeKind } from './nodes.js';

/** An operation and the name of the layer, join or pooling that it is. */
export interface NamedOperation {
  readonly name: string;
  readonly operation: Operation;
  /** How often it runs: the copies of a layer. */
  readonly times: number;
}

/** The operations of one inference at batch 1: the layers, then the joins, then the pooling. */
export function operationsOf(
  architecture: Architecture,
  familyCost: (family: string) => FamilyCost,
): readonly NamedOperation[] {
  const layers = layersOf(architecture, familyCost);
  const nodes = nodesOf(architecture);
  const maps = new Map(nodes.map((node) => [node.name, node]));
  const sizeOf = (name: string): Omit<MapOperation, 'kind'> => {
    const node = maps.get(name);
    return node === undefined
      ? { batch: 1, ...architecture.input }
      : { batch: 1, height: node.outHeight, width: node.outWidth, channels: node.outChannels };
  };
  const joins: NamedOperation[] = [];
  const pools: NamedOperation[] = [];
  for (const node of nodes) {
    if (node.kind !== NodeKind.Join && node.kind !== NodeKind.GlobalPool) continue;
    const isJoin = node.kind === NodeKind.Join;
    const kind = isJoin ? OperationKind.Join : OperationKind.Pool;
    const operation: MapOperation = { kind, ...sizeOf(node.inputs[0]!) };
    (isJoin ? joins : pools).push({ name: node.name, operation, times: 1 });
  }
  return [
    ...layers.map((layer) => ({
      name: layer.name,
      operation: operationOf(layer),
      times: layer.copies ?? 1,
    })),
    ...joins,
    ...pools,
  ];
}
