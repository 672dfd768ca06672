/**
 * @file Batches mixed with themselves: mixup (Zhang et al., ICLR 2018, arXiv 1710.09412) blends every image with another
 * of its batch, cutmix (Yun et al., ICCV 2019, arXiv 1905.04899) pastes a box of it; the targets are mixed in the same
 * proportion.
 *
 * All chance of step k comes from the stream of (seed, 'mix', k): whether the step mixes and how (cutmix is asked first),
 * lambda ~ Beta(alpha, alpha), who goes with whom, and where the box lies.
 */
import { beta } from '../../base/distributions.js';
import { Random } from '../../base/random.js';
import type { LabelledImages, Technique } from '../technique.js';

export interface MixSettings {
  /** Both parameters of the beta distribution; 1 is uniform. */
  readonly alpha: number;
  /** Part of the steps that it is asked for. */
  readonly probability: number;
}

export interface ImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Rows `top` to below `bottom`, columns `left` to below `right`. */
export interface Box {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** The box of cutmix: sides sqrt(1 - lambda) of the image's, around a uniform centre, cut at the borders. */
export function cutBox(random: Random, { height, width }: ImageSize, lambda: number): Box {
  const part = Math.sqrt(1 - lambda);
  const range = (length: number): readonly [number, number] => {
    const side = Math.floor(part * length);
    const from = random.integer(length) - Math.floor(side / 2);
    return [Math.max(0, from), Math.min(length, from + side)];
  };
  const [[top, bottom], [left, right]] = [range(height), range(width)];
  return { top, bottom, left, right };
}

/** The part of an image that stays beside the box: exactly 1 - its area. */
export function keptByBox({ top, bottom, left, right }: Box, { height, width }: ImageSize): number {
  return 1 - ((bottom - top) * (right - left)) / (height * width);
}

/** Trains on mixed batches. `classes` is the length of the targets; leave out what is not wanted. */
export function mixedImages(options: {
  readonly seed: number;
  readonly classes: number;
  readonly shape: ImageSize;
  readonly mixup?: MixSettings | undefined;
  readonly cutmix?: MixSettings | undefined;
}): Technique {
  const { seed, classes, shape, mixup, cutmix } = options;
  return {
    name: 'mix',
    batch(batch, { step }) {
      const random = Random.stream(seed, 'mix', step);
      const wanted = (settings: MixSettings | undefined): settings is MixSettings =>
        random.uniform() < (settings?.probability ?? 0);
      const byBox = wanted(cutmix);
      const blended = wanted(mixup) && !byBox;
      if (!byBox && !blended) return batch;
      const { alpha } = (byBox ? cutmix : mixup) as MixSettings;
      const lambda = beta(random, alpha, alpha);
      const partners = random.shuffle(Uint32Array.from(batch.labels, (_, i) => i));
      if (blended)
        return mixed(batch, classes, partners, lambda, (images) => blend(images, batch, partners, lambda));
      const box = cutBox(random, shape, lambda);
      return mixed(batch, classes, partners, keptByBox(box, shape), (images) =>
        paste(images, batch, partners, box, shape),
      );
    },
  };
}

function mixed(
  batch: LabelledImages,
  classes: number,
  partners: Uint32Array,
  kept: number,
  change: (images: Float32Array) => void,
): LabelledImages {
  const images = batch.images.slice();
  change(images);
  const { labels } = batch;
  const before = batch.targets ?? oneHot(labels, classes);
  const targets = new Float32Array(before.length);
  partners.forEach((partner, n) => {
    for (let c = 0; c < classes; c++)
      targets[n * classes + c] =
        kept * (before[n * classes + c] as number) + (1 - kept) * (before[partner * classes + c] as number);
  });
  // What counts as right is what most of the image shows.
  const shown = kept >= 0.5 ? labels : labels.map((_, n) => labels[partners[n] as number] as number);
  return { images, labels: shown, targets };
}

function oneHot(labels: Int32Array, classes: number): Float32Array {
  const targets = new Float32Array(labels.length * classes);
  labels.forEach((label, n) => (targets[n * classes + label] = 1));
  return targets;
}

function blend(
  images: Float32Array,
  { images: given }: LabelledImages,
  partners: Uint32Array,
  lambda: number,
): void {
  const length = images.length / partners.length;
  partners.forEach((partner, n) => {
    for (let i = 0; i < length; i++)
      images[n * length + i] =
        lambda * (given[n * length + i] as number) + (1 - lambda) * (given[partner * length + i] as number);
  });
}

function paste(
  images: Float32Array,
  { images: given }: LabelledImages,
  partners: Uint32Array,
  { top, bottom, left, right }: Box,
  { height, width, channels }: ImageSize,
): void {
  partners.forEach((partner, n) => {
    for (let y = top; y < bottom; y++) {
      const row = (image: number): number => (image * height + y) * width * channels;
      const from = row(partner);
      images.set(given.subarray(from + left * channels, from + right * channels), row(n) + left * channels);
    }
  });
}
