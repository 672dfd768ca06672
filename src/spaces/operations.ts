/**
 * @file Everything that runs in one inference of a network, as operations to be timed: the layers, the joins of the
 * blocks, the pooling.
 */
import { operationOf, OperationKind, type Operation } from '../hardware/measured/operation.js';
import { BlockKind, type Architecture } from './architecture.js';
import { layersOf, type FamilyCost } from './layers.js';

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
  const { stem, input, blocks } = architecture;
  const layers = layersOf(architecture, familyCost);
  const joins = blocks
    .filter(({ kind }) => kind === BlockKind.Residual)
    .map(({ name, inHeight, inWidth, stride, outChannels }) => ({
      name: `${name}.join`,
      operation: {
        kind: OperationKind.Join as const,
        batch: 1,
        height: Math.ceil(inHeight / stride),
        width: Math.ceil(inWidth / stride),
        channels: outChannels,
      },
      times: 1,
    }));
  const last = blocks.at(-1);
  const pool: Operation = {
    kind: OperationKind.Pool,
    batch: 1,
    height: Math.ceil((last?.inHeight ?? input.height) / (last?.stride ?? stem.stride)),
    width: Math.ceil((last?.inWidth ?? input.width) / (last?.stride ?? stem.stride)),
    channels: last?.outChannels ?? stem.channels,
  };
  return [
    ...layers.map((layer) => ({
      name: layer.name,
      operation: operationOf(layer),
      times: layer.copies ?? 1,
    })),
    ...joins,
    { name: 'pool', operation: pool, times: 1 },
  ];
}
