/**
 * @file What a data set is once it is in memory: uint8 images in NHWC on shared memory, labels, class names.
 *
 * Images stay uint8 until a batch is made (a quarter of float32), and lie on a SharedArrayBuffer so that the loader's
 * worker thread and the training threads read the same bytes without a copy.
 */
import { createHash } from 'node:crypto';
import { DataError } from '../base/errors.js';
import { gigabytes, memoryLimit } from '../base/memory.js';

/** Size of one image in pixels and its channels (1 = grey, 3 = RGB). */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Images with their labels: `images` is [count, height, width, channels], `labels` is [count] of class numbers. */
export interface ImagePart {
  readonly images: Uint8Array;
  readonly labels: Uint8Array | Uint16Array;
}

export interface ImageDataset extends ImageShape {
  /** Short name for tables and figures, such as `mnist`. */
  readonly name: string;
  /** What the user wrote, such as `folder:./flowers`. */
  readonly spec: string;
  /** Class names; the label is the position. */
  readonly classes: readonly string[];
  readonly train: ImagePart;
  readonly test: ImagePart;
  /** What the user should know about the data, one line each. */
  readonly notices: readonly string[];
  /** sha256 (hex) of shape, classes, images and labels: equal exactly when the content is equal. */
  readonly fingerprint: string;
}

export interface LoadProgress {
  readonly phase: 'reading' | 'decoding';
  readonly done: number;
  readonly total: number;
}

export interface LoadOptions {
  /** Height and width in pixels that every image is brought to; without it, the most common size stays. */
  readonly imageSize?: number;
  /** Draws the test part of an image folder that has none. Default 1; data with a test part do not depend on it. */
  readonly seed?: number;
  /** Called with each notice as it arises; they are also kept in `ImageDataset.notices`. */
  readonly onNotice?: (line: string) => void;
  /** Called often; `done` and `total` are bytes while reading and images while decoding. */
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** What a loader of one format is given. */
export interface LoadContext {
  readonly imageSize: number | undefined;
  readonly seed: number;
  readonly notice: (line: string) => void;
  readonly progress: (progress: LoadProgress) => void;
}

/** What a loader of one format returns. */
export interface LoadedImages extends ImageShape {
  readonly name: string;
  readonly classes: readonly string[];
  readonly train: ImagePart;
  readonly test: ImagePart;
  /** Present when it is already known (read from the cache). */
  readonly fingerprint?: string;
}

/** Elements of one image. */
export function imageLength(shape: ImageShape): number {
  return shape.height * shape.width * shape.channels;
}

/** Zeroed shared memory for `count` images. @throws DataError when they do not fit in memory, of which there are `limit` bytes */
export function allocateImages(count: number, shape: ImageShape, limit = memoryLimit()): Uint8Array {
  const bytes = count * imageLength(shape);
  // The system hands out more than it has, and ends the process when it is used.
  if (bytes > limit)
    throw new DataError(
      `${count} images of ${shape.height}x${shape.width}x${shape.channels} need ${gigabytes(bytes)} (${bytes} bytes), ` +
        `and there are ${gigabytes(limit)}; choose a smaller image size`,
    );
  try {
    return new Uint8Array(new SharedArrayBuffer(bytes));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DataError(
      `${count} images of ${shape.height}x${shape.width}x${shape.channels} need ${gigabytes(bytes)}, ` +
        'more than can be allocated; choose a smaller image size',
      { cause: error },
    );
  }
}

/** Zeroed labels on shared memory, of the narrowest type that holds `classCount` classes. */
export function allocateLabels(count: number, classCount: number): Uint8Array | Uint16Array {
  if (classCount > 65536) throw new DataError(`${classCount} classes; at most 65536 are supported`);
  return classCount <= 256
    ? new Uint8Array(new SharedArrayBuffer(count))
    : new Uint16Array(new SharedArrayBuffer(2 * count));
}

/** Images of each class. `indices` restricts the count to these images. */
export function countPerClass(
  labels: Uint8Array | Uint16Array,
  classCount: number,
  indices?: Uint32Array,
): number[] {
  const counts = new Array<number>(classCount).fill(0);
  if (indices) for (const index of indices) counts[labels[index]!]!++;
  else for (const label of labels) counts[label]!++;
  return counts;
}

/** sha256 (hex) of the whole content; labels enter as bytes of their type, which the class count determines. */
export function fingerprintOf(loaded: LoadedImages): string {
  const hash = createHash('sha256');
  const { height, width, channels, classes, train, test } = loaded;
  hash.update(
    JSON.stringify([
      'shiftaddnas data 1',
      height,
      width,
      channels,
      classes,
      train.labels.length,
      test.labels.length,
    ]),
  );
  for (const part of [train, test]) {
    hash.update(part.images);
    hash.update(part.labels);
  }
  return hash.digest('hex');
}
