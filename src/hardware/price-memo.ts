/**
 * @file Prices remembered between processes: the search of a network's layers takes tens of milliseconds, and every
 * command, worker and run asks for the same shapes.
 *
 * There is one file per machine (hash of a profile's numbers and rules) and version of the model in the user's cache
 * folder, a plain row of records of one size: what a layer is, what it costs, a checksum. Processes append whole
 * batches with one write each, so they may run side by side; a record that two of them write twice does no harm. A
 * record counts only if its checksum holds; a process that has to add records looks through all of them first, says
 * how many are damaged, and replaces the file by the sound ones. A file that cannot be read or written only costs time.
 *
 * Reading must be cheap in a process that has only just begun, whose every function is compiled on its first call and
 * interpreted: hence few functions and no parsing.
 */
import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../base/cache-folder.js';
import { makeFolder, writeFileAtomic } from '../base/files.js';
import type { LevelEnergy, OperandEnergy, Tiling } from './accesses.js';
import { LayerRole, Primitive, type LayerDescription } from './layer.js';
import { profileHash } from './profile-hash.js';
import type { AcceleratorProfile } from './profile-schema.js';

/** Raise when any layer's price or tiling under any profile changes, or the records do; a test watches over it. */
export const modelVersion = 2;

/** What one layer costs, whatever its name. */
export interface Price {
  readonly operations: number;
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly byOperand: OperandEnergy;
  readonly byLevel: LevelEnergy;
  readonly tiling: Tiling;
}

// A record in 32-bit words: the hash of the layer, 13 numbers that describe it, 11 factors, a checksum; then 11 doubles.
const keyAt = 1;
const factorsAt = keyAt + 13;
const checksumAt = factorsAt + 11;
const figuresAt = checksumAt + 1;
const recordWords = figuresAt + 2 * 11;
const recordBytes = 4 * recordWords;
/** Beyond this many records the older half is dropped. */
const mostRecords = 16384;

const primitives = Object.values(Primitive);
const roles: readonly (LayerRole | undefined)[] = [undefined, ...Object.values(LayerRole)];

/** What is remembered of one machine. */
export class PriceMemo {
  #words: Uint32Array = new Uint32Array(0);
  #figures: Float64Array = new Float64Array(0);
  /** Hash table over the records: index + 1, 0 for empty; its length is a power of two. */
  #table = new Int32Array(1);
  #loaded = false;
  /** Whether all records are known to be sound. */
  #checked = false;
  /** Length of the file when it was read, where that was no whole number of records. */
  #tornBytes: number | undefined;
  #pending: ArrayBuffer[] = [];
  /** What this process added, by hash, as records of their own. */
  readonly #own = new Map<number, { readonly words: Uint32Array; readonly price: Price }>();

  constructor(
    private readonly path: string,
    private readonly onNotice: (message: string) => void,
  ) {}

  /** The price of a layer that passed the checks; undefined when none is remembered. @param hash of {@link hashOf} */
  find(layer: LayerDescription, hash: number): Price | undefined {
    if (!this.#loaded) this.#load();
    const words = this.#words;
    const table = this.#table;
    const mask = table.length - 1;
    for (let slot = hash & mask; table[slot] !== 0; slot = (slot + 1) & mask) {
      const at = (table[slot]! - 1) * recordWords;
      if (words[at] !== hash || !isAt(words, at + keyAt, layer)) continue;
      return words[at + checksumAt] === checksumOf(words, at) ? this.#priceAt(at) : undefined;
    }
    const own = this.#own.size === 0 ? undefined : this.#own.get(hash);
    return own !== undefined && isAt(own.words, keyAt, layer) ? own.price : undefined;
  }

  /** Keeps a price until {@link flush} writes it. */
  add(layer: LayerDescription, hash: number, price: Price): void {
    const buffer = new ArrayBuffer(recordBytes);
    const words = new Uint32Array(buffer);
    words[0] = hash;
    words.set(keyOf(layer), keyAt);
    const { N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3 } = price.tiling;
    words.set([N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3], factorsAt);
    const { inputMj, weightMj, outputMj } = price.byOperand;
    const { computeMj, dramMj, globalBufferMj, nocMj, registerFileMj } = price.byLevel;
    new Float64Array(buffer).set(
      [
        ...[price.operations, price.energyMj, price.latencyMs, inputMj, weightMj, outputMj],
        ...[computeMj, dramMj, globalBufferMj, nocMj, registerFileMj],
      ],
      figuresAt / 2,
    );
    words[checksumAt] = checksumOf(words, 0);
    this.#pending.push(buffer);
    if (this.#own.size >= mostRecords) this.#own.clear();
    this.#own.set(hash, { words, price });
  }

  /** Writes what was added since the last call. */
  flush(): void {
    if (this.#pending.length === 0) return;
    const added = new Uint32Array(this.#pending.length * recordWords);
    this.#pending.forEach((record, at) => added.set(new Uint32Array(record), at * recordWords));
    this.#pending = [];
    try {
      const damaged = this.#dropDamaged();
      if (damaged || !this.#append(added)) this.#replace(added);
    } catch {
      // The next process computes these again.
    }
  }

  #priceAt(at: number): Price {
    const words = this.#words;
    const figures = this.#figures;
    const t = at + factorsAt;
    const f = (at + figuresAt) / 2;
    return {
      operations: figures[f]!,
      energyMj: figures[f + 1]!,
      latencyMs: figures[f + 2]!,
      byOperand: { inputMj: figures[f + 3]!, weightMj: figures[f + 4]!, outputMj: figures[f + 5]! },
      byLevel: {
        computeMj: figures[f + 6]!,
        dramMj: figures[f + 7]!,
        globalBufferMj: figures[f + 8]!,
        nocMj: figures[f + 9]!,
        registerFileMj: figures[f + 10]!,
      },
      tiling: {
        N0: words[t]!,
        N3: words[t + 1]!,
        M0: words[t + 2]!,
        M1: words[t + 3]!,
        M2: words[t + 4]!,
        M3: words[t + 5]!,
        C0: words[t + 6]!,
        C1: words[t + 7]!,
        C2: words[t + 8]!,
        E1: words[t + 9]!,
        E3: words[t + 10]!,
      },
    };
  }

  /** False when the file has to be written anew: its end is torn, or it would become too long. */
  #append(added: Uint32Array): boolean {
    makeFolder(dirname(this.path));
    const file = openSync(this.path, 'a');
    try {
      const { size } = fstatSync(file);
      // A torn end that another process was still writing when we read it has its full length by now.
      if (size % recordBytes !== 0 && size === this.#tornBytes) {
        this.onNotice(`${this.path}: its last record is torn and left out`);
        return false;
      }
      if (size + added.byteLength > mostRecords * recordBytes) return false;
      writeSync(file, new Uint8Array(added.buffer));
      return true;
    } finally {
      closeSync(file);
    }
  }

  #replace(added: Uint32Array): void {
    const kept = this.#words.subarray(Math.max(0, this.#words.length - (mostRecords / 2) * recordWords));
    const content = new Uint32Array(kept.length + added.length);
    content.set(kept);
    content.set(added, kept.length);
    writeFileAtomic(this.path, new Uint8Array(content.buffer));
    this.#tornBytes = undefined;
  }

  #load(): void {
    this.#loaded = true;
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.path);
    } catch {
      return;
    }
    if (bytes.length % recordBytes !== 0) this.#tornBytes = bytes.length;
    const whole = bytes.length - (bytes.length % recordBytes);
    const words = new Uint32Array(whole / 4);
    new Uint8Array(words.buffer).set(bytes.subarray(0, whole));
    this.#index(words);
  }

  #index(words: Uint32Array): void {
    const count = words.length / recordWords;
    let size = 2;
    while (size < 2 * count + 1) size *= 2;
    const table = new Int32Array(size);
    for (let record = 0; record < count; record++) {
      let slot = words[record * recordWords]! & (size - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (size - 1);
      table[slot] = record + 1;
    }
    this.#words = words;
    this.#figures = new Float64Array(words.buffer);
    this.#table = table;
  }

  /** Looks through all records once; true when some were damaged and are gone now. */
  #dropDamaged(): boolean {
    if (this.#checked) return false;
    this.#checked = true;
    const all = this.#words;
    const sound: number[] = [];
    for (let at = 0; at < all.length; at += recordWords)
      if (all[at + checksumAt] === checksumOf(all, at)) sound.push(at);
    const count = all.length / recordWords;
    if (sound.length === count) return false;
    const words = new Uint32Array(sound.length * recordWords);
    sound.forEach((from, to) => words.set(all.subarray(from, from + recordWords), to * recordWords));
    this.#index(words);
    this.onNotice(
      `${this.path}: ${count - sound.length} of ${count} remembered prices are damaged and left out`,
    );
    return true;
  }
}

/** 32 bits over all that tells layers apart. */
export function hashOf(layer: LayerDescription): number {
  const { weight, activation, partialSum } = layer.operandBits;
  let hash = Math.imul(0x811c9dc5 ^ layer.batch, 0x01000193);
  hash = Math.imul(hash ^ layer.inHeight, 0x01000193);
  hash = Math.imul(hash ^ layer.inWidth, 0x01000193);
  hash = Math.imul(hash ^ layer.inChannels, 0x01000193);
  hash = Math.imul(hash ^ layer.kernel, 0x01000193);
  hash = Math.imul(hash ^ layer.outHeight, 0x01000193);
  hash = Math.imul(hash ^ layer.outWidth, 0x01000193);
  hash = Math.imul(hash ^ layer.outChannels, 0x01000193);
  hash = Math.imul(hash ^ layer.stride, 0x01000193);
  hash = Math.imul(hash ^ layer.groups, 0x01000193);
  hash = Math.imul(hash ^ (layer.copies ?? 1), 0x01000193);
  hash = Math.imul(hash ^ kindOf(layer), 0x01000193);
  hash = Math.imul(hash ^ (weight | (activation << 7) | (partialSum << 14)), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function kindOf({ primitive, role, fullyConnected }: LayerDescription): number {
  const place = role === undefined ? 0 : roles.indexOf(role);
  return 2 * (roles.length * primitives.indexOf(primitive) + place) + (fullyConnected ? 1 : 0);
}

function keyOf(layer: LayerDescription): number[] {
  const { weight, activation, partialSum } = layer.operandBits;
  const { batch, inHeight, inWidth, inChannels, kernel, outHeight, outWidth, outChannels } = layer;
  return [
    ...[batch, inHeight, inWidth, inChannels, kernel, outHeight, outWidth, outChannels],
    ...[layer.stride, layer.groups, layer.copies ?? 1, kindOf(layer)],
    weight | (activation << 7) | (partialSum << 14),
  ];
}

/** Whether the record whose key begins at `at` is this layer's. */
function isAt(words: Uint32Array, at: number, layer: LayerDescription): boolean {
  const { weight, activation, partialSum } = layer.operandBits;
  return (
    words[at] === layer.batch &&
    words[at + 1] === layer.inHeight &&
    words[at + 2] === layer.inWidth &&
    words[at + 3] === layer.inChannels &&
    words[at + 4] === layer.kernel &&
    words[at + 5] === layer.outHeight &&
    words[at + 6] === layer.outWidth &&
    words[at + 7] === layer.outChannels &&
    words[at + 8] === layer.stride &&
    words[at + 9] === layer.groups &&
    words[at + 10] === (layer.copies ?? 1) &&
    words[at + 11] === kindOf(layer) &&
    words[at + 12] === (weight | (activation << 7) | (partialSum << 14))
  );
}

/** A checksum over all of a record but itself; never that of a record of zeros. */
function checksumOf(words: Uint32Array, at: number): number {
  let sum = 0x5add0a5;
  for (let i = at; i < at + recordWords; i++) {
    const mixed = Math.imul(sum ^ words[i]!, 0x01000193);
    // Its own place counts as a zero.
    sum = i === at + checksumAt ? sum : (mixed << 13) | (mixed >>> 19);
  }
  return sum >>> 0;
}

const memos = new Map<string, PriceMemo>();
const mostMemos = 64;

/** The memo of a machine in the user's cache folder; undefined when caching is off. */
export function priceMemo(
  profile: AcceleratorProfile,
  onNotice: (message: string) => void,
): PriceMemo | undefined {
  const folder = cacheFolder();
  if (folder === undefined) return undefined;
  const path = join(folder, `prices-${modelVersion}-${profileHash(profile)}.bin`);
  let memo = memos.get(path);
  if (!memo) {
    memo = new PriceMemo(path, onNotice);
    if (memos.size >= mostMemos) memos.clear();
    memos.set(path, memo);
  }
  return memo;
}
