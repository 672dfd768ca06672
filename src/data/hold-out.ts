/**
 * @file The test part of a tree without one: a stratified fifth, drawn by the seed of the run.
 *
 * The draw comes after decoding, so that one cached copy of the images serves every seed, and only images that could
 * be read are counted.
 */
import { DataError } from '../base/errors.js';
import {
  allocateImages,
  allocateLabels,
  countPerClass,
  imageLength,
  type ImagePart,
  type ImageShape,
  type LoadedImages,
} from './dataset.js';
import { drawPerClass } from './stratify.js';

const TEST_FRACTION = 0.2;

/**
 * Divides a data set whose images are all in `train`. Both parts keep the order of the images, and the division is a
 * pure function of the labels and the seed. A class of one image stays in train.
 *
 * The training images are moved within their memory, since a second copy may not fit: `whole.train` is used up.
 * @param source names the data in notices and errors.
 * @throws DataError when every class has a single image.
 */
export function holdOutTest(
  source: string,
  whole: LoadedImages,
  seed: number,
  notice: (line: string) => void,
): LoadedImages {
  const { classes, train: all } = whole;
  const counts = countPerClass(all.labels, classes.length).map((size, c) => {
    if (size === 1) notice(`${source}: class "${classes[c]}" has one image, which is used for training only`);
    return size <= 1 ? 0 : Math.max(1, Math.round(size * TEST_FRACTION));
  });
  const everything = Uint32Array.from(all.labels, (_, i) => i);
  const { taken, rest } = drawPerClass(everything, all.labels, counts, seed, 'test-part');
  if (taken.length === 0)
    throw new DataError(`${source}: every class has a single image, so no test part can be held out`);
  notice(
    `${source}: no train/ and test/ folders; ${taken.length} images (${100 * TEST_FRACTION} % of each class, ` +
      `drawn by seed ${seed}) are the test part`,
  );
  return { ...whole, ...divided(all, whole, classes.length, rest, taken) };
}

/** Moves the images of `first` (ascending) to the front; those of `second` get memory of their own. */
function divided(
  all: ImagePart,
  shape: ImageShape,
  classCount: number,
  first: Uint32Array,
  second: Uint32Array,
): { train: ImagePart; test: ImagePart } {
  const length = imageLength(shape);
  const test = {
    images: allocateImages(second.length, shape),
    labels: allocateLabels(second.length, classCount),
  };
  second.forEach((i, at) => {
    test.images.set(all.images.subarray(i * length, (i + 1) * length), at * length);
    test.labels[at] = all.labels[i]!;
  });
  first.forEach((i, at) => {
    all.images.copyWithin(at * length, i * length, (i + 1) * length);
    all.labels[at] = all.labels[i]!;
  });
  // What is left over would be test images in memory that training can see.
  all.images.fill(0, first.length * length);
  const train = {
    images: all.images.subarray(0, first.length * length),
    labels: all.labels.subarray(0, first.length),
  };
  return { train, test };
}
