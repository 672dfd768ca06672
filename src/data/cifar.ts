/**
 * @file CIFAR-10 and CIFAR-100, binary version (A. Krizhevsky, "Learning Multiple Layers of Features from Tiny
 * Images", 2009). A record is one label byte (CIFAR-100: coarse, then fine) and 3072 bytes: 32x32 red, green, blue
 * planes. We keep the fine labels and interleave the planes.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DataError } from '../base/errors.js';
import { readArchive } from './archive.js';
import {
  allocateImages,
  allocateLabels,
  type ImagePart,
  type LoadContext,
  type LoadedImages,
} from './dataset.js';

const SHAPE = { height: 32, width: 32, channels: 3 } as const;
const PLANE = 1024;

interface CifarLayout {
  readonly name: string;
  readonly trainFiles: readonly string[];
  readonly testFile: string;
  readonly namesFile: string;
  readonly classCount: number;
  /** Bytes before the pixels; the last one is the label. */
  readonly labelBytes: number;
  readonly trainRecords: number;
  readonly testRecords: number;
}

export const CIFAR_10: CifarLayout = {
  name: 'cifar10',
  trainFiles: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  testFile: 'test_batch.bin',
  namesFile: 'batches.meta.txt',
  classCount: 10,
  labelBytes: 1,
  trainRecords: 50000,
  testRecords: 10000,
};

export const CIFAR_100: CifarLayout = {
  name: 'cifar100',
  trainFiles: ['train.bin'],
  testFile: 'test.bin',
  namesFile: 'fine_label_names.txt',
  classCount: 100,
  labelBytes: 2,
  trainRecords: 50000,
  testRecords: 10000,
};

/**
 * Reads the folder of the binary version, or its .tar.gz. Class names come from the names file, or are numbers.
 * A subset (fewer whole records than the original) is accepted with a notice.
 * @throws DataError naming the missing or truncated file (expected and found bytes) or the label out of range.
 */
export async function loadCifar(
  layout: CifarLayout,
  path: string,
  context: LoadContext,
): Promise<LoadedImages> {
  if (!existsSync(path)) throw new DataError(`${path}: no such file or folder`);
  const files = await readNamedFiles(layout, path, context);
  const trainBytes = layout.trainFiles.map((name) => recordsOf(layout, path, name, files));
  const testBytes = recordsOf(layout, path, layout.testFile, files);
  const train = decode(
    layout,
    path,
    trainBytes.map((bytes, i) => ({ name: layout.trainFiles[i]!, bytes })),
  );
  const test = decode(layout, path, [{ name: layout.testFile, bytes: testBytes }]);
  for (const [what, part, official] of [
    ['training', train, layout.trainRecords],
    ['test', test, layout.testRecords],
  ] as const)
    if (part.labels.length !== official)
      context.notice(`${path}: ${part.labels.length} ${what} images; the original has ${official}`);
  return { name: layout.name, ...SHAPE, classes: classNames(layout, files), train, test };
}

async function readNamedFiles(
  layout: CifarLayout,
  path: string,
  context: LoadContext,
): Promise<Map<string, Buffer>> {
  const wanted = new Set([...layout.trainFiles, layout.testFile, layout.namesFile]);
  const files = new Map<string, Buffer>();
  let seen: string[];
  if (statSync(path).isDirectory()) {
    const nested = await readdir(path, { withFileTypes: true });
    seen = nested.map((entry) => entry.name);
    for (const name of seen) if (wanted.has(name)) files.set(name, await readFile(join(path, name)));
    if (files.size === 0) {
      const folders = nested.filter((entry) => entry.isDirectory());
      if (folders.length === 1) return readNamedFiles(layout, join(path, folders[0]!.name), context);
    }
  } else {
    const archive = await readArchive(
      path,
      (entry) => wanted.has(basename(entry)),
      (done, total) => context.progress({ phase: 'reading', done, total }),
    );
    for (const file of archive.files) files.set(basename(file.path), file.bytes);
    seen = archive.refused.map((entry) => basename(entry));
  }
  const pickle = layout.trainFiles[0]!.replace('.bin', '');
  if (!files.has(layout.trainFiles[0]!) && seen.includes(pickle))
    throw new DataError(
      `${path}: this is the Python (pickle) version; fetch the binary version (.bin files)`,
    );
  return files;
}

function recordsOf(
  layout: CifarLayout,
  path: string,
  name: string,
  files: ReadonlyMap<string, Buffer>,
): Buffer {
  const bytes = files.get(name);
  if (!bytes)
    throw new DataError(
      `${path}: ${name} is missing; the binary version of ${layout.name} holds ` +
        `${[...layout.trainFiles, layout.testFile].join(', ')}`,
    );
  const recordBytes = layout.labelBytes + 3 * PLANE;
  if (bytes.length === 0 || bytes.length % recordBytes !== 0) {
    const official =
      name === layout.testFile ? layout.testRecords : layout.trainRecords / layout.trainFiles.length;
    throw new DataError(
      `${path}: ${name} is truncated: expected ${official * recordBytes} bytes ` +
        `(${official} records of ${recordBytes}), found ${bytes.length}`,
    );
  }
  return bytes;
}

function decode(
  layout: CifarLayout,
  path: string,
  files: readonly { readonly name: string; readonly bytes: Buffer }[],
): ImagePart {
  const recordBytes = layout.labelBytes + 3 * PLANE;
  const count = files.reduce((sum, file) => sum + file.bytes.length / recordBytes, 0);
  const images = allocateImages(count, SHAPE);
  const labels = allocateLabels(count, layout.classCount);
  let index = 0;
  for (const { name, bytes } of files)
    for (let at = 0; at < bytes.length; at += recordBytes, index++) {
      const label = bytes[at + layout.labelBytes - 1]!;
      if (label >= layout.classCount)
        throw new DataError(
          `${path}: ${name}: label ${label} of record ${at / recordBytes} is out of range (0 to ${layout.classCount - 1}); ` +
            `is this really ${layout.name}?`,
        );
      labels[index] = label;
      let target = index * 3 * PLANE;
      const pixels = at + layout.labelBytes;
      for (let p = pixels; p < pixels + PLANE; p++) {
        images[target++] = bytes[p]!;
        images[target++] = bytes[p + PLANE]!;
        images[target++] = bytes[p + 2 * PLANE]!;
      }
    }
  return { images, labels };
}

function classNames(layout: CifarLayout, files: ReadonlyMap<string, Buffer>): string[] {
  const names = (files.get(layout.namesFile)?.toString('utf8') ?? '').split(/\s+/).filter((name) => name);
  return names.length === layout.classCount
    ? names
    : Array.from({ length: layout.classCount }, (_, i) => String(i));
}
