/**
 * @file A data set in figures, for `data info`.
 */
import { channelStatistics } from './augment.js';
import { countPerClass, type ImageDataset } from './dataset.js';

export interface DatasetDescription {
  readonly name: string;
  readonly spec: string;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly trainCount: number;
  readonly testCount: number;
  readonly classes: readonly { readonly name: string; readonly train: number; readonly test: number }[];
  /** Of each channel over the training images, white = 1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Images and labels of both parts, in bytes. */
  readonly memoryBytes: number;
  readonly notices: readonly string[];
  readonly fingerprint: string;
}

/** Counts, shape, statistics and notices as plain data. */
export function describeDataset(dataset: ImageDataset): DatasetDescription {
  const { name, spec, height, width, channels, classes, train, test, notices, fingerprint } = dataset;
  const trainCounts = countPerClass(train.labels, classes.length);
  const testCounts = countPerClass(test.labels, classes.length);
  const everyTraining = Uint32Array.from({ length: train.labels.length }, (_, i) => i);
  const { mean, std } = channelStatistics(train.images, everyTraining, dataset);
  return {
    name,
    spec,
    height,
    width,
    channels,
    trainCount: train.labels.length,
    testCount: test.labels.length,
    classes: classes.map((className, c) => ({
      name: className,
      train: trainCounts[c]!,
      test: testCounts[c]!,
    })),
    mean,
    std,
    memoryBytes: [train, test].reduce(
      (sum, part) => sum + part.images.byteLength + part.labels.byteLength,
      0,
    ),
    notices,
    fingerprint,
  };
}
