/**
 * @file A cache of decoded image folders: decoding 60000 small JPEGs takes half a minute, reading the pixels back half
 * a second, and every resumed or repeated run would pay it.
 *
 * A file is `SANCACHE`, the header's length (uint32, little endian), the header as JSON, the images and labels of both
 * parts, and the sha256 of all that. Anything unexpected in it is treated as absence. There is one file for each
 * (source, image size): a changed source replaces its predecessor. A tree without a test part is kept undivided (all of
 * it as the training part), since its division depends on the seed of a run. `SHIFTADDNAS_CACHE=off` turns the cache off.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cacheFolder } from '../base/cache-folder.js';
import { makeFolder } from '../base/files.js';
import { allocateImages, allocateLabels, imageLength, type ImagePart, type LoadedImages } from './dataset.js';

const MAGIC = 'SANCACHE';
const VERSION = 2;
const PREFIX_LENGTH = 16;
const PIECE_BYTES = 1 << 26;

interface CacheHeader extends Pick<LoadedImages, 'name' | 'height' | 'width' | 'channels' | 'classes'> {
  readonly fingerprint?: string;
  readonly notices: readonly string[];
  readonly trainCount: number;
  readonly testCount: number;
}

/**
 * Where the decoded form of a source is kept, or undefined when caching is off.
 * @param source what names the source; @param content what changes when it does.
 */
export function cacheFileFor(source: readonly string[], content: readonly string[]): string | undefined {
  const folder = cacheFolder();
  if (folder === undefined) return undefined;
  const digest = (labels: readonly string[]): string =>
    createHash('sha256')
      .update(JSON.stringify([VERSION, ...labels]))
      .digest('hex');
  const name = `${digest(source).slice(0, PREFIX_LENGTH)}-${digest(content).slice(0, 48)}.images`;
  return join(folder, name);
}

/** The cached data set, or undefined when there is none or it does not pass its checksum. */
export function readCache(path: string): { loaded: LoadedImages; notices: readonly string[] } | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const hash = createHash('sha256');
    const take = <T extends Uint8Array | Uint16Array>(target: T): T => {
      readAll(file, target);
      hash.update(target);
      return target;
    };
    if (Buffer.from(take(new Uint8Array(MAGIC.length))).toString('latin1') !== MAGIC) return undefined;
    const headerBytes = Buffer.from(take(new Uint8Array(4))).readUInt32LE();
    if (headerBytes > fstatSync(file).size) return undefined;
    const text = Buffer.from(take(new Uint8Array(headerBytes))).toString('utf8');
    const { notices, trainCount, testCount, ...head } = JSON.parse(text) as CacheHeader;
    // The size is checked before memory is asked for: a damaged header may claim any number of images.
    const imageBytes = (trainCount + testCount) * imageLength(head);
    if (!(imageBytes <= fstatSync(file).size)) return undefined;
    const part = (count: number): ImagePart => ({
      images: take(allocateImages(count, head)),
      labels: take(allocateLabels(count, head.classes.length)),
    });
    const loaded = { ...head, train: part(trainCount), test: part(testCount) };
    const expected = new Uint8Array(32);
    readAll(file, expected);
    return hash.digest().equals(expected) ? { loaded, notices } : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** Keeps a decoded data set. A cache that cannot be written is no failure: the next load decodes again. */
export function writeCache(path: string, loaded: LoadedImages, notices: readonly string[]): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    makeFolder(dirname(path));
    const file = openSync(temporary, 'w');
    try {
      const { name, height, width, channels, classes, fingerprint, train, test } = loaded;
      const header: CacheHeader = {
        name,
        height,
        width,
        channels,
        classes,
        ...(fingerprint !== undefined && { fingerprint }),
        notices,
        trainCount: train.labels.length,
        testCount: test.labels.length,
      };
      const text = Buffer.from(JSON.stringify(header), 'utf8');
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      const hash = createHash('sha256');
      const pieces = [Buffer.from(MAGIC, 'latin1'), length, text];
      for (const piece of [...pieces, train.images, train.labels, test.images, test.labels]) {
        hash.update(piece);
        writeAll(file, piece);
      }
      writeAll(file, hash.digest());
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    removePredecessors(path);
  } catch {
    try {
      rmSync(temporary, { force: true });
    } catch {
      // Even `force` throws when the path leads through a file; then there is nothing to remove.
    }
  }
}

function removePredecessors(path: string): void {
  const current = basename(path);
  for (const name of readdirSync(dirname(path)))
    if (name !== current && name.startsWith(current.slice(0, PREFIX_LENGTH + 1)) && name.endsWith('.images'))
      rmSync(join(dirname(path), name), { force: true });
}

function bytesOf(view: Uint8Array | Uint16Array): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function readAll(file: number, target: Uint8Array | Uint16Array): void {
  const bytes = bytesOf(target);
  for (let at = 0; at < bytes.length;) {
    const count = readSync(file, bytes, at, Math.min(PIECE_BYTES, bytes.length - at), null);
    if (count === 0) throw new Error('cache file ends early');
    at += count;
  }
}

function writeAll(file: number, source: Uint8Array | Uint16Array): void {
  const bytes = bytesOf(source);
  for (let at = 0; at < bytes.length;)
    at += writeSync(file, bytes, at, Math.min(PIECE_BYTES, bytes.length - at));
}
