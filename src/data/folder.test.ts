/** @file Image folders and archives: layouts, sizes, colours, damage. */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../base/modules.js';
import type { ImageDataset } from './dataset.js';
import { describeDataset } from './describe.js';
import { readImageHeader } from './image-header.js';
import { loadDataset } from './load-dataset.js';
import {
  dataErrorOf,
  folderOf,
  greyImage,
  solidImage,
  tarGzFile,
  tarOf,
  temporaryFolder,
} from './temporary.cases.js';

type Files = Record<string, Uint8Array | string>;

let red: Buffer;
let green: Buffer;
let blue: Buffer;
let redJpeg: Buffer;
beforeAll(async () => {
  red = await solidImage('png', 6, 4, [200, 10, 20]);
  green = await solidImage('png', 6, 4, [10, 180, 30]);
  blue = await solidImage('png', 6, 4, [5, 15, 250]);
  redJpeg = await solidImage('jpeg', 6, 4, [200, 10, 20]);
});

beforeEach(() => {
  process.env['SHIFTADDNAS_CACHE'] = 'off';
});

const twoParts = (): Files => ({
  'train/b/2.png': green,
  'train/b/1.png': green,
  'train/a/x.png': red,
  'train/a/deep/y.PNG': red,
  'test/a/z.png': red,
  'test/b/z.png': green,
});

/** The colour of the first pixel of an image, and whether the whole image has it. */
function solidColour(dataset: ImageDataset, part: 'train' | 'test', index: number): number[] | 'mixed' {
  const length = dataset.height * dataset.width * dataset.channels;
  const image = Array.from(dataset[part].images.subarray(index * length, (index + 1) * length));
  const first = image.slice(0, dataset.channels);
  return image.every((value, i) => value === first[i % dataset.channels]) ? first : 'mixed';
}

describe('layouts', () => {
  it('reads train/ and test/ with classes and files in sorted order', async () => {
    const dataset = await loadDataset(`folder:${folderOf(twoParts())}`);
    expect(dataset.classes).toEqual(['a', 'b']);
    expect([dataset.height, dataset.width, dataset.channels]).toEqual([4, 6, 3]);
    expect(Array.from(dataset.train.labels)).toEqual([0, 0, 1, 1]);
    expect(Array.from(dataset.test.labels)).toEqual([0, 1]);
    expect([0, 1, 2, 3].map((i) => solidColour(dataset, 'train', i))).toEqual([
      [200, 10, 20],
      [200, 10, 20],
      [10, 180, 30],
      [10, 180, 30],
    ]);
    expect(dataset.notices).toEqual([]);
    expect(dataset.train.images.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('gives the same content for a folder, a tar, a tar.gz, and one wrapped in another folder', async () => {
    const files = twoParts();
    const wrapped = Object.fromEntries(Object.entries(files).map(([k, v]) => [`./pictures/v1/${k}`, v]));
    const plain = join(temporaryFolder(), 'images.tar');
    writeFileSync(plain, await tarOf(files));
    const reversed = Object.fromEntries(Object.entries(files).reverse());
    const paths = [folderOf(files), plain, await tarGzFile(reversed), await tarGzFile(wrapped)];
    const loaded = await Promise.all(paths.map((path) => loadDataset(`folder:${path}`)));
    expect(new Set(loaded.map((dataset) => dataset.fingerprint)).size).toBe(1);
    expect(loaded[2]!.name).toBe('images');
  });

  it('holds a stratified fifth out of a tree without parts, drawn by the seed', async () => {
    const files: Files = {};
    for (let i = 0; i < 20; i++) files[`cat/${i}.png`] = await solidImage('png', 3, 3, [i, 1, 2]);
    for (let i = 0; i < 10; i++) files[`dog/${i}.png`] = await solidImage('png', 3, 3, [i, 3, 4]);
    const [folder, archive] = [folderOf(files), await tarGzFile(files)];
    const testParts = new Set<string>();
    for (let seed = 0; seed < 8; seed++) {
      const dataset = await loadDataset(`folder:${folder}`, { seed });
      expect(describeDataset(dataset).classes).toEqual([
        { name: 'cat', train: 16, test: 4 },
        { name: 'dog', train: 8, test: 2 },
      ]);
      const seen = (['train', 'test'] as const).flatMap((part) =>
        Array.from(dataset[part].labels, (label, i) => {
          const colour = solidColour(dataset, part, i) as number[];
          expect(colour.slice(1)).toEqual(label === 0 ? [1, 2] : [3, 4]);
          return String(colour);
        }),
      );
      expect(new Set(seen).size).toBe(30);
      testParts.add(String(seen.slice(24)));
      expect(dataset.notices).toEqual([
        expect.stringContaining(`6 images (20 % of each class, drawn by seed ${seed}) are the test part`),
      ]);
      const again = await loadDataset(`folder:${archive}`, { seed });
      expect(again.fingerprint).toBe(dataset.fingerprint);
      expect(again.test).toEqual(dataset.test);
      expect(again.train).toEqual(dataset.train);
    }
    expect(testParts.size).toBeGreaterThanOrEqual(7);
    const unnamed = await loadDataset(`folder:${folder}`);
    expect(unnamed.fingerprint).toBe((await loadDataset(`folder:${folder}`, { seed: 1 })).fingerprint);
  });

  it('has no held-out image in the memory of the training part', async () => {
    const files: Files = {};
    for (let i = 0; i < 10; i++)
      files[`${i % 2 ? 'a' : 'b'}/${i}.png`] = await solidImage('png', 3, 3, [i + 1, 2, 3]);
    const { train, test } = await loadDataset(`folder:${folderOf(files)}`);
    const reds = (bytes: Uint8Array): number[] => Array.from(bytes).filter((_, i) => i % 27 === 0);
    const visible = reds(new Uint8Array(train.images.buffer));
    expect(visible).toEqual([...reds(train.images), 0, 0]);
    for (const red of reds(test.images)) expect(visible).not.toContain(red);
  });

  it('does not let the seed touch a test part that exists', async () => {
    const path = folderOf(twoParts());
    const load = (seed: number) => loadDataset(`folder:${path}`, { seed });
    expect(await load(2)).toEqual(await load(1));
  });

  it('leaves a class of one image in train, and says so', async () => {
    const dataset = await loadDataset(
      `folder:${folderOf({ 'a/1.png': red, 'a/2.png': red, 'b/1.png': green })}`,
    );
    expect([Array.from(dataset.train.labels), Array.from(dataset.test.labels)]).toEqual([[0, 1], [0]]);
    expect(solidColour(dataset, 'train', 1)).toEqual([10, 180, 30]);
    expect(dataset.notices[0]).toMatch(/class "b" has one image, which is used for training only/);
  });

  it('takes val/ as the test part when there is no test/, and says so', async () => {
    const files = Object.fromEntries(
      Object.entries(twoParts()).map(([k, v]) => [k.replace(/^test/, 'val'), v]),
    );
    const dataset = await loadDataset(`folder:${folderOf(files)}`);
    expect(dataset.test.labels.length).toBe(2);
    expect(dataset.notices).toEqual([expect.stringMatching(/val\/ is used as the test part/)]);
  });

  it('ignores other files and stray images, and counts them; names empty class folders', async () => {
    const files = {
      ...twoParts(),
      'train/a/notes.txt': 'x',
      'train/.DS_Store': 'x',
      'train/a/._x.png': 'x',
      'stray.png': red,
      'train/empty/': '',
    };
    for (const path of [folderOf(files), await tarGzFile(files)]) {
      const { notices, classes } = await loadDataset(`folder:${path}`);
      expect(classes).toEqual(['a', 'b']);
      expect(notices).toEqual([
        expect.stringMatching(/3 files that are not PNG or JPEG were ignored/),
        expect.stringMatching(/1 images outside a class folder/),
        expect.stringMatching(/class folder "empty" holds no images/),
      ]);
    }
  });

  it('follows links, and a link to a folder above does not trap it', async () => {
    const store = folderOf(twoParts());
    const linked = temporaryFolder();
    for (const part of ['train', 'test']) symlinkSync(join(store, part), join(linked, part));
    mkdirSync(join(store, 'train/a/loop'));
    symlinkSync(store, join(store, 'train/a/loop/up'));
    const dataset = await loadDataset(`folder:${linked}`);
    // The link lends class a the two test images once more, and ends at the folder it came from.
    expect(Array.from(dataset.train.labels)).toEqual([0, 0, 0, 0, 1, 1]);
    expect(Array.from(dataset.test.labels)).toEqual([0, 1]);
    expect(dataset.classes).toEqual(['a', 'b']);
  });

  it.each<[string, () => Files, RegExp]>([
    ['one class', () => ({ 'train/a/1.png': red, 'test/a/1.png': red }), /only one class \("a"\)/],
    ['one class in one tree', () => ({ 'a/1.png': red, 'a/2.png': red }), /only one class \("a"\)/],
    ['no images', () => ({ 'a/readme.txt': 'x' }), /no PNG or JPEG images/],
    ['no class folders', () => ({ '1.png': red, '2.png': red }), /no class folder/],
    [
      'train without test',
      () => ({ 'train/a/1.png': red, 'train/b/1.png': red }),
      /there is train\/ but no test\//,
    ],
    [
      'an empty test part',
      () => ({ 'train/a/1.png': red, 'train/b/1.png': red, 'test/': '' }),
      /test\/ holds no images/,
    ],
    [
      'a class of the test part only',
      () => ({ ...twoParts(), 'test/c/1.png': red }),
      /class "c" is in test\/ but not in train\//,
    ],
    ['classes of one image', () => ({ 'a/1.png': red, 'b/1.png': red }), /no test part can be held out/],
  ])('refuses %s', async (_, files, message) => {
    expect(await dataErrorOf(loadDataset(`folder:${folderOf(files())}`))).toMatch(message);
    expect(await dataErrorOf(loadDataset(`folder:${await tarGzFile(files())}`))).toMatch(message);
  });
});

describe('pixels', () => {
  it('brings mixed sizes to the most common one, and counts them', async () => {
    const files = { ...twoParts(), 'train/b/2.png': await solidImage('png', 13, 9, [1, 2, 3]) };
    const dataset = await loadDataset(`folder:${folderOf(files)}`);
    expect([dataset.height, dataset.width]).toEqual([4, 6]);
    expect(solidColour(dataset, 'train', 3)).toEqual([1, 2, 3]);
    expect(dataset.notices).toEqual([
      expect.stringMatching(/1 of 6 images had another size and were scaled to 6x4/),
    ]);
  });

  it('brings everything to the size asked for', async () => {
    const dataset = await loadDataset(`folder:${folderOf(twoParts())}`, { imageSize: 5 });
    expect([dataset.height, dataset.width]).toEqual([5, 5]);
    expect(solidColour(dataset, 'test', 1)).toEqual([10, 180, 30]);
  });

  it('makes one channel of a folder whose images are all grey, else three', async () => {
    const gradient = Uint8Array.from({ length: 24 }, (_, i) => i * 10);
    const grey = await greyImage('png', 6, 4, gradient);
    const greyFiles = { 'train/a/1.png': grey, 'train/b/1.png': grey, 'test/a/1.png': grey };
    const one = await loadDataset(`folder:${folderOf(greyFiles)}`);
    expect(one.channels).toBe(1);
    expect(Array.from(one.test.images)).toEqual(Array.from(gradient));
    const three = await loadDataset(`folder:${folderOf({ ...greyFiles, 'train/b/1.png': red })}`);
    expect(three.channels).toBe(3);
    expect(Array.from(three.test.images)).toEqual(
      Array.from(gradient).flatMap((value) => [value, value, value]),
    );
    const greyJpeg = await greyImage('jpeg', 6, 4, gradient);
    expect(readImageHeader(greyJpeg)).toMatchObject({ width: 6, height: 4, grey: true });
    const jpegs = await loadDataset(
      `folder:${folderOf({ 'train/a/1.jpg': greyJpeg, 'train/b/1.jpg': greyJpeg, 'test/a/1.jpg': greyJpeg })}`,
    );
    expect(jpegs.channels).toBe(1);
  });

  it('decodes JPEG, palette, transparent and 16-bit images to 8-bit RGB', async () => {
    const palette = await sharp(red).png({ palette: true }).toBuffer();
    const transparent = await sharp(red).ensureAlpha(0.3).png().toBuffer();
    const deep = await sharp(red).toColourspace('rgb16').png().toBuffer();
    const dataset = await loadDataset(
      `folder:${folderOf({
        'train/a/1.png': palette,
        'train/a/2.png': transparent,
        'train/a/3.png': deep,
        'train/b/1.jpeg': redJpeg,
        'test/a/1.png': red,
      })}`,
    );
    for (let i = 0; i < 3; i++) expect(solidColour(dataset, 'train', i)).toEqual([200, 10, 20]);
    const jpeg = solidColour(dataset, 'train', 3) as number[];
    [200, 10, 20].forEach((value, c) => expect(Math.abs(jpeg[c]! - value)).toBeLessThanOrEqual(3));
  });

  it('stands images upright by their orientation tag', async () => {
    const left = Uint8Array.from({ length: 36 * 3 }, (_, i) => (Math.floor(i / 3) % 6 < 3 ? 250 : 0));
    const upright = await sharp(Buffer.from(left), { raw: { width: 6, height: 6, channels: 3 } })
      .png()
      .toBuffer();
    const turned = await sharp(upright)
      .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
      .withMetadata({ orientation: 3 })
      .toBuffer();
    const dataset = await loadDataset(
      `folder:${folderOf({ 'train/a/1.png': upright, 'train/b/1.jpg': turned, 'test/a/1.png': upright })}`,
    );
    const corner = (image: number): number => dataset.train.images[image * 108]!;
    expect(corner(0)).toBe(250);
    expect(corner(1)).toBeLessThan(20);
    const side = await sharp(blue).jpeg().withMetadata({ orientation: 6 }).toBuffer();
    const mixed = await loadDataset(`folder:${folderOf({ ...twoParts(), 'train/b/2.jpg': side })}`);
    expect([mixed.height, mixed.width]).toEqual([4, 6]);
    expect(mixed.train.labels.length).toBe(5);
  });
});

describe('damage', () => {
  const many = (count: number): Files => {
    const files: Files = { 'test/a/1.png': red, 'test/b/1.png': green };
    for (let i = 0; i < count; i++) files[`train/${i % 2 ? 'a' : 'b'}/${i}.png`] = i % 2 ? red : green;
    return files;
  };

  it('names and skips a corrupt image, and keeps the others in place', async () => {
    const files = many(300);
    files['train/a/101.png'] = red.subarray(0, red.length - 30);
    files['train/b/200.png'] = 'this is text';
    const shown: string[] = [];
    const dataset = await loadDataset(`folder:${folderOf(files)}`, { onNotice: (line) => shown.push(line) });
    expect(dataset.train.labels.length).toBe(298);
    expect(dataset.notices).toEqual([
      expect.stringMatching(/2 corrupt images were skipped: a\/101\.png \(.+\), b\/200\.png/),
    ]);
    expect(shown).toEqual(dataset.notices);
    for (let i = 0; i < 298; i++)
      expect(solidColour(dataset, 'train', i)).toEqual(
        dataset.train.labels[i] === 0 ? [200, 10, 20] : [10, 180, 30],
      );
    expect(solidColour(dataset, 'test', 1)).toEqual([10, 180, 30]);
  });

  it('refuses more than 1 % corrupt images, cut JPEGs among them', async () => {
    const files = many(98);
    files['train/a/1.png'] = redJpeg.subarray(0, redJpeg.length - 40);
    const dataset = await loadDataset(`folder:${folderOf(files)}`);
    expect(dataset.notices.join()).toMatch(/1 corrupt images were skipped: a\/1\.png/);
    files['train/a/3.png'] = redJpeg.subarray(0, 20);
    expect(await dataErrorOf(loadDataset(`folder:${folderOf(files)}`))).toMatch(
      /more than 1 % of the 100 images are corrupt, among them a\/[13]\.png/,
    );
  });

  it('refuses an archive that ends early, wherever it is cut', async () => {
    const noise = Uint8Array.from({ length: 400 }, (_, i) => (i * i * 37) % 251);
    const files = { ...twoParts(), 'train/a/notes.txt': noise };
    const whole = await tarOf(files);
    const packed = gzipSync(whole);
    const path = join(temporaryFolder(), 'cut.tar');
    for (const cut of [
      whole.subarray(0, 700),
      whole.subarray(0, 1024),
      whole.subarray(0, whole.length - 1024),
      packed.subarray(0, packed.length >> 1),
      packed.subarray(0, packed.length - 4),
    ]) {
      writeFileSync(path, cut);
      expect(await dataErrorOf(loadDataset(`folder:${path}`))).toMatch(/cut\.tar: the archive ends early/);
    }
  });

  it('refuses what is not an archive', async () => {
    const path = join(temporaryFolder(), 'thing.tar.gz');
    const text = Buffer.from('no archive, only words. '.repeat(100));
    for (const content of [text, gzipSync(text), red]) {
      writeFileSync(path, content);
      expect(await dataErrorOf(loadDataset(`folder:${path}`))).toMatch(
        /not a tar or tar\.gz archive|ends early/,
      );
    }
    writeFileSync(path, text);
    expect(await dataErrorOf(loadDataset(`folder:${path}`))).toMatch(/not a tar/);
    const packed = gzipSync(await tarOf(twoParts()));
    packed.fill(0x55, 30, 120);
    writeFileSync(path, packed);
    expect(await dataErrorOf(loadDataset(`folder:${path}`))).toMatch(/thing\.tar\.gz/);
  });
});

describe('the CIFAR-10 archive', () => {
  const archive = join(packageRoot, '../shared/data/cifar10-jpeg-imagefolder.tar.gz');
  const wanted = existsSync(archive) && process.env['RUN_SLOW'] !== undefined;
  it.skipIf(!wanted)(
    'holds 60000 images (half a minute: set RUN_SLOW=1; skipped without the archive)',
    async () => {
      const info = describeDataset(await loadDataset(`folder:${archive}`));
      expect([info.trainCount, info.testCount, info.height, info.width, info.channels]).toEqual([
        50000, 10000, 32, 32, 3,
      ]);
      for (const { train, test } of info.classes) expect([train, test]).toEqual([5000, 1000]);
      // Measured with Pillow 12.3 (its own libjpeg), channel by channel over the 50000 training files.
      [0.49125038, 0.48209027, 0.44652094].forEach((mean, c) => expect(info.mean[c]).toBeCloseTo(mean, 4));
      [0.24523161, 0.24278155, 0.26062877].forEach((std, c) => expect(info.std[c]).toBeCloseTo(std, 4));
      expect(info.notices).toEqual([]);
    },
  );
});
