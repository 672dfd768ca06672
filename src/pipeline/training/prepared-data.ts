/**
 * @file Data ready for training: loaded, split three ways, with the normalisation of the training part.
 */
import { Random } from '../../base/random.js';
import { channelStatistics, type Augmentation, type ChannelStatistics } from '../../data/augment.js';
import type { ImageDataset, ImageShape, LoadOptions } from '../../data/dataset.js';
import { loadDataset } from '../../data/load-dataset.js';
import { batchesOf } from '../../data/batches.js';
import { openLoader } from '../../data/loader.js';
import { splitDataset, type DataSplits, type ImageSubset } from '../../data/split.js';
import type { EvaluationBatch } from '../../training/evaluate.js';
import type { BatchSource } from '../../training/train.js';
import type { RunConfig } from '../config/config.js';

export type DataSettings = Pick<RunConfig, 'data' | 'seed' | 'imageSize' | 'split' | 'augmentation'>;

/** How pixels of any split become inputs. */
export interface InputForm {
  readonly shape: ImageShape;
  /** Of the training part; applied to every split. */
  readonly statistics: ChannelStatistics;
}

/** All that training and search are given. Nothing in it leads to a test image. */
export interface LearningData extends InputForm {
  /** Their names, in the order of the labels. */
  readonly classes: readonly string[];
  readonly train: ImageSubset;
  readonly searchValidation: ImageSubset;
}

export interface PreparedData extends InputForm {
  readonly dataset: ImageDataset;
  readonly splits: DataSplits;
  readonly learning: LearningData;
}

/** What results say of the data that searches and measurements of ranks judge on. */
export function judgedData({ dataset, splits }: Pick<PreparedData, 'dataset' | 'splits'>): {
  readonly name: string;
  readonly spec: string;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly trainImages: number;
  readonly searchValidationImages: number;
  readonly fingerprint: string;
} {
  const { name, spec, height, width, channels, fingerprint } = dataset;
  return {
    ...{ name, spec, height, width, channels },
    trainImages: splits.train.indices.length,
    searchValidationImages: splits.searchValidation.indices.length,
    fingerprint,
  };
}

/** Loads, splits and measures. @throws DataError, OptionError */
export async function prepareData(
  settings: DataSettings,
  hooks: Pick<LoadOptions, 'onNotice' | 'onProgress'> = {},
): Promise<PreparedData> {
  const dataset = await loadDataset(settings.data, {
    seed: settings.seed,
    ...(settings.imageSize !== undefined && { imageSize: settings.imageSize }),
    ...hooks,
  });
  const splits = splitDataset(dataset, {
    seed: settings.seed,
    searchValidation: settings.split.searchValidation,
    ...(settings.split.limitTrain !== undefined && { limitTrain: settings.split.limitTrain }),
  });
  const { height, width, channels } = dataset;
  const shape = { height, width, channels };
  const statistics = channelStatistics(splits.train.images, splits.train.indices, shape);
  const { train, searchValidation } = splits.forSearch();
  return {
    dataset,
    shape,
    splits,
    statistics,
    learning: { shape, statistics, classes: dataset.classes, train, searchValidation },
  };
}

/** Opens the augmented, shuffled batches of a training, at any epoch and step. `label` names the random stream. */
export function openTrainingBatches(
  data: LearningData,
  options: {
    readonly seed: number;
    readonly label: string;
    readonly batchSize: number;
    readonly augmentation: Augmentation;
    readonly start: { readonly epoch: number; readonly step: number };
  },
): BatchSource {
  const { images, labels, indices } = data.train;
  return openLoader({ images, labels, indices, shape: data.shape, ...data.statistics, ...options });
}

/** Batches of a split without augmentation, normalised, in order. One buffer is reused unless copied. */
export function evaluationBatches(
  { shape, statistics }: InputForm,
  subset: Pick<ImageSubset, 'images' | 'labels' | 'indices'>,
  batchSize: number,
): Iterable<EvaluationBatch> {
  const { images, labels, indices } = subset;
  return batchesOf({ images, labels, indices, shape, batchSize, ...statistics });
}

/** The same batches held in memory, for data that is read again and again. */
export function heldBatches(batches: Iterable<EvaluationBatch>): readonly EvaluationBatch[] {
  return Array.from(batches, ({ images, labels }) => ({ images: images.slice(), labels: labels.slice() }));
}

/** `count` images of a subset (all of them when it has fewer), drawn by the seed; ascending order. */
export function drawSubset(subset: ImageSubset, count: number, seed: number, label: string): ImageSubset {
  if (subset.indices.length <= count) return subset;
  const drawn = Random.stream(seed, label).shuffle(subset.indices.slice()).slice(0, count).sort();
  return { ...subset, indices: drawn };
}
