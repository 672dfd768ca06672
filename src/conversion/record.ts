/**
 * @file A converted layer as it would be stored: codes of a few bits, scales, and what its inputs are rounded to. The
 * weights in `model.safetensors` are what these stand for, {@link storedWeights}, so that every reader of float weights
 * has them; this is where the bits are counted.
 */
import type { SharedGrid } from './adder.js';
import { binaryValue } from './binary-codes.js';
import type { Grid } from './grid.js';
import { decodePower, termBits } from './powers.js';

/** How a converted layer's weights are stored. */
export enum RecordKind {
  /** Sums of powers of two. */
  Powers = 'powers',
  /** Binary codes with shared scales. */
  Binary = 'binary',
  /** Integers, inputs too, with a scale for each filter. */
  Integers = 'integers',
  /** Integers of an add layer, on one grid with its inputs. */
  Distances = 'distances',
}

interface RecordBase {
  readonly name: string;
  /** Filters of the layer: its output channels. */
  readonly filters: number;
  /** Weights of one filter. */
  readonly columns: number;
}

export interface PowersRecord extends RecordBase {
  readonly kind: RecordKind.Powers;
  readonly terms: number;
  readonly top: number;
  /** [columns, filters, terms] of {@link termBits} bits. */
  readonly codes: Uint8Array;
}

export interface BinaryRecord extends RecordBase {
  readonly kind: RecordKind.Binary;
  /** Codes per weight. */
  readonly bits: number;
  /** Columns that share scales; the last group may have fewer. */
  readonly group: number;
  /** Powers of two in a scale; 0 for scales of float32. */
  readonly scaleTerms: number;
  /** [filters, groups, bits], descending. */
  readonly scales: Float64Array;
  /** [columns, filters]. */
  readonly codes: Uint8Array;
}

export interface IntegersRecord extends RecordBase {
  readonly kind: RecordKind.Integers;
  readonly bits: number;
  /** Of each filter. */
  readonly scales: Float64Array;
  readonly activation: Grid;
  readonly activationBits: number;
  readonly powerOfTwoScales: boolean;
  /** [columns, filters]. */
  readonly codes: Int8Array;
}

export interface DistancesRecord extends RecordBase {
  readonly kind: RecordKind.Distances;
  readonly bits: number;
  /** Each filter is in one group; one grid serves the group's weights and their inputs. */
  readonly groups: readonly { readonly grid: SharedGrid; readonly filters: readonly number[] }[];
  /** Of each filter, where weights were clamped. */
  readonly bias: Float64Array | undefined;
  readonly powerOfTwoScales: boolean;
  /** [columns, filters]. */
  readonly codes: Int8Array;
}

export type LayerRecord = PowersRecord | BinaryRecord | IntegersRecord | DistancesRecord;

/** Scale groups of a filter. */
export function groupCount({ columns, group }: Pick<BinaryRecord, 'columns' | 'group'>): number {
  return Math.ceil(columns / group);
}

/** The weights that the codes stand for, [columns, filters] as a layer holds them. */
export function storedWeights(record: LayerRecord): Float32Array {
  const { filters, columns } = record;
  switch (record.kind) {
    case RecordKind.Powers:
      return Float32Array.from({ length: columns * filters }, (_, i) =>
        decodePower(record, record.codes, i * record.terms),
      );
    case RecordKind.Binary: {
      const { scales, bits, codes, group } = record;
      const groups = groupCount(record);
      return Float32Array.from(codes, (code, i) => {
        const place = (i % filters) * groups + Math.floor(Math.floor(i / filters) / group);
        return binaryValue(scales.subarray(place * bits, (place + 1) * bits), code);
      });
    }
    case RecordKind.Integers:
      return Float32Array.from(record.codes, (code, i) => record.scales[i % filters]! * code);
    case RecordKind.Distances: {
      const grids = gridOfFilter(record);
      return Float32Array.from(record.codes, (code, i) => {
        const { scale, zero } = grids[i % filters]!;
        return scale * (code - zero);
      });
    }
  }
}

/** The grid of each filter of an add layer. */
export function gridOfFilter({ groups, filters }: DistancesRecord): readonly SharedGrid[] {
  const grids = new Array<SharedGrid>(filters);
  for (const { grid, filters: members } of groups) for (const filter of members) grids[filter] = grid;
  return grids;
}

const floatBits = 32;
/** A power-of-two scale is its exponent. */
const exponentBits = 8;

/** What a layer takes to store, in bits. */
export interface StoredBits {
  readonly weights: number;
  /** Of all weights, without scales. */
  readonly codes: number;
  /** Scales, exponents, biases and grids. */
  readonly scales: number;
}

/** The bits of a converted layer: codes at their own width, packed; everything else that is needed to read them. */
export function storedBits(record: LayerRecord): StoredBits {
  const { filters, columns } = record;
  const weights = filters * columns;
  switch (record.kind) {
    case RecordKind.Powers:
      return { weights, codes: weights * record.terms * termBits, scales: exponentBits };
    case RecordKind.Binary: {
      const each = record.scaleTerms === 0 ? floatBits : record.scaleTerms * termBits;
      const shared = record.scaleTerms === 0 ? 0 : exponentBits;
      return { weights, codes: weights * record.bits, scales: record.scales.length * each + shared };
    }
    case RecordKind.Integers: {
      const each = record.powerOfTwoScales ? exponentBits : floatBits;
      return { weights, codes: weights * record.bits, scales: (filters + 1) * each };
    }
    case RecordKind.Distances: {
      const each = record.powerOfTwoScales ? exponentBits : floatBits;
      const bias = record.bias === undefined ? 0 : filters * floatBits;
      // With several groups each filter says which one is its own.
      const membership = record.groups.length > 1 ? filters * Math.ceil(Math.log2(record.groups.length)) : 0;
      return {
        weights,
        codes: weights * record.bits,
        scales: record.groups.length * each + membership + bias,
      };
    }
  }
}
