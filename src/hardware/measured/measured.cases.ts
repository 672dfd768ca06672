/**
 * @file Tables of made-up latencies with a known law, for tests only.
 */
import { Random } from '../../base/random.js';
import { arithmeticPrimitives, Primitive } from '../layer.js';
import { layerCounts } from './features.js';
import { operationKey, OperationKind, type LayerOperation, type Operation } from './operation.js';
import type { MeasuredRow } from './table.js';

export function toyLayer(part: Partial<LayerOperation> = {}): LayerOperation {
  const side = part.inHeight ?? 8;
  const stride = part.stride ?? 1;
  return {
    ...{ kind: OperationKind.Layer, primitive: Primitive.Multiply, fullyConnected: false, batch: 1 },
    ...{ inHeight: side, inWidth: side, inChannels: 8, kernel: 3 },
    ...{ outHeight: Math.ceil(side / stride), outWidth: Math.ceil(side / stride), outChannels: 8 },
    ...{ stride, groups: 1 },
    ...part,
  };
}

/** Different layers of every primitive of arithmetic, drawn by `seed`. */
export function toyLayers(count: number, seed: number): readonly LayerOperation[] {
  const random = Random.stream('toy layers', seed);
  const found = new Map<string, LayerOperation>();
  while (found.size < count) {
    const layer = toyLayer({
      primitive: random.pick(arithmeticPrimitives),
      inHeight: 4 + random.integer(29),
      inChannels: 4 * (1 + random.integer(16)),
      outChannels: 4 * (1 + random.integer(16)),
      kernel: random.pick([1, 3]),
      stride: random.pick([1, 2]),
    });
    found.set(operationKey(layer), layer);
  }
  return [...found.values()];
}

export function rowOf(operation: Operation, latencyMs: number): MeasuredRow {
  return { operation, passes: [{ medianMs: latencyMs, spreadMs: 0 }] };
}

const rates: Readonly<Record<Primitive, number>> = {
  [Primitive.Multiply]: 1e-8,
  [Primitive.Shift]: 1.5e-8,
  [Primitive.Add]: 2e-8,
  [Primitive.Move]: 5e-9,
};

/** A law that the linear predictor can follow: a start, operations in whole vectors, and what moves. */
export function linearLaw(layer: LayerOperation): number {
  const [, vectors, weights, inputs, outputs] = layerCounts(layer);
  return 0.002 + rates[layer.primitive] * vectors! + 1e-7 * weights! + 2e-7 * (inputs! + outputs!);
}
