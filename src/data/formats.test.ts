/** @file The fixed formats (idx, CIFAR binary, MNIST, Fashion-MNIST) and the way in. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { channelStatistics } from './augment.js';
import type { ImageDataset } from './dataset.js';
import { describeDataset } from './describe.js';
import { datasetUsages, loadDataset } from './load-dataset.js';
import { dataErrorOf, folderOf, idxBytes, tarGzFile, temporaryFolder } from './temporary.cases.js';

const pixels = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, i) => (from + 7 * i) % 256);
const trainData = pixels(6 * 4 * 5);
const testData = pixels(3 * 4 * 5, 11);
const idxFiles = {
  'train-images-idx3-ubyte': idxBytes([6, 4, 5], trainData),
  'train-labels-idx1-ubyte': idxBytes([6], [0, 1, 2, 0, 1, 2]),
  't10k-images-idx3-ubyte': idxBytes([3, 4, 5], testData),
  't10k-labels-idx1-ubyte': idxBytes([3], [2, 1, 0]),
};

function training(dataset: ImageDataset): Uint32Array {
  return Uint32Array.from(dataset.train.labels, (_, i) => i);
}

describe('idx', () => {
  const expectContent = (dataset: ImageDataset): void => {
    expect([dataset.height, dataset.width, dataset.channels]).toEqual([4, 5, 1]);
    expect(dataset.classes).toEqual(['0', '1', '2']);
    expect(Array.from(dataset.train.images)).toEqual(trainData);
    expect(Array.from(dataset.test.images)).toEqual(testData);
    expect(Array.from(dataset.train.labels)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(Array.from(dataset.test.labels)).toEqual([2, 1, 0]);
    expect(dataset.train.images.buffer).toBeInstanceOf(SharedArrayBuffer);
  };

  it('reads the four files under each usual name, plain or gzipped, to the same content', async () => {
    const variants: Record<string, Uint8Array>[] = [
      idxFiles,
      Object.fromEntries(Object.entries(idxFiles).map(([k, v]) => [k.replace('-idx', '.idx'), v])),
      Object.fromEntries(Object.entries(idxFiles).map(([k, v]) => [`${k}.gz`, gzipSync(v)])),
      Object.fromEntries(Object.entries(idxFiles).map(([k, v]) => [k.replace(/-idx.*/, ''), v])),
      Object.fromEntries(Object.entries(idxFiles).map(([k, v]) => [k.replace('t10k', 'test'), v])),
    ];
    const fingerprints = new Set<string>();
    for (const files of variants) {
      const dataset = await loadDataset(`idx:${folderOf(files)}`);
      expectContent(dataset);
      fingerprints.add(dataset.fingerprint);
    }
    expect(fingerprints.size).toBe(1);
  });

  it('reads colour images of four dimensions', async () => {
    const colour = pixels(4 * 2 * 2 * 3);
    const dataset = await loadDataset(
      `idx:${folderOf({
        'train-images': idxBytes([4, 2, 2, 3], colour),
        'train-labels': idxBytes([4], [0, 1, 0, 1]),
        't10k-images': idxBytes([1, 2, 2, 3], colour.slice(0, 12)),
        't10k-labels': idxBytes([1], [1]),
      })}`,
    );
    expect(dataset.channels).toBe(3);
    expect(Array.from(dataset.train.images)).toEqual(colour);
  });

  it('changes its fingerprint with one pixel or one label', async () => {
    const first = (await loadDataset(`idx:${folderOf(idxFiles)}`)).fingerprint;
    const otherPixels = [...trainData];
    otherPixels[17]! ^= 1;
    const changes = [
      { 'train-images-idx3-ubyte': idxBytes([6, 4, 5], otherPixels) },
      { 't10k-labels-idx1-ubyte': idxBytes([3], [2, 1, 1]) },
    ];
    for (const change of changes) {
      const changed = await loadDataset(`idx:${folderOf({ ...idxFiles, ...change })}`);
      expect(changed.fingerprint).not.toBe(first);
    }
  });

  it('scales to the size asked for', async () => {
    const flat = idxBytes([6, 4, 4], new Array<number>(6 * 16).fill(90));
    const folder = folderOf({
      ...idxFiles,
      'train-images-idx3-ubyte': flat,
      't10k-images-idx3-ubyte': idxBytes([3, 4, 4], new Array<number>(48).fill(40)),
    });
    const dataset = await loadDataset(`idx:${folder}`, { imageSize: 8 });
    expect([dataset.height, dataset.width, dataset.channels]).toEqual([8, 8, 1]);
    expect(Array.from(dataset.train.images)).toEqual(new Array<number>(6 * 64).fill(90));
    expect(Array.from(dataset.test.images)).toEqual(new Array<number>(3 * 64).fill(40));
    expect(dataset.notices).toEqual(['images were scaled from 4x4 to 8x8']);
  });

  it.each([
    ['a missing file', { 't10k-labels-idx1-ubyte': null }, /no t10k-labels-idx1-ubyte/],
    [
      'a truncated file',
      { 'train-images-idx3-ubyte': idxFiles['train-images-idx3-ubyte'].subarray(0, 100) },
      /train-images-idx3-ubyte: truncated: expected 136 bytes, found 100/,
    ],
    [
      'a file that is too long',
      { 'train-labels-idx1-ubyte': Buffer.concat([idxFiles['train-labels-idx1-ubyte'], Buffer.alloc(2)]) },
      /train-labels-idx1-ubyte: too long: expected 14 bytes, found 16/,
    ],
    [
      'a cut header',
      { 'train-images-idx3-ubyte': Buffer.from([0, 0, 8, 3, 0]) },
      /expected 16 bytes of header, found 5/,
    ],
    ['a bad magic', { 'train-images-idx3-ubyte': Buffer.from('hello world') }, /bad magic 68656c6c/],
    ['an empty file', { 'train-images-idx3-ubyte': Buffer.alloc(0) }, /bad magic \(empty file\)/],
    [
      'a label out of range',
      { 't10k-labels-idx1-ubyte': idxBytes([3], [2, 9, 0]) },
      /label 9 of image 1 is out of range/,
    ],
    [
      'too few labels',
      { 'train-labels-idx1-ubyte': idxBytes([5], [0, 1, 2, 0, 1]) },
      /holds 5 labels for the 6 images/,
    ],
    [
      'another image size',
      { 't10k-images-idx3-ubyte': idxBytes([3, 2, 2], pixels(12)) },
      /images are 2x2, but/,
    ],
    [
      'an empty test part',
      { 't10k-images-idx3-ubyte': idxBytes([0, 4, 5], []), 't10k-labels-idx1-ubyte': idxBytes([0], []) },
      /test part is empty/,
    ],
    [
      'one class',
      {
        'train-labels-idx1-ubyte': idxBytes([6], [0, 0, 0, 0, 0, 0]),
        't10k-labels-idx1-ubyte': idxBytes([3], [0, 0, 0]),
      },
      /all of one class/,
    ],
  ])('names %s', async (_, change, message) => {
    const files = Object.entries({ ...idxFiles, ...change }).filter(([, bytes]) => bytes !== null);
    const folder = folderOf(Object.fromEntries(files) as Record<string, Uint8Array>);
    expect(await dataErrorOf(loadDataset(`idx:${folder}`))).toMatch(message);
  });

  it('names a gzip file that ends early', async () => {
    const packed = gzipSync(idxFiles['train-images-idx3-ubyte']);
    const files: Record<string, Uint8Array> = { ...idxFiles, 'train-images.gz': packed.subarray(0, 30) };
    // A whole file under a name that is looked for earlier is preferred.
    expect((await loadDataset(`idx:${folderOf(files)}`)).train.labels.length).toBe(6);
    delete files['train-images-idx3-ubyte'];
    const message = await dataErrorOf(loadDataset(`idx:${folderOf(files)}`));
    expect(message).toMatch(/train-images.gz: the gzip data is truncated/);
  });

  it('says which classes have no training images', async () => {
    const files = { ...idxFiles, 'train-labels-idx1-ubyte': idxBytes([6], [1, 4, 1, 4, 1, 4]) };
    const dataset = await loadDataset(`idx:${folderOf(files)}`);
    expect(dataset.classes).toHaveLength(5);
    expect(dataset.notices.join()).toMatch(/no training images of class 0, 2, 3$/);
  });
});

/** Records whose pixel (y, x, c) of record r is f(r, y, x, c). */
function cifarBytes(labels: readonly (readonly number[])[]): Buffer {
  return Buffer.concat(
    labels.map((head, r) => {
      const record = Buffer.alloc(head.length + 3072);
      head.forEach((label, i) => (record[i] = label));
      for (let c = 0; c < 3; c++)
        for (let y = 0; y < 32; y++)
          for (let x = 0; x < 32; x++) record[head.length + c * 1024 + y * 32 + x] = cifarPixel(r, y, x, c);
      return record;
    }),
  );
}

function cifarPixel(r: number, y: number, x: number, c: number): number {
  return (r * 31 + y * 5 + x * 3 + c * 70) % 256;
}

const cifar10Files = {
  ...Object.fromEntries([1, 2, 3, 4, 5].map((i) => [`data_batch_${i}.bin`, cifarBytes([[i], [9 - i]])])),
  'test_batch.bin': cifarBytes([[3], [0], [9]]),
  'batches.meta.txt': 'airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n',
};

describe('cifar', () => {
  it('reads the binary version of CIFAR-10 from a folder and from an archive alike', async () => {
    const folder = folderOf(cifar10Files);
    const archive = await tarGzFile(
      Object.fromEntries(Object.entries(cifar10Files).map(([k, v]) => [`cifar-10-batches-bin/${k}`, v])),
    );
    const a = await loadDataset(`cifar10:${folder}`);
    const b = await loadDataset(`cifar10:${archive}`);
    expect(a.fingerprint).toBe(b.fingerprint);
    expect([a.name, a.height, a.width, a.channels]).toEqual(['cifar10', 32, 32, 3]);
    expect(a.classes[9]).toBe('truck');
    expect(Array.from(a.train.labels)).toEqual([1, 8, 2, 7, 3, 6, 4, 5, 5, 4]);
    expect(Array.from(a.test.labels)).toEqual([3, 0, 9]);
    for (let r = 0; r < 3; r++)
      for (const [y, x, c] of [
        [0, 0, 0],
        [31, 31, 2],
        [4, 17, 1],
        [20, 3, 2],
      ] as const)
        expect(a.test.images[((r * 32 + y) * 32 + x) * 3 + c]).toBe(cifarPixel(r, y, x, c));
    expect(a.notices.join()).toMatch(/10 training images; the original has 50000/);
  });

  it('takes the fine labels of CIFAR-100', async () => {
    const folder = folderOf({
      'train.bin': cifarBytes([
        [4, 99],
        [19, 0],
        [7, 42],
      ]),
      'test.bin': cifarBytes([[4, 99]]),
    });
    const dataset = await loadDataset(`cifar100:${folder}`);
    expect(Array.from(dataset.train.labels)).toEqual([99, 0, 42]);
    expect(dataset.classes).toHaveLength(100);
    expect(dataset.train.images[1]).toBe(cifarPixel(0, 0, 0, 1));
  });

  it.each([
    [
      'a truncated file',
      { 'data_batch_3.bin': Buffer.alloc(5000) },
      /data_batch_3.bin is truncated: expected 30730000 bytes \(10000 records of 3073\), found 5000/,
    ],
    ['a missing file', { 'data_batch_4.bin': null }, /data_batch_4.bin is missing/],
    [
      'a label out of range',
      { 'test_batch.bin': cifarBytes([[3], [10]]) },
      /test_batch.bin: label 10 of record 1 is out of range/,
    ],
    [
      'the Python version',
      { 'data_batch_1.bin': null, data_batch_1: Buffer.alloc(3) },
      /Python \(pickle\) version/,
    ],
  ])('names %s', async (_, change, message) => {
    const files = Object.entries({ ...cifar10Files, ...change }).filter(([, bytes]) => bytes !== null);
    const folder = folderOf(Object.fromEntries(files) as Record<string, Uint8Array>);
    expect(await dataErrorOf(loadDataset(`cifar10:${folder}`))).toMatch(message);
  });
});

describe('loadDataset', () => {
  it('lists the known kinds for an unknown one', async () => {
    for (const spec of ['cifar11', 'http://host/x', '', 'folder'])
      expect(await dataErrorOf(loadDataset(spec))).toMatch(/folder:PATH/);
    const message = await dataErrorOf(loadDataset('imagenet:/x'));
    for (const usage of datasetUsages) expect(message).toContain(usage);
  });

  it('names a path that does not exist', async () => {
    const missing = join(temporaryFolder(), 'nowhere');
    for (const scheme of ['idx', 'cifar10', 'cifar100', 'folder'])
      expect(await dataErrorOf(loadDataset(`${scheme}:${missing}`))).toMatch(/nowhere: no such/);
  });

  it('refuses a senseless image size', async () => {
    for (const imageSize of [0, 2.5, -3, 1e6, NaN])
      await expect(loadDataset('mnist', { imageSize })).rejects.toThrow(/image size/);
  });

  it('refuses a senseless seed', async () => {
    for (const seed of [-1, 0.5, NaN, 2 ** 53])
      await expect(loadDataset('mnist', { seed })).rejects.toThrow(/seed .*whole number/);
  });

  it('never fails with anything but one clear line on damaged idx files', async () => {
    const folder = folderOf(idxFiles);
    const path = join(folder, 'train-images-idx3-ubyte');
    const whole = idxFiles['train-images-idx3-ubyte'];
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 15 }),
        fc.integer({ min: 0, max: 255 }),
        async (at, value) => {
          const damaged = Buffer.from(whole);
          if (damaged[at] === value) return;
          damaged[at] = value;
          writeFileSync(path, damaged);
          expect(await dataErrorOf(loadDataset(`idx:${folder}`))).toContain(folder);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('real data', () => {
  it('has the published figures of MNIST', async () => {
    const dataset = await loadDataset('mnist');
    const info = describeDataset(dataset);
    expect([info.trainCount, info.testCount, info.height, info.width, info.channels]).toEqual([
      60000, 10000, 28, 28, 1,
    ]);
    expect(info.mean[0]).toBeCloseTo(0.1307, 4);
    expect(info.std[0]).toBeCloseTo(0.3081, 4);
    expect(info.classes.map((entry) => entry.train)).toEqual([
      5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]);
    expect(info.memoryBytes).toBe(70000 * 785);
    expect(Array.from(dataset.train.labels.subarray(0, 10))).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  });

  const fashion = '/usr/share/datasets/fashion-mnist';
  it.skipIf(!existsSync(fashion))(
    `has the published figures of Fashion-MNIST (skipped unless ${fashion} exists)`,
    async () => {
      const dataset = await loadDataset(`idx:${fashion}`);
      const { mean, std } = channelStatistics(dataset.train.images, training(dataset), dataset);
      expect([dataset.train.labels.length, dataset.test.labels.length]).toEqual([60000, 10000]);
      expect(mean[0]).toBeCloseTo(0.286, 3);
      expect(std[0]).toBeCloseTo(0.353, 3);
    },
  );
});
