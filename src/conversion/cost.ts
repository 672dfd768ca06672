/**
 * @file What converted layers cost: the description that a cost model prices, and the bits that are stored.
 *
 * A layer of K powers of two is K shifts and accumulations per weight. One of q binary codes is q signed additions per
 * weight, and q scalings of the sum for each group of a filter, which are shifts where the scales are sums of powers of
 * two; those are charged per weight, as the mean. Integer layers multiply, or subtract, at their widths; their scales belong
 * to the batch norm behind them, which no profile prices. Re-rounding the inputs for several groups of an add layer is not
 * priced either.
 */
import { Primitive, stepCount, type LayerDescription, type WeightSteps } from '../hardware/layer.js';
import { termBits } from './powers.js';
import { groupCount, RecordKind, storedBits, type LayerRecord } from './record.js';

/** Accumulators of integer layers as the profile for integers has them; narrower ones would do. */
const partialSumBits = 32;

/** The layers with those of `records` as they are after conversion. */
export function convertedLayers(
  layers: readonly LayerDescription[],
  records: readonly LayerRecord[],
): readonly LayerDescription[] {
  const byName = new Map(records.map((record) => [record.name, record]));
  return layers.map((layer) => {
    const record = byName.get(layer.name);
    return record === undefined ? layer : convertedLayer(layer, record);
  });
}

function convertedLayer(layer: LayerDescription, record: LayerRecord): LayerDescription {
  switch (record.kind) {
    case RecordKind.Powers:
      return {
        ...layer,
        primitive: Primitive.Shift,
        steps: { signs: 0, shifts: record.terms, multiplications: 0 },
        operandBits: { ...layer.operandBits, weight: record.terms * termBits },
      };
    case RecordKind.Binary: {
      const { weights, codes, scales } = storedBits(record);
      const scalings = (record.bits * groupCount(record)) / record.columns;
      const steps: WeightSteps = {
        signs: record.bits,
        shifts: record.scaleTerms * scalings,
        multiplications: record.scaleTerms === 0 ? scalings : 0,
      };
      const operandBits = { ...layer.operandBits, weight: (codes + scales) / weights };
      return { ...layer, primitive: Primitive.Shift, steps, operandBits };
    }
    case RecordKind.Integers:
      return {
        ...layer,
        operandBits: { weight: record.bits, activation: record.activationBits, partialSum: partialSumBits },
      };
    case RecordKind.Distances:
      return {
        ...layer,
        operandBits: { weight: record.bits, activation: record.bits, partialSum: partialSumBits },
      };
  }
}

/** Operations of one inference by what they are. */
export interface OperationsByKind {
  readonly multiplications: number;
  readonly shifts: number;
  /** |x - w|, each two additions. */
  readonly distances: number;
  /** Additions or subtractions by a sign. */
  readonly signs: number;
}

export function operationsByKind(
  layers: readonly LayerDescription[],
  operationsOf: (layer: LayerDescription) => number,
): OperationsByKind {
  const total = { multiplications: 0, shifts: 0, distances: 0, signs: 0 };
  for (const layer of layers) {
    const { steps, primitive } = layer;
    const operations = operationsOf(layer);
    if (steps !== undefined) {
      const each = operations / stepCount(steps);
      total.signs += each * steps.signs;
      total.shifts += each * steps.shifts;
      total.multiplications += each * steps.multiplications;
    } else if (primitive === Primitive.Multiply) total.multiplications += operations;
    else if (primitive === Primitive.Shift) total.shifts += operations;
    else if (primitive === Primitive.Add) total.distances += operations;
  }
  return total;
}
