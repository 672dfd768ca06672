/**
 * @file What the commands of `hw` can be given: an architecture of ours, an ONNX file, or a published network, as layers.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { FileError, OptionError, isSystemError, messageOf } from '../../../base/errors.js';
import { fileOrInside, readJson } from '../../../base/files.js';
import type { LayerDescription } from '../../../hardware/index.js';
import { layersOfGraph, type GraphLayers, type UnpricedNode } from '../../../nn/onnx/priced-layers.js';
import { decodeOnnx } from '../../../nn/onnx/read.js';
import {
  conversionFile,
  readConversion,
  type Conversion,
} from '../../../pipeline/models/conversion-files.js';
import { modelLayers } from '../../../pipeline/models/network-costs.js';
import type { Architecture } from '../../../spaces/architecture.js';
import { parseArchitecture } from '../../../spaces/parse.js';

/** The kinds of file, by which they are read. */
export enum InputKind {
  Table = 'table',
  Architecture = 'architecture',
  Onnx = 'onnx',
}

/** By the ending of its name; a folder holds an architecture.json. */
export function kindOfInput(path: string): InputKind {
  if (/\.onnx$/i.test(path)) return InputKind.Onnx;
  return /\.csv$/i.test(path) ? InputKind.Table : InputKind.Architecture;
}

/** The layers of an architecture.json, or of the folder that holds one; those of a converted model as converted. */
export function architectureLayers(given: string): {
  readonly path: string;
  readonly layers: readonly LayerDescription[];
  readonly architecture: Architecture;
  /** How the model was converted, where it was. */
  readonly conversion: Conversion | undefined;
} {
  const path = fileOrInside(given, 'architecture.json');
  const architecture = parseArchitecture(readJson(path), path);
  const conversion = readConversion(dirname(path));
  return { path, layers: modelLayers(architecture, conversion), architecture, conversion };
}

/** @throws OptionError for the architecture.json of a converted model, whose layers `command` does not know */
export function requireUnconverted(architecturePath: string, command: string): void {
  const path = join(dirname(architecturePath), conversionFile);
  if (existsSync(path))
    throw new OptionError(
      `${path}: ${command} knows layers as they are trained only; give it the model before conversion, or use hw estimate`,
    );
}

/** `--input`, for {@link onnxLayers}. */
export function addInputSizeOption(command: Command): Command {
  return command.option(
    '--input <name=1x3x224x224>',
    'size of an input that the ONNX file leaves open',
    (text: string, before: readonly string[]) => [...before, text],
    [],
  );
}

/** What is wrong with nodes that should be priced and are not, and what is worth saying about other nodes. */
export function unpricedTexts(
  path: string,
  unpriced: readonly UnpricedNode[],
): { readonly errors: readonly string[]; readonly notes: readonly string[] } {
  const said = (wanted: boolean): readonly string[] =>
    unpriced
      .filter(({ multiplies }) => multiplies === wanted)
      .map(({ name, opType, reason }) => `${opType} '${name}': ${reason}`);
  return { errors: said(true).map((text) => `${path}: not priced: ${text}`), notes: said(false) };
}

/** The layers of an ONNX file. @param inputs `NAME=1x3x224x224`, for inputs whose size the file leaves open */
export function onnxLayers(path: string, inputs: readonly string[]): GraphLayers {
  const model = decodeOnnx(readBytes(path, 'the ONNX file'), path);
  const given = new Map(inputs.map(parseInputShape));
  for (const name of given.keys())
    if (!model.inputs.has(name))
      throw new OptionError(
        `--input ${name}: ${path} has no input of this name; it has ${[...model.inputs.keys()].join(', ') || 'none'}`,
      );
  const found = layersOfGraph(model, given);
  const [open] = found.open;
  if (open !== undefined && found.unpriced.some(({ lacksShape }) => lacksShape))
    throw new OptionError(
      `${path}: input '${open.name}' is [${open.dims?.join(', ') ?? 'of any shape'}]; ` +
        `give its size, for example --input ${open.name}=1x3x224x224`,
    );
  if (found.layers.length === 0 && found.unpriced.length === 0)
    throw new FileError(`${path}: no node of this graph has a price`);
  return found;
}

function parseInputShape(text: string): readonly [string, readonly number[]] {
  const at = text.lastIndexOf('=');
  const sizes = text.slice(at + 1).split('x');
  if (at < 1 || !sizes.every((size) => /^[1-9]\d{0,8}$/.test(size)))
    throw new OptionError(`--input ${text}: give NAME=SIZES, as in pixels=1x3x224x224`);
  return [text.slice(0, at), sizes.map(Number)];
}

/** A file as bytes. @throws FileError in one line */
export function readBytes(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such file`);
    if (isSystemError(error, 'EISDIR')) throw new FileError(`${path}: a folder; give ${what}`);
    throw new FileError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
}

/** A table of layers, read by `read`. @throws FileError naming the file and its first line for a header that is broken */
export function readTable<T>(path: string, read: (text: string) => T): T {
  const text = readBytes(path, 'the CSV file with the layers').toString('utf8');
  try {
    return read(text);
  } catch (error) {
    // Broken rows are not thrown: what remains is the header.
    if (error instanceof FileError) throw new FileError(`${path}:1: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Whether two paths lead to one file that exists, be it through links. */
export function isSameFile(a: string, b: string): boolean {
  // Paths that cannot even be looked at (below a file, in a closed folder) do not exist either.
  if (!existsSync(a) || !existsSync(b)) return false;
  const [first, second] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
  return first.dev === second.dev && first.ino === second.ino;
}
