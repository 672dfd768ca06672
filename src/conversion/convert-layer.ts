/**
 * @file One layer's weights into codes.
 */
import {
  clampedGrid,
  clampWeights,
  groupFilters,
  sharedCodes,
  sharedRange,
  symmetricGrid,
  type SharedGrid,
} from './adder.js';
import { fitBinaryLevels, nearestLevel, type BinaryLevels } from './binary-codes.js';
import type { InputRange } from './calibration.js';
import { activationGrid, filterScales, integerQuantiser } from './integers.js';
import type { ConvertibleLayer } from './layers.js';
import type { BinaryMethod, DistancesMethod, IntegersMethod, PowersMethod } from './methods.js';
import { quantiseColumns, type ColumnQuantiser } from './optq.js';
import { decodePower, encodePower, powerGridFor, Rounding, type PowerGrid } from './powers.js';
import { RecordKind, type LayerRecord } from './record.js';

/** A method with every width decided. */
export type LayerMethod =
  | (PowersMethod & { readonly terms: number })
  | (BinaryMethod & { readonly codes: number })
  | (IntegersMethod & { readonly bits: number })
  | DistancesMethod;

/** Width of the inputs of integer layers. */
const activationBits = 8;

/** What a layer is converted with. */
export interface LayerEvidence {
  /** Of the layer's inputs; for integers. */
  readonly range: InputRange;
  /** The factor of each group of channels, see `correctionFactor`; for the correction. */
  readonly factors?: readonly Float64Array[];
}

/** The layer's codes under a method. Changes nothing of the layer. */
export function convertLayer(
  layer: Pick<ConvertibleLayer, 'name' | 'weights' | 'geometry'>,
  method: LayerMethod,
  evidence: () => LayerEvidence,
): LayerRecord {
  const { name, weights, geometry } = layer;
  const filters = geometry.outChannels;
  const columns = weights.length / filters;
  const base = { name, filters, columns };
  const factors = (): readonly Float64Array[] | undefined => evidence().factors;
  switch (method.kind) {
    case 'powers': {
      const grid = powerGridFor(weights, method.terms, method.rounding);
      const codes = new Uint8Array(weights.length * grid.terms);
      quantiseGroups(layer, factors(), (first) => powersQuantiser(grid, codes, filters, first));
      return { ...base, kind: RecordKind.Powers, terms: grid.terms, top: grid.top, codes };
    }
    case 'binary': {
      const bits = method.codes;
      const group = Math.min(columns, method.group ?? columns);
      const scales = new Float64Array(filters * Math.ceil(columns / group) * bits);
      const codes = new Uint8Array(weights.length);
      const round = scaleRounding(weights, method.scaleTerms);
      quantiseGroups(layer, factors(), (first) =>
        binaryQuantiser({ bits, group, columns, filters, first, round, scales, codes }),
      );
      return { ...base, kind: RecordKind.Binary, bits, group, scaleTerms: method.scaleTerms, scales, codes };
    }
    case 'integers': {
      const { bits, powerOfTwoScales, clip } = method;
      const scales = filterScales(weights, filters, bits, powerOfTwoScales);
      const codes = new Int8Array(weights.length);
      quantiseGroups(layer, factors(), (first, count) => {
        const part = new Int8Array((weights.length / filters) * count);
        const inner = integerQuantiser(scales.subarray(first, first + count), bits, part);
        return {
          quantise(column, values, result) {
            inner.quantise(column, values, result);
            codes.set(part.subarray(column * count, (column + 1) * count), column * filters + first);
          },
        };
      });
      const { least, percentile } = evidence().range;
      const activation = activationGrid(
        { least, largest: percentile(clip) },
        activationBits,
        powerOfTwoScales,
      );
      return {
        ...base,
        kind: RecordKind.Integers,
        bits,
        scales,
        activation,
        activationBits,
        powerOfTwoScales,
        codes,
      };
    }
    case 'distances':
      return { ...base, ...distancesOf(weights, filters, method, evidence().range) };
  }
}

/** Runs a quantiser over each group of channels with its own columns of filters. */
function quantiseGroups(
  { weights, geometry }: Pick<ConvertibleLayer, 'weights' | 'geometry'>,
  factors: readonly Float64Array[] | undefined,
  quantiserFor: (firstFilter: number, filters: number) => ColumnQuantiser,
): void {
  const { outChannels, groups } = geometry;
  const count = outChannels / groups;
  for (let group = 0; group < groups; group++) {
    const first = group * count;
    const part =
      groups === 1
        ? weights
        : weights.filter((_, i) => i % outChannels >= first && i % outChannels < first + count);
    quantiseColumns(part, count, quantiserFor(first, count), factors?.[group]);
  }
}

function powersQuantiser(
  grid: PowerGrid,
  codes: Uint8Array,
  filters: number,
  first: number,
): ColumnQuantiser {
  return {
    quantise(column, values, result) {
      const at = (column * filters + first) * grid.terms;
      for (let f = 0; f < values.length; f++)
        result[f] = encodePower(values[f]!, grid, codes, at + f * grid.terms);
    },
  };
}

/** Scales as they are stored: sums of powers of two below the layer's largest weight, or float32. */
function scaleRounding(weights: Float32Array, terms: number): (scale: number) => number {
  if (terms === 0) return Math.fround;
  const grid = powerGridFor(weights, terms, Rounding.Log);
  const codes = new Uint8Array(terms);
  return (scale) => {
    encodePower(scale, grid, codes, 0);
    return decodePower(grid, codes, 0);
  };
}

function binaryQuantiser(form: {
  readonly bits: number;
  readonly group: number;
  readonly columns: number;
  /** Of the whole layer, and the first of this group of channels. */
  readonly filters: number;
  readonly first: number;
  readonly round: (scale: number) => number;
  readonly scales: Float64Array;
  readonly codes: Uint8Array;
}): ColumnQuantiser {
  const { bits, group, columns, filters, first, round, scales, codes } = form;
  const groups = Math.ceil(columns / group);
  let levels: BinaryLevels[] = [];
  return {
    begin(column, weights) {
      if (column % group !== 0) return;
      const count = weights.length / columns;
      const end = Math.min(columns, column + group);
      levels = Array.from({ length: count }, (_, f) => {
        const own = Float64Array.from({ length: end - column }, (_, i) => weights[(column + i) * count + f]!);
        const fitted = fitBinaryLevels(own, { codes: bits, round });
        scales.set(fitted.scales, ((first + f) * groups + column / group) * bits);
        return fitted;
      });
    },
    quantise(column, values, result) {
      for (let f = 0; f < values.length; f++) {
        const own = levels[f]!;
        const place = nearestLevel(own, values[f]!);
        codes[column * filters + first + f] = own.codes[place]!;
        result[f] = own.values[place]!;
      }
    },
  };
}

function distancesOf(
  weights: Float32Array,
  filters: number,
  { bits, groups, clamp, powerOfTwoScales, clip }: DistancesMethod,
  range: InputRange,
) {
  const activations = { least: range.least, largest: range.percentile(clip) };
  const kind = RecordKind.Distances as const;
  if (clamp) {
    const grid = clampedGrid(activations, bits, powerOfTwoScales);
    const { weights: clamped, bias } = clampWeights(weights, filters, sharedRange(grid));
    const members = Array.from({ length: filters }, (_, f) => f);
    const codes = sharedCodes(clamped, grid);
    return { kind, bits, groups: [{ grid, filters: members }], bias, powerOfTwoScales, codes };
  }
  const codes = new Int8Array(weights.length);
  const parts = groupFilters(weights, filters, groups === 'all' ? filters : groups).map((members) => {
    const own = new Set(members);
    const places = Array.from(weights.keys()).filter((i) => own.has(i % filters));
    const largest = places.reduce((most, i) => Math.max(most, Math.abs(weights[i]!)), 0);
    const grid: SharedGrid = symmetricGrid(activations, largest, bits, powerOfTwoScales);
    const partCodes = sharedCodes(
      places.map((i) => weights[i]!),
      grid,
    );
    places.forEach((i, at) => (codes[i] = partCodes[at]!));
    return { grid, filters: members };
  });
  return { kind, bits, groups: parts, bias: undefined, powerOfTwoScales, codes };
}
