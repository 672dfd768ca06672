/** @file The cache of decoded image folders: used when it may be, never trusted. */
import { existsSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ImageDataset, LoadProgress } from './dataset.js';
import { loadDataset } from './load-dataset.js';
import { folderOf, solidImage, tarGzFile, temporaryFolder } from './temporary.cases.js';

let red: Buffer;
let green: Buffer;
let blue: Buffer;
beforeAll(async () => {
  red = await solidImage('png', 6, 4, [200, 10, 20]);
  green = await solidImage('png', 6, 4, [10, 180, 30]);
  blue = await solidImage('png', 6, 4, [5, 15, 250]);
});

const twoParts = (): Record<string, Uint8Array | string> => ({
  'train/a/1.png': red,
  'train/b/1.png': green,
  'train/b/2.png': green,
  'test/a/1.png': red,
  'test/b/1.png': green,
});

describe('cache', () => {
  let cacheHome: string;
  beforeEach(() => {
    cacheHome = temporaryFolder();
    delete process.env['SHIFTADDNAS_CACHE'];
    process.env['XDG_CACHE_HOME'] = cacheHome;
  });
  afterEach(() => {
    delete process.env['XDG_CACHE_HOME'];
  });

  const cacheFiles = (): string[] =>
    existsSync(join(cacheHome, 'shiftaddnas'))
      ? readdirSync(join(cacheHome, 'shiftaddnas')).map((name) => join(cacheHome, 'shiftaddnas', name))
      : [];
  /** Loads, and tells whether images were decoded for it. */
  const load = async (
    path: string,
    imageSize?: number,
  ): Promise<{ dataset: ImageDataset; decoded: boolean }> => {
    const phases = new Set<LoadProgress['phase']>();
    const options = { onProgress: (progress: LoadProgress) => void phases.add(progress.phase) };
    const dataset = await loadDataset(`folder:${path}`, imageSize ? { ...options, imageSize } : options);
    return { dataset, decoded: phases.has('decoding') };
  };

  it('returns the same data set without decoding, notices included', async () => {
    for (const path of [
      folderOf({ ...twoParts(), 'train/a/n.txt': 'x' }),
      await tarGzFile({ ...twoParts(), 'train/a/n.txt': 'x' }),
    ]) {
      const first = await load(path);
      const second = await load(path);
      expect([first.decoded, second.decoded]).toEqual([true, false]);
      expect(second.dataset).toEqual(first.dataset);
      expect(second.dataset.notices).toHaveLength(1);
      expect(second.dataset.train.images.buffer).toBeInstanceOf(SharedArrayBuffer);
    }
    expect(cacheFiles()).toHaveLength(2);
  });

  it('keeps one copy of a tree without parts for all seeds, each getting what decoding would give it', async () => {
    const files: Record<string, Uint8Array | string> = { 'n.txt': 'x' };
    for (let i = 0; i < 30; i++)
      files[`${i % 3 ? 'a' : 'b'}/${i}.png`] = await solidImage('png', 3, 3, [i, i, 7]);
    const path = folderOf(files);
    process.env['SHIFTADDNAS_CACHE'] = 'off';
    const expected = [];
    for (const seed of [1, 2, 3]) expected.push(await loadDataset(`folder:${path}`, { seed }));
    expect(new Set(expected.map(({ fingerprint }) => fingerprint)).size).toBe(3);
    delete process.env['SHIFTADDNAS_CACHE'];
    for (const seed of [1, 2, 3, 2, 1]) {
      const phases = new Set<LoadProgress['phase']>();
      const first = cacheFiles().length === 0;
      const dataset = await loadDataset(`folder:${path}`, {
        seed,
        onProgress: ({ phase }) => phases.add(phase),
      });
      expect(phases.has('decoding')).toBe(first);
      expect(dataset).toEqual(expected[seed - 1]);
      expect(dataset.notices).toHaveLength(2);
    }
    expect(cacheFiles()).toHaveLength(1);
  });

  it('decodes again when the source or the size asked for changes, and drops the outdated file', async () => {
    const path = folderOf(twoParts());
    const { dataset } = await load(path);
    expect((await load(path, 5)).decoded).toBe(true);
    expect(cacheFiles()).toHaveLength(2);
    writeFileSync(join(path, 'train/b/2.png'), blue);
    utimesSync(join(path, 'train/b/2.png'), 1, 1);
    const changed = await load(path);
    expect(changed.decoded).toBe(true);
    expect(changed.dataset.fingerprint).not.toBe(dataset.fingerprint);
    expect(cacheFiles()).toHaveLength(2);
  });

  it('decodes again when the file is damaged anywhere, cut, or empty', async () => {
    const path = folderOf(twoParts());
    const { dataset } = await load(path);
    const [file] = cacheFiles();
    const whole = readFileSync(file!);
    for (const at of [
      0,
      8,
      9,
      11,
      20,
      60,
      Math.floor(whole.length / 2),
      whole.length - 40,
      whole.length - 1,
    ]) {
      const damaged = Buffer.from(whole);
      damaged[at]! ^= 0x41;
      writeFileSync(file!, damaged);
      const again = await load(path);
      expect([at, again.decoded]).toEqual([at, true]);
      expect(again.dataset).toEqual(dataset);
    }
    for (const cut of [whole.subarray(0, whole.length - 1), whole.subarray(0, 10), Buffer.alloc(0)]) {
      writeFileSync(file!, cut);
      expect((await load(path)).decoded).toBe(true);
    }
  });

  it('is silent when it cannot be written, and off when told so', async () => {
    rmSync(cacheHome, { recursive: true });
    writeFileSync(cacheHome, 'a file where the folder should be');
    const path = folderOf(twoParts());
    expect((await load(path)).dataset.notices).toEqual([]);
    expect((await load(path)).decoded).toBe(true);
    process.env['XDG_CACHE_HOME'] = temporaryFolder();
    process.env['SHIFTADDNAS_CACHE'] = 'off';
    await load(path);
    expect(readdirSync(process.env['XDG_CACHE_HOME'])).toEqual([]);
  });
});
