/**
 * @file Reads an `.onnx` file as plain data: nodes, shapes, constants. Anybody's file, so nothing in it is trusted;
 * what we have no use for (training information, documentation, nested graphs) is passed over.
 */
import { FileError, messageOf } from '../../base/errors.js';
import { AttributeType, ElementType, modelProto } from './schema.js';

/** A constant of the file. */
export interface ReadTensor {
  readonly dims: readonly number[];
  readonly elementType: number;
  /** Its values in row-major order, or undefined when they lie in another file or are of a kind we do not read. */
  values(): ArrayLike<number> | undefined;
}

export type ReadAttribute = number | readonly number[] | string | ReadTensor;

export interface ReadNode {
  readonly name: string;
  readonly opType: string;
  /** '' is ONNX's own domain. */
  readonly domain: string;
  /** '' stands for an optional input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, ReadAttribute>;
}

/** A size, the name of one that is known when the model runs, or undefined. */
export type ReadDimension = number | string | undefined;

export interface ReadValue {
  readonly dims: readonly ReadDimension[] | undefined;
  readonly elementType: number | undefined;
}

export interface ReadModel {
  readonly nodes: readonly ReadNode[];
  readonly initializers: ReadonlyMap<string, ReadTensor>;
  /** Inputs of the graph that are not initializers. */
  readonly inputs: ReadonlyMap<string, ReadValue>;
  /** What the file says of values inside and at the end. */
  readonly values: ReadonlyMap<string, ReadValue>;
  /** Version of ONNX's own operator set. */
  readonly opset: number;
}

/** @throws FileError when the bytes are no ONNX model with a graph */
export function decodeOnnx(bytes: Uint8Array, path: string): ReadModel {
  let model: Wire;
  try {
    model = modelProto.decode(bytes) as unknown as Wire;
  } catch (error) {
    throw new FileError(`${path}: not readable as an ONNX file (${messageOf(error)})`, { cause: error });
  }
  const graph = message(model['graph']);
  const nodes = graph === undefined ? [] : wires(graph['node']);
  if (graph === undefined || nodes.length === 0)
    throw new FileError(`${path}: no ONNX model: it has no graph with nodes`);
  const initializers = new Map(
    wires(graph['initializer']).map((tensor) => [text(tensor['name']), readTensor(tensor)]),
  );
  const inputs = new Map(wires(graph['input']).map((value) => [text(value['name']), readValue(value)]));
  for (const name of initializers.keys()) inputs.delete(name);
  const opsets = wires(model['opsetImport']).map(
    (set) => [text(set['domain']), number(set['version'])] as const,
  );
  return {
    nodes: nodes.map(readNode),
    initializers,
    inputs,
    values: new Map(
      [...wires(graph['valueInfo']), ...wires(graph['output'])].map((value) => [
        text(value['name']),
        readValue(value),
      ]),
    ),
    opset: opsets.find(([domain]) => domain === '' || domain === 'ai.onnx')?.[1] ?? 1,
  };
}

/** A decoded message: its fields, whatever they hold. */
type Wire = Readonly<Record<string, unknown>>;

/** A field that holds a message; protobufjs gives null for one that is not set. */
function message(field: unknown): Wire | undefined {
  return (field as Wire | null | undefined) ?? undefined;
}

function wires(field: unknown): readonly Wire[] {
  return Array.isArray(field) ? (field as Wire[]) : [];
}

function text(field: unknown): string {
  return typeof field === 'string' ? field : '';
}

/** 64-bit integers come as objects of protobufjs. */
function number(field: unknown): number {
  if (typeof field === 'object' && field !== null && 'toNumber' in field)
    return (field as { toNumber(): number }).toNumber();
  return Number(field ?? 0);
}

function numbers(field: unknown): readonly number[] {
  return Array.isArray(field) ? field.map(number) : [];
}

function readNode(node: Wire, at: number): ReadNode {
  const opType = text(node['opType']);
  const domain = text(node['domain']);
  const outputs = (node['output'] as string[] | undefined) ?? [];
  const attributes = new Map<string, ReadAttribute>();
  for (const attribute of wires(node['attribute'])) {
    const value = readAttribute(attribute);
    if (value !== undefined) attributes.set(text(attribute['name']), value);
  }
  return {
    name: text(node['name']) || outputs[0] || `${opType} ${at}`,
    opType,
    domain: domain === 'ai.onnx' ? '' : domain,
    inputs: (node['input'] as string[] | undefined) ?? [],
    outputs,
    attributes,
  };
}

/** The one value that is set; undefined for graphs and lists of texts or tensors. */
function readAttribute(attribute: Wire): ReadAttribute | undefined {
  const has = (key: string): boolean => Object.hasOwn(attribute, key);
  if (has('t')) return readTensor(attribute['t'] as Wire);
  if (has('s')) return Buffer.from(attribute['s'] as Uint8Array).toString('utf8');
  if (has('i')) return number(attribute['i']);
  if (has('f')) return number(attribute['f']);
  if (has('ints')) return numbers(attribute['ints']);
  if (has('floats')) return numbers(attribute['floats']);
  // Some writers leave out zeros and empty lists.
  switch (attribute['type']) {
    case AttributeType.Int:
    case AttributeType.Float:
      return 0;
    case AttributeType.Ints:
      return [];
    case AttributeType.String:
      return '';
    default:
      return undefined;
  }
}

function readValue(value: Wire): ReadValue {
  const type = message(message(value['type'])?.['tensorType']);
  const shape = message(type?.['shape']);
  return {
    elementType: type === undefined ? undefined : number(type['elemType']),
    dims: shape === undefined ? undefined : wires(shape['dim']).map(readDimension),
  };
}

function readDimension(dimension: Wire): ReadDimension {
  if (Object.hasOwn(dimension, 'dimValue')) return number(dimension['dimValue']);
  return text(dimension['dimParam']) || undefined;
}

function readTensor(tensor: Wire): ReadTensor {
  const elementType = number(tensor['dataType']);
  const dims = numbers(tensor['dims']);
  return { dims, elementType, values: () => valuesOf(tensor, elementType) };
}

function valuesOf(tensor: Wire, elementType: number): ArrayLike<number> | undefined {
  if (wires(tensor['externalData']).length > 0) return undefined;
  const raw = tensor['rawData'] as Uint8Array | undefined;
  if (raw !== undefined && raw.length > 0) return rawValues(raw, elementType);
  switch (elementType) {
    case ElementType.Float:
      return numbers(tensor['floatData']);
    case ElementType.Double:
      return numbers(tensor['doubleData']);
    case ElementType.Int64:
      return numbers(tensor['int64Data']);
    case ElementType.Float16:
      return numbers(tensor['int32Data']).map(halfToNumber);
    case ElementType.BFloat16:
      return numbers(tensor['int32Data']).map(bfloatToNumber);
    default:
      return numbers(tensor['int32Data']);
  }
}

/** Little-endian values; a copy, since the bytes may lie at any offset of the file. */
function rawValues(raw: Uint8Array, elementType: number): ArrayLike<number> | undefined {
  const bytes = new Uint8Array(raw);
  const whole = (size: number): ArrayBuffer => bytes.buffer.slice(0, bytes.length - (bytes.length % size));
  switch (elementType) {
    case ElementType.Float:
      return new Float32Array(whole(4));
    case ElementType.Double:
      return new Float64Array(whole(8));
    case ElementType.Int64:
      return Array.from(new BigInt64Array(whole(8)), Number);
    case ElementType.Uint64:
      return Array.from(new BigUint64Array(whole(8)), Number);
    case ElementType.Int32:
      return new Int32Array(whole(4));
    case ElementType.Uint32:
      return new Uint32Array(whole(4));
    case ElementType.Int16:
      return new Int16Array(whole(2));
    case ElementType.Uint16:
      return new Uint16Array(whole(2));
    case ElementType.Int8:
      return new Int8Array(whole(1));
    case ElementType.Uint8:
    case ElementType.Bool:
      return bytes;
    case ElementType.Float16:
      return Array.from(new Uint16Array(whole(2)), halfToNumber);
    case ElementType.BFloat16:
      return Array.from(new Uint16Array(whole(2)), bfloatToNumber);
    default:
      return undefined;
  }
}

function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function bfloatToNumber(bits: number): number {
  return new Float32Array(Uint32Array.of((bits << 16) >>> 0).buffer)[0]!;
}

/** Bits of one element as it is stored; undefined for texts and types we do not know. */
export function bitsOf(elementType: number | undefined): number | undefined {
  switch (elementType) {
    case ElementType.Double:
    case ElementType.Int64:
    case ElementType.Uint64:
      return 64;
    case ElementType.Float:
    case ElementType.Int32:
    case ElementType.Uint32:
      return 32;
    case ElementType.Float16:
    case ElementType.BFloat16:
    case ElementType.Int16:
    case ElementType.Uint16:
      return 16;
    case ElementType.Int8:
    case ElementType.Uint8:
    case ElementType.Bool:
      return 8;
    default:
      return undefined;
  }
}
