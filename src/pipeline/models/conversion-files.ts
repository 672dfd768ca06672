/**
 * @file `conversion.json`: what is stored of each layer of a converted model, codes packed at their own width. It lies
 * beside `model.safetensors`, which holds the float weights that the codes stand for, and says what these cannot: widths,
 * scales, and the grids that inputs are rounded to.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FileError } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import type { SharedGrid } from '../../conversion/adder.js';
import { formOf } from '../../conversion/form.js';
import { isConvertible, layersOfNetwork } from '../../conversion/layers.js';
import { groupCount, RecordKind, storedWeights, type LayerRecord } from '../../conversion/record.js';
import { termBits } from '../../conversion/powers.js';
import type { Network } from '../../spaces/network.js';

export const conversionFile = 'conversion.json';

/** How a model was converted, and into what. */
export interface Conversion {
  /** The conversion's name with its modifiers: `bcq3+optq`. */
  readonly method: string;
  /** Layers that kept their floats. */
  readonly kept: readonly string[];
  /** Images of the training part that ranges and corrections come from; 0 where none was needed. */
  readonly calibrationImages: number;
  readonly layers: readonly LayerRecord[];
}

const finite = z.number();
const count = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const packed = z.strictObject({ bits: z.int().min(1).max(8), base64: z.base64() });
const grid = z.strictObject({ scale: finite.positive(), zero: z.int(), least: z.int(), most: z.int() });
const base = { name: z.string(), filters: count, columns: count, codes: packed };

const recordSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal(RecordKind.Powers), ...base, terms: z.int().min(1).max(4), top: z.int() }),
  z.strictObject({
    kind: z.literal(RecordKind.Binary),
    ...base,
    bits: z.int().min(1).max(8),
    group: count,
    scaleTerms: z.int().min(0).max(4),
    scales: z.array(finite),
  }),
  z.strictObject({
    kind: z.literal(RecordKind.Integers),
    ...base,
    bits: z.int().min(2).max(8),
    scales: z.array(finite.positive()),
    activation: grid,
    activationBits: z.int().min(1).max(8),
    powerOfTwoScales: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal(RecordKind.Distances),
    ...base,
    bits: z.int().min(2).max(8),
    groups: z.array(z.strictObject({ grid, filters: z.array(z.int().min(0)) })).min(1),
    bias: z.array(finite).nullable(),
    powerOfTwoScales: z.boolean(),
  }),
]);

const conversionSchema = z.strictObject({
  format: z.literal('shiftaddnas-conversion'),
  version: z.literal(1),
  method: z.string(),
  kept: z.array(z.string()),
  calibrationImages: z.int().min(0),
  layers: z.array(recordSchema).min(1),
});

type StoredRecord = z.infer<typeof recordSchema>;

/** Numbers of `bits` bits each, two's complement if negative, lowest bit first, as base64. */
export function packBits(values: ArrayLike<number>, bits: number): string {
  const bytes = new Uint8Array(Math.ceil((values.length * bits) / 8));
  for (let i = 0; i < values.length; i++)
    for (let bit = 0; bit < bits; bit++) {
      const place = i * bits + bit;
      bytes[place >> 3]! |= ((values[i]! >> bit) & 1) << (place & 7);
    }
  return Buffer.from(bytes).toString('base64');
}

/** What {@link packBits} packed, as numbers >= 0; undefined when there are not as many bytes as `length` of them need. */
export function unpackBits(base64: string, bits: number, length: number): Uint8Array | undefined {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length !== Math.ceil((length * bits) / 8)) return undefined;
  return Uint8Array.from({ length }, (_, i) => {
    let value = 0;
    for (let bit = 0; bit < bits; bit++) {
      const place = i * bits + bit;
      value |= ((bytes[place >> 3]! >> (place & 7)) & 1) << bit;
    }
    return value;
  });
}

/** Width of a stored code and codes per weight. */
function codeForm(record: Pick<LayerRecord, 'kind'> & { bits?: number; terms?: number }): {
  readonly bits: number;
  readonly perWeight: number;
} {
  return record.kind === RecordKind.Powers
    ? { bits: termBits, perWeight: record.terms! }
    : { bits: record.bits!, perWeight: 1 };
}

/** Writes `conversion.json` into a folder. */
export function saveConversion(folder: string, conversion: Conversion): void {
  const layers = conversion.layers.map((record): StoredRecord => {
    const { bits } = codeForm(record);
    const codes = { bits, base64: packBits(record.codes, bits) };
    switch (record.kind) {
      case RecordKind.Powers:
        return { ...record, codes };
      case RecordKind.Binary:
        return { ...record, codes, scales: [...record.scales] };
      case RecordKind.Integers: {
        const { scale, zero, least, most } = record.activation;
        return { ...record, codes, scales: [...record.scales], activation: { scale, zero, least, most } };
      }
      case RecordKind.Distances:
        return {
          ...record,
          codes,
          groups: record.groups.map(({ grid: { scale, zero, least, most }, filters }) => ({
            grid: { scale, zero, least, most },
            filters: [...filters],
          })),
          bias: record.bias === undefined ? null : [...record.bias],
        };
    }
  });
  const content = { format: 'shiftaddnas-conversion', version: 1, ...conversion, layers };
  writeFileAtomic(join(folder, conversionFile), `${JSON.stringify(content, undefined, 1)}\n`);
}

/** The conversion of a model folder; undefined for one that was not converted. @throws FileError */
export function readConversion(folder: string): Conversion | undefined {
  const path = join(folder, conversionFile);
  if (!existsSync(path)) return undefined;
  const parsed = conversionSchema.safeParse(readJson(path));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new FileError(
      `${path}: ${issue.path.join('.') || 'root'}: ${issue.message}; convert the model again`,
    );
  }
  const { method, kept, calibrationImages, layers } = parsed.data;
  return { method, kept, calibrationImages, layers: layers.map((layer) => recordOf(layer, path)) };
}

function recordOf(stored: StoredRecord, path: string): LayerRecord {
  const damaged = (what: string): never => {
    throw new FileError(`${path}: layer '${stored.name}': ${what}; convert the model again`);
  };
  const { filters, columns } = stored;
  const { bits, perWeight } = codeForm(stored);
  const unsigned =
    unpackBits(stored.codes.base64, bits, filters * columns * perWeight) ??
    damaged(`its codes are not ${filters * columns * perWeight} of ${bits} bits`);
  const signed = (): Int8Array => Int8Array.from(unsigned, (code) => (code << (32 - bits)) >> (32 - bits));
  const requireScales = (scales: readonly number[], expected: number): Float64Array =>
    scales.length === expected ? Float64Array.from(scales) : damaged(`it needs ${expected} scales`);
  switch (stored.kind) {
    case RecordKind.Powers:
      return { ...stored, codes: unsigned };
    case RecordKind.Binary: {
      const scales = requireScales(stored.scales, filters * groupCount(stored) * stored.bits);
      return { ...stored, codes: unsigned, scales };
    }
    case RecordKind.Integers:
      return { ...stored, codes: signed(), scales: requireScales(stored.scales, filters) };
    case RecordKind.Distances: {
      const members = stored.groups.flatMap((group) => group.filters).sort((a, b) => a - b);
      if (members.length !== filters || members.some((filter, i) => filter !== i))
        damaged(`its groups are not its ${filters} filters, each once`);
      const bias = stored.bias === null ? undefined : requireScales(stored.bias, filters);
      // One grid for both operands: the file has no place for a second.
      const groups = stored.groups.map(({ grid: each, filters: own }) => ({
        grid: each as SharedGrid,
        filters: own,
      }));
      return { ...stored, codes: signed(), bias, groups };
    }
  }
}

/**
 * Gives the layers of a loaded network the forms of its conversion.
 * @throws FileError when a layer is missing or its weights are not what the codes stand for
 */
export function applyConversion(network: Network, { layers }: Conversion, folder: string): void {
  const path = join(folder, conversionFile);
  const byName = new Map(layersOfNetwork(network).map((layer) => [layer.name, layer]));
  for (const record of layers) {
    const layer = byName.get(record.name);
    if (layer === undefined || !isConvertible(layer))
      throw new FileError(
        `${path}: the network has no layer '${record.name}' to convert; it belongs to another network`,
      );
    const stored = storedWeights(record);
    if (stored.length !== layer.weights.length || stored.some((value, i) => value !== layer.weights[i]))
      throw new FileError(
        `${path}: the codes of layer '${record.name}' are not the weights in model.safetensors; convert the model again`,
      );
    layer.form = formOf(record, layer);
  }
}
