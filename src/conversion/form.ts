/**
 * @file How a converted layer runs and is exported: as floats on the grids of its integers, or by the integers themselves.
 *
 * Powers of two and binary codes change weights alone, so such a layer is plain. A layer of integers rounds its input to
 * its grid first; an add layer with several groups of filters does so once for each group.
 */
import type { LayerForm } from '../nn/module.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import { WindowSum } from '../operators/contract.js';
import { addBias } from '../tensor/ops/elementwise.js';
import { record as recordOp } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { integerDistances } from './adder.js';
import { codesOf, roundToGrid, type Grid } from './grid.js';
import { integerConvolution, outputSize, type IntegerInput } from './integers.js';
import type { ConvertibleLayer } from './layers.js';
import {
  RecordKind,
  storedWeights,
  type DistancesRecord,
  type IntegersRecord,
  type LayerRecord,
} from './record.js';

/** The form of a converted layer whose weights are already {@link storedWeights}; undefined where it is plain. */
export function formOf(record: LayerRecord, layer: ConvertibleLayer): LayerForm | undefined {
  switch (record.kind) {
    case RecordKind.Powers:
    case RecordKind.Binary:
      return undefined;
    case RecordKind.Integers:
      return {
        forward: (x, plain) => plain(roundToGrid(x, record.activation)),
        lower: (graph, name, input, plain) =>
          plain(name, lowerGrid(graph, `${name}.input`, input, record.activation)),
      };
    case RecordKind.Distances:
      return record.groups.length === 1 ? sharedForm(record) : groupedForm(record, layer);
  }
}

function sharedForm({ groups, bias }: DistancesRecord): LayerForm {
  const { grid } = groups[0]!;
  const offset = bias && Float32Array.from(bias);
  return {
    forward(x, plain) {
      const sums = plain(roundToGrid(x, grid));
      return offset === undefined ? sums : addBias(sums, Tensor.view([offset.length], offset));
    },
    lower(graph, name, input, plain) {
      const rounded = lowerGrid(graph, `${name}.input`, input, grid);
      if (offset === undefined) return plain(name, rounded);
      const sums = plain(`${name}.sums`, rounded);
      const added = graph.initializer(`${name}.bias`, [1, offset.length, 1, 1], offset);
      return graph.node('Add', [sums, added], {}, { name });
    },
  };
}

function groupedForm(record: DistancesRecord, { family, geometry }: ConvertibleLayer): LayerForm {
  const { groups, filters, columns } = record;
  const all = storedWeights(record);
  const { kernel, inChannels } = geometry;
  const parts = groups.map(({ grid, filters: members }) => {
    const weights = new Float32Array(columns * members.length);
    for (let column = 0; column < columns; column++)
      members.forEach((f, i) => (weights[column * members.length + i] = all[column * filters + f]!));
    return { grid, members, weights, geometry: { ...geometry, outChannels: members.length } };
  });
  return {
    forward: (x) =>
      joinFilters(
        parts.map(({ grid, members, weights, geometry: part }) =>
          family.forward(
            roundToGrid(x, grid),
            Tensor.view([kernel, kernel, inChannels, members.length], weights),
            part,
          ),
        ),
        parts.map(({ members }) => members),
      ),
    lower(graph, name, input) {
      const outputs = parts.map(({ grid, weights, geometry: part }, i) => {
        const rounded = lowerGrid(graph, `${name}.group${i}.input`, input, grid);
        return family.lower(graph, `${name}.group${i}`, rounded, weights, part);
      });
      const joined = graph.node('Concat', outputs, { axis: { int: 1 } }, { name: `${name}.joined` });
      const place = new Map(parts.flatMap(({ members }) => members).map((filter, at) => [filter, at]));
      const order = BigInt64Array.from({ length: filters }, (_, f) => BigInt(place.get(f)!));
      const indices = graph.initializer(`${name}.order`, [filters], order);
      return graph.node('Gather', [joined, indices], { axis: { int: 1 } }, { name });
    },
  };
}

/** Outputs [N, H, W, members] of groups of filters as one [N, H, W, filters]. For inference: no gradient. */
function joinFilters(parts: readonly Tensor[], members: readonly (readonly number[])[]): Tensor {
  const filters = members.reduce((sum, { length }) => sum + length, 0);
  const [batch, height, width] = parts[0]!.shape as [number, number, number, number];
  return recordOp(
    'joinFilters',
    parts,
    [batch, height, width, filters],
    (y) =>
      parts.forEach(({ data }, p) => {
        const own = members[p]!;
        for (let row = 0; row < batch * height * width; row++)
          for (let i = 0; i < own.length; i++) y[row * filters + own[i]!] = data[row * own.length + i]!;
      }),
    () => {
      throw new Error('grouped scales are for trained networks: there is no gradient');
    },
  );
}

/** x rounded to a grid, as {@link roundToGrid}, in the operators of ONNX. */
function lowerGrid(
  graph: OnnxGraph,
  name: string,
  input: string,
  { scale, zero, least, most }: Grid,
): string {
  const constant = (key: string, value: number): string =>
    graph.initializer(`${name}.${key}`, [], Float32Array.of(value));
  const steps = graph.node('Mul', [input, constant('inverse', 1 / scale)], {}, { name: `${name}.steps` });
  const ends = [constant('least', least - zero), constant('most', most - zero)];
  const inside = graph.node('Clip', [steps, ...ends], {}, { name: `${name}.inside` });
  const whole = graph.node('Round', [inside], {}, { name: `${name}.whole` });
  return graph.node('Mul', [whole, constant('scale', scale)], {}, { name });
}

/**
 * The same layer by integer arithmetic alone, but for the scale (and bias) at its end: what the float form simulates. It is
 * slow and made to be read and compared. Equal to the bit where scales are powers of two and sums of codes stay below 2^24.
 */
export function integerFormOf(record: IntegersRecord | DistancesRecord, layer: ConvertibleLayer): LayerForm {
  return {
    forward(x) {
      const [batch, height, width] = x.shape as [number, number, number, number];
      const { outHeight, outWidth } = outputSize({ height, width }, layer.geometry);
      return recordOp(
        'integerLayer',
        [x],
        [batch, outHeight, outWidth, record.filters],
        (y) => y.set(integerOutputs(record, layer, { x: x.data, batch, height, width })),
        () => {
          throw new Error('an integer layer has no gradient');
        },
      );
    },
    lower: () => {
      throw new Error('integer layers are exported by their float form');
    },
  };
}

function integerOutputs(
  record: IntegersRecord | DistancesRecord,
  { geometry, windowSum }: ConvertibleLayer,
  { x, ...shape }: { readonly x: Float32Array } & Omit<IntegerInput, 'codes'>,
): Float32Array {
  const { filters } = record;
  if (record.kind === RecordKind.Integers) {
    const input = { ...shape, codes: codesOf(x, record.activation) };
    const bits = { weight: record.bits, activation: record.activation };
    const sums = integerConvolution(input, record.codes, geometry, bits);
    const scales = record.scales.map((scale) => Math.fround(scale) * record.activation.scale);
    return Float32Array.from(sums, (sum, i) => sum * scales[i % filters]!);
  }
  if (windowSum !== WindowSum.Distances) throw new Error('distances belong to add layers');
  const outputs: Float32Array[] = [];
  for (const { grid, filters: members } of record.groups) {
    const input = { ...shape, codes: codesOf(x, grid) };
    const sums = integerDistances(input, record.codes, geometry, grid);
    const y = (outputs[0] ??= new Float32Array(sums.length));
    for (let row = 0; row < sums.length; row += filters)
      for (const f of members) {
        const distance = Math.fround(sums[row + f]! * grid.scale);
        y[row + f] = record.bias === undefined ? distance : distance + Math.fround(record.bias[f]!);
      }
  }
  return outputs[0]!;
}
