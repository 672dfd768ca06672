/**
 * @file What a training and the worker of its ONNX teacher share: one status word that both wait on, images in, logits
 * out. The training asks and blocks; the worker answers or refuses, in words.
 */
import { FileError } from '../../base/errors.js';
import type { ImageShape } from '../../data/dataset.js';

export const Status = { Starting: 0, Ready: 1, Asked: 2, Refused: 3, Closed: 4 } as const;
type StatusCode = (typeof Status)[keyof typeof Status];

export interface SharedTeacher {
  /** Status, images asked about, bytes of the message. */
  readonly control: Int32Array;
  readonly images: Float32Array;
  readonly logits: Float32Array;
  readonly message: Uint8Array;
}

/** What the worker is started with. */
export interface OnnxTeacherWork {
  readonly path: string;
  readonly shape: ImageShape;
  readonly classes: number;
  readonly shared: SharedTeacher;
}

export function createShared(batchSize: number, imageLength: number, classes: number): SharedTeacher {
  const floats = (count: number): Float32Array => new Float32Array(new SharedArrayBuffer(4 * count));
  return {
    control: new Int32Array(new SharedArrayBuffer(12)),
    images: floats(batchSize * imageLength),
    logits: floats(batchSize * classes),
    message: new Uint8Array(new SharedArrayBuffer(2048)),
  };
}

function setStatus({ control }: SharedTeacher, status: StatusCode): void {
  Atomics.store(control, 0, status);
  Atomics.notify(control, 0);
}

/** The worker: ready, with the logits of what was asked before. */
export const answer = (shared: SharedTeacher): void => setStatus(shared, Status.Ready);
/** The training: wants the logits of the first `count` images. */
export function ask(shared: SharedTeacher, count: number): void {
  Atomics.store(shared.control, 1, count);
  setStatus(shared, Status.Asked);
}
export const close = (shared: SharedTeacher): void => setStatus(shared, Status.Closed);

/** The worker: cannot go on, and why. */
export function refuse(shared: SharedTeacher, message: string): void {
  // Encoded apart: the encoder does not write to shared memory on every Node version.
  const bytes = new TextEncoder().encode(message).subarray(0, shared.message.length);
  shared.message.set(bytes);
  Atomics.store(shared.control, 2, bytes.length);
  setStatus(shared, Status.Refused);
}

export function refusal({ control, message }: SharedTeacher): string {
  return Buffer.from(message.slice(0, Atomics.load(control, 2))).toString('utf8');
}

/** Blocks while the status is `status`, at most `limitMs`; returns what it is then. */
export function waitWhile({ control }: SharedTeacher, status: StatusCode, limitMs = Infinity): number {
  Atomics.wait(control, 0, status, limitMs);
  return Atomics.load(control, 0);
}

export interface InputPlan {
  /** Images that the model takes at once; undefined: any number. */
  readonly batch: number | undefined;
  dims(count: number): number[];
  /** NHWC images as the model wants them. */
  arranged(images: Float32Array, count: number): Float32Array;
}

/**
 * How a model whose input has these extents (names where they are free) takes images of `shape`: [N, C, H, W], or
 * [N, H, W, C] where only that fits. @throws FileError naming both shapes
 */
export function inputPlan(path: string, extents: readonly (number | string)[], shape: ImageShape): InputPlan {
  const { height, width, channels } = shape;
  const fits = (...wanted: readonly number[]): boolean =>
    extents.length === 4 &&
    extents.slice(1).every((extent, i) => typeof extent === 'string' || extent === wanted[i]);
  const batch = typeof extents[0] === 'number' && extents[0] > 0 ? extents[0] : undefined;
  if (fits(channels, height, width))
    return {
      batch,
      dims: (count) => [count, channels, height, width],
      arranged: (images, count) => {
        const planes = new Float32Array(images.length);
        const map = height * width;
        for (let n = 0; n < count; n++)
          for (let i = 0; i < map; i++)
            for (let c = 0; c < channels; c++)
              planes[(n * channels + c) * map + i] = images[(n * map + i) * channels + c] as number;
        return planes;
      },
    };
  if (fits(height, width, channels))
    return { batch, dims: (count) => [count, height, width, channels], arranged: (images) => images };
  throw new FileError(
    `${path}: takes images [${extents.join(', ')}], those of the data are ${height}x${width} of ${channels} channel(s); ` +
      'use a teacher for images of this size, or other data',
  );
}
