/**
 * @file Tilings remembered between processes: the search of a network's layers takes tens of milliseconds, and every
 * command, worker and run asks for the same shapes.
 *
 * There is one file per machine (hash of a profile's numbers and rules) and version of the search in the user's cache
 * folder, a plain row of records: 13 numbers that decide the search, the 7 factors it chose, a checksum. Processes
 * append whole batches with one write each, so they may run side by side; a record that two of them write twice does
 * no harm. Prices are not kept: they follow from the tiling in microseconds. Damaged records are left out with a line,
 * and the file is replaced by its sound ones. A file that cannot be read or written only costs time.
 */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../base/cache-folder.js';
import { makeFolder, writeFileAtomic } from '../base/files.js';
import type { LoopNest, Tiling } from './accesses.js';
import type { OperandBits } from './layer.js';
import { LayerRole, Primitive } from './layer.js';
import type { PricedKind } from './machine.js';
import type { AcceleratorProfile } from './profile-schema.js';

/** Raise when the search comes to other tilings than before. */
const searchVersion = 1;

const keyWords = 13;
const factorWords = 7;
const recordWords = keyWords + factorWords + 1;
const recordBytes = 4 * recordWords;
/** Beyond this many records the older half is dropped. */
const mostRecords = 16384;

const primitives = Object.values(Primitive);
const roles: readonly (LayerRole | undefined)[] = [undefined, ...Object.values(LayerRole)];

/** What is remembered of one machine. */
export class TilingMemo {
  #records = new Uint32Array(0);
  /** Hash table over the records: index + 1, 0 for empty; its length is a power of two. */
  #table = new Int32Array(1);
  #loaded = false;
  #pending: Uint32Array[] = [];
  /** What this process chose itself, written or not. */
  readonly #own = new Map<string, Tiling>();
  /** Length of the file when it was read, where that was no whole number of records. */
  #tornBytes: number | undefined;

  constructor(
    private readonly path: string,
    private readonly onNotice: (message: string) => void,
  ) {}

  /** The tiling of a layer whose operands have these widths; undefined when none is remembered. */
  find(nest: LoopNest, kind: PricedKind, bits: OperandBits): Tiling | undefined {
    this.#load();
    const key = keyOf(nest, kind, bits);
    const records = this.#records;
    const mask = this.#table.length - 1;
    for (let slot = hashOf(key, 0) & mask; ; slot = (slot + 1) & mask) {
      const at = (this.#table[slot]! - 1) * recordWords;
      if (at < 0) return this.#own.get(key.join());
      let same = true;
      for (let i = 0; i < keyWords && same; i++) same = records[at + i] === key[i];
      if (same) return tilingOf(nest, records, at + keyWords);
    }
  }

  /** Keeps a tiling until {@link flush} writes it. */
  add(nest: LoopNest, kind: PricedKind, bits: OperandBits, tiling: Tiling): void {
    const record = new Uint32Array(recordWords);
    const key = keyOf(nest, kind, bits);
    if (this.#own.size >= mostRecords) this.#own.clear();
    this.#own.set(key.join(), tiling);
    record.set(key);
    const { N0, M0, M1, M2, C0, C1, E1 } = tiling;
    record.set([N0, M0, M1, M2, C0, C1, E1], keyWords);
    record[recordWords - 1] = checksumOf(record, 0);
    this.#pending.push(record);
  }

  /** Writes what was added since the last call. */
  flush(): void {
    if (this.#pending.length === 0) return;
    const added = new Uint32Array(this.#pending.length * recordWords);
    this.#pending.forEach((record, at) => added.set(record, at * recordWords));
    this.#pending = [];
    try {
      makeFolder(dirname(this.path));
      const file = openSync(this.path, 'a');
      try {
        const size = fstatSync(file).size;
        // A torn end that another process was still writing when we read has its full length by now.
        const torn = size % recordBytes !== 0 && size === this.#tornBytes;
        if (!torn && size + added.byteLength <= mostRecords * recordBytes) {
          writeSync(file, new Uint8Array(added.buffer));
          return;
        }
        if (torn) this.onNotice(`${this.path}: its last record is torn and left out`);
      } finally {
        closeSync(file);
      }
      this.#replace(added);
    } catch {
      // The next process computes these again.
    }
  }

  #replace(added: Uint32Array): void {
    const kept = this.#records.subarray(Math.max(0, this.#records.length - (mostRecords / 2) * recordWords));
    const content = new Uint32Array(kept.length + added.length);
    content.set(kept);
    content.set(added, kept.length);
    writeFileAtomic(this.path, new Uint8Array(content.buffer));
    this.#tornBytes = undefined;
  }

  #load(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.path);
    } catch {
      return;
    }
    const count = Math.floor(bytes.length / recordBytes);
    if (bytes.length % recordBytes !== 0) this.#tornBytes = bytes.length;
    const all = new Uint32Array(count * recordWords);
    new Uint8Array(all.buffer).set(bytes.subarray(0, count * recordBytes));
    const sound: number[] = [];
    for (let record = 0; record < count; record++)
      if (all[(record + 1) * recordWords - 1] === checksumOf(all, record * recordWords)) sound.push(record);
    this.#records = all;
    if (sound.length < count) {
      this.#records = new Uint32Array(sound.length * recordWords);
      sound.forEach((record, at) =>
        this.#records.set(all.subarray(record * recordWords, (record + 1) * recordWords), at * recordWords),
      );
      this.onNotice(
        `${this.path}: ${count - sound.length} of ${count} remembered tilings are damaged and left out`,
      );
      try {
        this.#replace(new Uint32Array(0));
      } catch {
        // Then the line comes again with the next process.
      }
    }
    this.#index(sound.length);
  }

  #index(count: number): void {
    const size = 2 ** Math.ceil(Math.log2(2 * count + 1));
    this.#table = new Int32Array(size);
    for (let record = 0; record < count; record++) {
      let slot = hashOf(this.#records, record * recordWords) & (size - 1);
      while (this.#table[slot] !== 0) slot = (slot + 1) & (size - 1);
      this.#table[slot] = record + 1;
    }
  }
}

function keyOf(nest: LoopNest, { primitive, role }: PricedKind, bits: OperandBits): Uint32Array {
  const { N, H, W, C, R, M, E, F, stride, isMatrixProduct } = nest;
  const kind =
    2 * (roles.length * primitives.indexOf(primitive) + roles.indexOf(role)) + Number(isMatrixProduct);
  return Uint32Array.of(N, H, W, C, R, M, E, F, stride, kind, bits.weight, bits.activation, bits.partialSum);
}

/** The tiling of a record, or undefined when its factors are none of this nest. */
function tilingOf({ N, M, C, E }: LoopNest, records: Uint32Array, at: number): Tiling | undefined {
  const [N0, M0, M1, M2, C0, C1, E1] = records.subarray(at, at + factorWords) as unknown as readonly [
    ...[number, number, number, number],
    ...[number, number, number],
  ];
  const tiling = {
    ...{ N0, N3: N / N0, M0, M1, M2, M3: M / (M0 * M1 * M2) },
    ...{ C0, C1, C2: C / (C0 * C1), E1, E3: E / E1 },
  };
  return [tiling.N3, tiling.M3, tiling.C2, tiling.E3].every(Number.isInteger) ? tiling : undefined;
}

/** FNV-1a over the words of a key. */
function hashOf(words: Uint32Array, at: number): number {
  let hash = 0x811c9dc5;
  for (let i = at; i < at + keyWords; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** A checksum over all words of a record but the last; never that of a record of zeros. */
function checksumOf(words: Uint32Array, at: number): number {
  let sum = 0x5add0a5;
  for (let i = at; i < at + recordWords - 1; i++) {
    const mixed = Math.imul(sum ^ words[i]!, 0x01000193);
    sum = (mixed << 13) | (mixed >>> 19);
  }
  return sum >>> 0;
}

const memos = new Map<string, TilingMemo>();
const hashes = new WeakMap<AcceleratorProfile, string>();

/** The memo of a machine in the user's cache folder; undefined when caching is off. */
export function tilingMemo(
  profile: AcceleratorProfile,
  onNotice: (message: string) => void,
): TilingMemo | undefined {
  const folder = cacheFolder();
  if (folder === undefined) return undefined;
  const path = join(folder, `tilings-${searchVersion}-${profileHash(profile)}.bin`);
  let memo = memos.get(path);
  if (!memo) memos.set(path, (memo = new TilingMemo(path, onNotice)));
  return memo;
}

/** 16 hexadecimal digits over what a profile's prices follow from: all of it but names, descriptions and sources. */
export function profileHash(profile: AcceleratorProfile): string {
  let hash = hashes.get(profile);
  if (hash === undefined) {
    const numbers = JSON.stringify(profile, (key, value: unknown) =>
      ['name', 'description', 'source'].includes(key) ? undefined : value,
    );
    hashes.set(profile, (hash = createHash('sha256').update(numbers).digest('hex').slice(0, 16)));
  }
  return hash;
}
