/**
 * @file What the tests of this floor share: temporary folders, and files of each format made from nothing.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import tar from 'tar-stream';
import { afterAll } from 'vitest';
import { DataError } from '../base/errors.js';

const made: string[] = [];
afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A fresh folder, removed after the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-data-'));
  made.push(folder);
  return folder;
}

/** Writes files given by path below a fresh folder, and returns the folder. */
export function folderOf(files: Readonly<Record<string, Uint8Array | string>>): string {
  const folder = temporaryFolder();
  for (const [path, content] of Object.entries(files)) {
    const full = join(folder, path);
    mkdirSync(dirname(full), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(full, content);
    else mkdirSync(full, { recursive: true });
  }
  return folder;
}

/** An idx file of bytes. */
export function idxBytes(dimensions: readonly number[], data: ArrayLike<number>): Buffer {
  const head = Buffer.alloc(4 + 4 * dimensions.length);
  head[2] = 8;
  head[3] = dimensions.length;
  dimensions.forEach((size, i) => head.writeUInt32BE(size, 4 + 4 * i));
  return Buffer.concat([head, Buffer.from(Array.from(data))]);
}

/** A one-colour image. */
export function solidImage(
  format: 'png' | 'jpeg',
  width: number,
  height: number,
  colour: readonly [number, number, number],
): Promise<Buffer> {
  const [r, g, b] = colour;
  const image = sharp({ create: { width, height, channels: 3, background: { r, g, b } } });
  return format === 'png' ? image.png().toBuffer() : image.jpeg({ quality: 95 }).toBuffer();
}

/** A one-channel image of the given pixels. */
export function greyImage(
  format: 'png' | 'jpeg',
  width: number,
  height: number,
  pixels: Uint8Array,
): Promise<Buffer> {
  const image = sharp(Buffer.from(pixels), { raw: { width, height, channels: 1 } }).toColourspace('b-w');
  return format === 'png' ? image.png().toBuffer() : image.jpeg({ quality: 95 }).toBuffer();
}

/** A tar archive of the given files (a path that ends in `/` is a folder), in the order given. */
export async function tarOf(files: Readonly<Record<string, Uint8Array | string>>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, content] of Object.entries(files))
    if (name.endsWith('/')) pack.entry({ name, type: 'directory' });
    else pack.entry({ name }, Buffer.from(content as Uint8Array));
  pack.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of pack) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The same, gzipped, as a file; returns its path. */
export async function tarGzFile(files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const path = join(temporaryFolder(), 'images.tar.gz');
  writeFileSync(path, gzipSync(await tarOf(files)));
  return path;
}

/** The message of the DataError that `body` rejects with; fails when it resolves or throws anything else. */
export async function dataErrorOf(body: Promise<unknown>): Promise<string> {
  try {
    await body;
  } catch (error) {
    if (error instanceof DataError && !error.message.includes('\n')) return error.message;
    throw error;
  }
  throw new Error('expected a DataError, but it resolved');
}
