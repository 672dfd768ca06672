/**
 * @file Where `hw map`, `hw chunks`, `hw area` and `hw systolic` take their layers from: a description on the command line, a table, an architecture,
 * an ONNX file.
 */
import type { Command } from 'commander';
import { OptionError } from '../../../base/errors.js';
import { formatCsvLine } from '../../../hardware/csv-text.js';
import { fp32OperandBits, readLayerTable } from '../../../hardware/csv.js';
import type { LayerDescription, OperandBits, Primitive } from '../../../hardware/layer.js';
import {
  addInputSizeOption,
  architectureLayers,
  onnxLayers,
  readTable,
  unpricedTexts,
  requireUnconverted,
} from './inputs.js';

export interface LayerFlags {
  readonly layer?: string;
  readonly layers?: string;
  readonly architecture?: string;
  readonly onnx?: string;
  readonly input: readonly string[];
  readonly bits?: number;
}

/** Layers, where they come from, lines of a table and nodes of a graph that are broken, and nodes without a model. */
export interface GatheredLayers {
  readonly title: string;
  readonly layers: readonly LayerDescription[];
  /** Before what is said about a layer: its file and line, where it has one. */
  readonly places: readonly string[];
  readonly badRows: readonly string[];
  readonly notes: readonly string[];
}

export const layerUsage =
  'type=Conv|Add|Shift|FC, C= and M= channels in and out, H= (and W=) input size; also N=, R= kernel, stride=, groups=, E= and F= output size';

/** Where layers come from, without their widths. */
export function addSourceOptions(command: Command, withSingleLayer: boolean): Command {
  const withLayer = withSingleLayer ? command.option('--layer <text>', layerUsage) : command;
  return addInputSizeOption(
    withLayer
      .option(
        '--layers <file.csv>',
        'columns type, N, H, W, C, R, M, E, F, stride (and groups, and bits for the width of operands)',
      )
      .option('--architecture <path>', 'an architecture.json, or the folder of a run or model with one')
      .option('--onnx <file.onnx>', 'a network of any origin; its convolutions and matrix products'),
  );
}

/** Where layers come from, and `--bits`. */
export function addLayerOptions(
  command: Command,
  withSingleLayer: boolean,
  bits: (text: string) => number,
): Command {
  return addSourceOptions(command, withSingleLayer).option(
    '--bits <number>',
    'operands of this width instead of each layer’s own; partial sums of 32 bit at least',
    bits,
  );
}

/** @throws OptionError unless exactly one source is given; FileError, LayerError for what it holds. */
export function gatherLayers(flags: LayerFlags, command: string, withSingleLayer: boolean): GatheredLayers {
  const sources = ['--layer TEXT', '--layers FILE.csv', '--architecture PATH', '--onnx FILE.onnx'];
  const { layer, layers, architecture, onnx } = flags;
  if ([layer, layers, architecture, onnx].filter((given) => given !== undefined).length !== 1)
    throw new OptionError(`${command} needs one of ${sources.slice(withSingleLayer ? 0 : 1).join(', ')}`);
  if (flags.input.length > 0 && onnx === undefined)
    throw new OptionError('--input goes with --onnx FILE.onnx');
  const bits = operandBits(flags.bits);
  if (layer !== undefined) {
    const { rows, badRows } = readLayerTable(layerCsv(layer), bits);
    if (badRows[0] !== undefined) throw new OptionError(`--layer ${layer}: ${badRows[0].message}`);
    return {
      title: layer,
      layers: rows.map((row) => ({ ...row.layer, name: layer })),
      places: [''],
      badRows: [],
      notes: [],
    };
  }
  if (layers !== undefined) {
    const { rows, badRows } = readTable(layers, (text) => readLayerTable(text, bits));
    return {
      title: layers,
      layers: rows.map(({ cells, layer: read }) => {
        const own = cells.get('bits') ?? '';
        return flags.bits !== undefined || own === ''
          ? read
          : { ...read, operandBits: operandBits(Number(own))(read.primitive) };
      }),
      places: rows.map(({ line }) => `${layers}:${line}: `),
      badRows: badRows.map(({ line, message }) => `${layers}:${line}: ${message}`),
      notes: [],
    };
  }
  const atWidth = (each: LayerDescription): LayerDescription =>
    flags.bits === undefined ? each : { ...each, operandBits: bits(each.primitive) };
  if (onnx !== undefined) {
    const { layers: found, unpriced } = onnxLayers(onnx, flags.input);
    const { errors, notes } = unpricedTexts(onnx, unpriced);
    return {
      title: onnx,
      layers: found.map(atWidth),
      places: found.map(() => `${onnx}: `),
      badRows: errors,
      notes: notes.map((note) => `${onnx}: ${note}`),
    };
  }
  const { path, layers: found } = architectureLayers(architecture!);
  requireUnconverted(path, 'this command');
  return {
    title: path,
    layers: found.map(atWidth),
    places: found.map(() => `${path}: `),
    badRows: [],
    notes: [],
  };
}

function operandBits(bits: number | undefined): (primitive: Primitive) => OperandBits {
  if (bits === undefined) return fp32OperandBits;
  const leastPartialSumBits = 32;
  return (primitive) => ({
    weight: Math.min(bits, fp32OperandBits(primitive).weight),
    activation: bits,
    partialSum: Math.max(bits, leastPartialSumBits),
  });
}

const layerKeys = ['type', 'N', 'H', 'W', 'C', 'R', 'M', 'E', 'F', 'stride', 'groups'];

/** `type=Conv,C=64,H=56,M=64,R=3` as a table of one row; sizes that follow from others may be left out. */
function layerCsv(text: string): string {
  const cells = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, key, value] = /^\s*(\w+)\s*=\s*(\S+)\s*$/.exec(part) ?? [];
    if (key === undefined || value === undefined || !layerKeys.includes(key))
      throw new OptionError(
        `--layer part '${part.trim()}' must be KEY=VALUE with a key of ${layerKeys.join(', ')}`,
      );
    if (cells.has(key)) throw new OptionError(`--layer names ${key} twice`);
    cells.set(key, value);
  }
  const missing = ['C', 'M'].filter((key) => !cells.has(key));
  if (missing.length > 0)
    throw new OptionError(`--layer lacks ${missing.join(' and ')}; it takes ${layerUsage}`);
  const fallback = (key: string, value: string): void => {
    if (!cells.has(key)) cells.set(key, value);
  };
  const stride = Number((fallback('stride', '1'), cells.get('stride')));
  for (const [key, value] of [
    ['type', 'Conv'],
    ['N', '1'],
    ['R', '1'],
    ['groups', '1'],
  ] as const)
    fallback(key, value);
  fallback('H', cells.get('type')!.toLowerCase() === 'fc' ? '1' : (cells.get('W') ?? '1'));
  fallback('W', cells.get('H')!);
  fallback('E', String(Math.ceil(Number(cells.get('H')) / stride)));
  fallback('F', String(Math.ceil(Number(cells.get('W')) / stride)));
  return [formatCsvLine(layerKeys), formatCsvLine(layerKeys.map((key) => cells.get(key)!))].join('\n');
}
