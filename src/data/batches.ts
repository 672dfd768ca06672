/**
 * @file What a batch is a function of: the order of an epoch, and the plain batches of an evaluation.
 */
import { Random } from '../base/random.js';
import { fillBatch, normalisationTable, type ChannelStatistics } from './augment.js';
import { imageLength, type ImagePart, type ImageShape } from './dataset.js';

/** Batches in one epoch over `imageCount` images. */
export function stepsPerEpoch(imageCount: number, batchSize: number, dropLast: boolean): number {
  return dropLast ? Math.floor(imageCount / batchSize) : Math.ceil(imageCount / batchSize);
}

/** The indices of one epoch in the order in which they are visited: a pure function of (seed, label, epoch). */
export function epochOrder(indices: Uint32Array, seed: number, label: string, epoch: number): Uint32Array {
  return Random.stream(seed, label, 'shuffle', epoch).shuffle(indices.slice());
}

/** The stream from which the images of one step draw their augmentation. */
export function augmentationStream(seed: number, label: string, epoch: number, step: number): Random {
  return Random.stream(seed, label, 'augment', epoch, step);
}

export interface EvaluationOptions extends ImagePart, ChannelStatistics {
  readonly shape: ImageShape;
  readonly indices: Uint32Array;
  readonly batchSize: number;
}

export interface EvaluationBatch {
  /** [count, height, width, channels], normalised. Overwritten by the next batch. */
  readonly images: Float32Array;
  /** [count]. Overwritten by the next batch. */
  readonly labels: Int32Array;
  readonly count: number;
}

/**
 * Every image once, in the order of `indices`, without augmentation, on the calling thread; the last batch may be
 * smaller. One buffer serves all batches: copy what must outlive the step.
 */
export function* batchesOf(options: EvaluationOptions): Generator<EvaluationBatch, void, void> {
  const { images, labels, shape, indices, batchSize } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new RangeError(`batch size ${batchSize} is not a positive integer`);
  const table = normalisationTable(options);
  const length = imageLength(shape);
  const buffer = new Float32Array(Math.min(batchSize, indices.length) * length);
  const labelBuffer = new Int32Array(Math.min(batchSize, indices.length));
  for (let from = 0; from < indices.length; from += batchSize) {
    const to = Math.min(from + batchSize, indices.length);
    fillBatch(images, indices, from, to, shape, table, buffer);
    for (let i = from; i < to; i++) labelBuffer[i - from] = labels[indices[i]!]!;
    const count = to - from;
    yield { images: buffer.subarray(0, count * length), labels: labelBuffer.subarray(0, count), count };
  }
}
