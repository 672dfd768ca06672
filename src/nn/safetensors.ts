/**
 * @file Tensors in the safetensors format of Hugging Face, float32 only: weights and checkpoints that any framework reads.
 *
 * A file is an 8-byte little-endian header length, a JSON header that names dtype, shape and byte range of every
 * tensor, and the bytes. The header is padded with spaces so that the data begin at a multiple of 8. A reader trusts
 * nothing: the ranges must tile the data exactly, without hole or overlap, so that no byte is hidden or read twice.
 * Source: the format section of the README of github.com/huggingface/safetensors.
 */
import { z } from 'zod';
import { FileError, ShapeError, messageOf } from '../base/errors.js';
import { sizeOf } from '../tensor/shape.js';

export interface StoredTensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array;
}

export interface SafetensorsContent {
  /** In the order of their bytes. */
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: Record<string, string>;
}

const metadataKey = '__metadata__';
const alignment = 8;
/** The reference implementation refuses longer headers. */
const maxHeaderBytes = 100_000_000;

/**
 * The bytes of a file with these tensors, in the order of the map.
 * @throws ShapeError when data do not fill a shape
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  // Written entry by entry: a JavaScript object would move number-like names to the front.
  const entries: string[] = [];
  if (metadata !== undefined) entries.push(`${JSON.stringify(metadataKey)}:${JSON.stringify(metadata)}`);
  let dataBytes = 0;
  for (const [name, { shape, data }] of tensors) {
    if (name === metadataKey) throw new Error(`safetensors: ${metadataKey} cannot be the name of a tensor`);
    if (sizeOf(shape) !== data.length)
      throw new ShapeError(`tensor ${name}: ${data.length} values do not fill [${shape.join(', ')}]`);
    const range = [dataBytes, (dataBytes += data.byteLength)];
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype: 'F32', shape, data_offsets: range })}`);
  }

  const header = new TextEncoder().encode(`{${entries.join(',')}}`);
  const headerBytes = Math.ceil(header.length / alignment) * alignment;
  const file = new Uint8Array(8 + headerBytes + dataBytes).fill(0x20, 8, 8 + headerBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(header, 8);
  let at = 8 + headerBytes;
  for (const { data } of tensors.values()) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/**
 * The tensors (copied) and metadata of a file.
 * @param where path or name of the file, for messages
 * @throws FileError when the bytes are no safetensors file, are truncated, or hold another type than F32
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): SafetensorsContent {
  const bad = (problem: string, cause?: unknown) =>
    new FileError(`${where}: not a usable safetensors file (${problem})`, { cause });
  const { header, data } = split(bytes, bad);
  const metadata = metadataOf(header[metadataKey] ?? {});
  if (metadata === undefined) throw bad(`${metadataKey} must map names to strings`);

  const entries = Object.entries(header)
    .filter(([name]) => name !== metadataKey)
    .map(([name, value]) => {
      const entry = entrySchema.safeParse(value);
      if (!entry.success) throw bad(`tensor ${name}: malformed entry`);
      return { name, ...entry.data };
    })
    .sort((a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);

  const tensors = new Map<string, StoredTensor>();
  let covered = 0;
  for (const {
    name,
    dtype,
    shape,
    data_offsets: [begin, end],
  } of entries) {
    if (dtype !== 'F32') throw bad(`tensor ${name} is ${dtype}; only F32 is read`);
    if (end - begin !== 4 * sizeOf(shape))
      throw bad(`tensor ${name}: bytes ${begin} to ${end} do not hold [${shape.join(', ')}]`);
    if (begin !== covered)
      throw bad(`tensor ${name}: begins at byte ${begin} of the data, the one before ends at ${covered}`);
    if (end > data.length) throw bad(`tensor ${name}: ends at byte ${end} of ${data.length}; truncated?`);
    // A copy, because the bytes need not lie on a multiple of 4; not by slice(), which on a Buffer is only a view.
    tensors.set(name, { shape, data: new Float32Array(new Uint8Array(data.subarray(begin, end)).buffer) });
    covered = end;
  }
  if (covered !== data.length) throw bad(`${data.length - covered} bytes at the end belong to no tensor`);
  return { tensors, metadata };
}

/** The map of strings to strings, whatever its keys are called (`__proto__` too); undefined when it is none. */
function metadataOf(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value) as [string, unknown][];
  const texts = entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return texts.length === entries.length ? Object.fromEntries(texts) : undefined;
}

const size = z.int().min(0);
const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(size),
  data_offsets: z.tuple([size, size]),
});

/** The parsed header, an object, and the bytes after it. */
function split(
  bytes: Uint8Array,
  bad: (problem: string, cause?: unknown) => FileError,
): { header: Record<string, unknown>; data: Uint8Array } {
  if (bytes.length < 8) throw bad('shorter than the header length');
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (headerBytes > maxHeaderBytes) throw bad(`a header of ${headerBytes} bytes`);
  const dataStart = 8 + Number(headerBytes);
  if (dataStart > bytes.length) throw bad('truncated within the header');
  let header: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      bytes.subarray(8, dataStart),
    );
    header = JSON.parse(text);
  } catch (error) {
    throw bad(`header: ${messageOf(error)}`, error);
  }
  if (typeof header !== 'object' || header === null || bytes[8] !== '{'.charCodeAt(0))
    throw bad('the header is no JSON object');
  return { header: header as Record<string, unknown>, data: bytes.subarray(dataStart) };
}
