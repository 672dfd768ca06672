/**
 * @file The three-way split that keeps reported figures honest: `train` fits weights, `searchValidation` (held out of
 * train) chooses architectures, `test` is opened once per reported network.
 *
 * Choosing by the test images (as the published search does: its fitness is measured on data that is also reported)
 * makes the reported accuracy a maximum over noise. So the search is handed a value that holds no reference to a test
 * image, and whoever opens the test part must say why; the reasons are kept.
 */
import { OptionError } from '../base/errors.js';
import { countPerClass, type ImageDataset, type ImagePart, type ImageShape } from './dataset.js';
import { drawPerClass, proportionalCounts } from './stratify.js';

/** Some images of a part, by position. */
export interface ImageSubset extends ImageShape, ImagePart {
  readonly classes: readonly string[];
  /** Positions in `images` and `labels`, ascending, each once. */
  readonly indices: Uint32Array;
}

/** All that a search may see. Nothing in it leads to a test image. */
export interface SearchData extends ImageShape {
  readonly classes: readonly string[];
  readonly train: ImageSubset;
  readonly searchValidation: ImageSubset;
}

export interface SplitOptions {
  readonly seed: number;
  /** Images held out of train: a fraction in (0, 1), or a count >= 1; 0 holds out none. */
  readonly searchValidation: number;
  /** At most this many images in `train`, drawn with the classes' proportions; the held-out images stay the same. */
  readonly limitTrain?: number;
}

export interface DataSplits {
  readonly train: ImageSubset;
  readonly searchValidation: ImageSubset;
  /** Images in the test part (a number, not the images). */
  readonly testCount: number;
  forSearch(): SearchData;
  /** The test part, for a report or a final evaluation. @param reason who asks and what for; kept in `testAccesses`. */
  openTest(reason: string): ImageSubset;
  /** The reasons given to `openTest`, in order. */
  readonly testAccesses: readonly string[];
}

/**
 * Splits a data set; a pure function of the labels and the options. Classes keep their proportions, and every class
 * of train keeps at least one image.
 * @throws OptionError when the validation part is negative or leaves a class without training images.
 */
export function splitDataset(dataset: ImageDataset, options: SplitOptions): DataSplits {
  const { train: part, classes, height, width, channels } = dataset;
  const total = part.labels.length;
  const sizes = countPerClass(part.labels, classes.length);
  const heldOut = validationCount(options.searchValidation, total, sizes);
  const everything = Uint32Array.from({ length: total }, (_, i) => i);

  const caps = sizes.map((size) => Math.max(0, size - 1));
  const validationCounts = proportionalCounts(sizes, caps, heldOut);
  const { taken: validation, rest } = drawPerClass(
    everything,
    part.labels,
    validationCounts,
    options.seed,
    'search-validation',
  );
  const train = limited(rest, part.labels, classes.length, options);

  const subset = (of: ImagePart, indices: Uint32Array): ImageSubset =>
    Object.freeze({ height, width, channels, classes, images: of.images, labels: of.labels, indices });
  const trainSubset = subset(part, train);
  const validationSubset = subset(part, validation);
  const test = dataset.test;
  const accesses: string[] = [];
  return Object.freeze({
    train: trainSubset,
    searchValidation: validationSubset,
    testCount: test.labels.length,
    forSearch: () =>
      Object.freeze({
        height,
        width,
        channels,
        classes,
        train: trainSubset,
        searchValidation: validationSubset,
      }),
    openTest: (reason: string) => {
      if (reason.trim() === '') throw new Error('openTest needs a reason');
      accesses.push(reason);
      return subset(
        test,
        Uint32Array.from({ length: test.labels.length }, (_, i) => i),
      );
    },
    get testAccesses() {
      return [...accesses];
    },
  });
}

function validationCount(asked: number, total: number, sizes: readonly number[]): number {
  if (!(asked >= 0) || (asked >= 1 && !Number.isInteger(asked)))
    throw new OptionError(
      `search validation ${asked}: give a fraction between 0 and 1 or a whole number of images`,
    );
  const count = asked < 1 ? Math.round(asked * total) : asked;
  const most = total - sizes.filter((size) => size > 0).length;
  if (count > most)
    throw new OptionError(
      `search validation of ${count} images leaves a class without training images; ` +
        `at most ${most} of the ${total} can be held out`,
    );
  return count;
}

function limited(
  indices: Uint32Array,
  labels: ImagePart['labels'],
  classCount: number,
  options: SplitOptions,
): Uint32Array {
  const limit = options.limitTrain;
  if (limit === undefined) return indices;
  if (!Number.isInteger(limit) || limit < 1)
    throw new OptionError(`train limit ${limit}: give a whole number of images, at least 1`);
  const sizes = countPerClass(labels, classCount, indices);
  const counts = proportionalCounts(sizes, sizes, limit);
  return drawPerClass(indices, labels, counts, options.seed, 'limit-train').taken;
}
