/**
 * @file What is done with the supernet: training it, and judging subnets with its weights.
 */
import { Random } from '../base/random.js';
import type { ImageSubset } from '../data/split.js';
import { Mode, stateOf } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import type { Genome } from '../spaces/contract.js';
import type { MiniSpace } from '../spaces/mini/space.js';
import { fairGenome } from '../supernet/sampler.js';
import { Supernet } from '../supernet/supernet.js';
import { accuracyOf, forEachBatch, type EvaluationBatch } from '../training/evaluate.js';
import type { TrainingCheckpoint } from '../training/train.js';
import type { RunConfig } from './config.js';
import type { JobHost } from './host.js';
import { drawSubset, evaluationBatches, heldBatches, type LearningData } from './prepared-data.js';
import { evaluationBatchSize, trainOn, type CheckpointHooks } from './train-network.js';

/** Trains the supernet and returns its weights. @throws DivergenceError, Interrupted */
export function trainSupernet(
  config: RunConfig,
  space: MiniSpace,
  data: LearningData,
  checkpoints: CheckpointHooks,
  host: JobHost,
): Supernet {
  const supernet = new Supernet(space, Random.stream(config.seed, 'weights', 'supernet'));
  const { seed, recomputeBlocks } = config;
  trainOn(
    {
      name: 'supernet',
      parameters: supernet.parameters,
      buffers: supernet.buffers,
      forward: (images, step) =>
        supernet.forward(images, fairGenome(space.positions, seed, step), Mode.Training, { recomputeBlocks }),
      gradientScale: (parameter) => supernet.gradientScale(parameter),
    },
    { augmentation: config.augmentation, checkpoints },
    { seed, label: 'supernet', data, schedule: config.supernet },
    host,
  );
  return supernet;
}

/** The trained supernet as a checkpoint without momentum. */
export function supernetWeights(supernet: Supernet): TrainingCheckpoint {
  return { step: 0, tensors: stateOf(supernet) };
}

/** A supernet with weights written by {@link supernetWeights}. @throws FileError */
export function restoreSupernet(space: MiniSpace, weights: TrainingCheckpoint, where: string): Supernet {
  const supernet = new Supernet(space, Random.stream('restore'));
  loadState(supernet, weights.tensors, where);
  return supernet;
}

/** The images that a judge reads: of train to recalibrate by, of search-validation to measure on. */
export function judgedImages(
  { search, seed }: RunConfig,
  data: LearningData,
): { readonly recalibration: ImageSubset; readonly validation: ImageSubset } {
  const { recalibrationImages, evaluationImages } = search;
  return {
    recalibration: drawSubset(data.train, recalibrationImages, seed, 'recalibration'),
    validation: drawSubset(data.searchValidation, evaluationImages, seed, 'evaluation'),
  };
}

/** Judges subnets with inherited weights: recalibrates their batch norms, then measures on search-validation. */
export function subnetJudge(
  config: RunConfig,
  data: LearningData,
  supernet: Supernet,
): (genome: Genome) => number {
  const images = judgedImages(config, data);
  const held = (subset: ImageSubset): readonly EvaluationBatch[] =>
    heldBatches(evaluationBatches(data, subset, evaluationBatchSize));
  const recalibration = held(images.recalibration);
  const validation = held(images.validation);
  return (genome) => {
    supernet.resetStatistics(genome);
    forEachBatch(recalibration, data.shape, (images) => supernet.forward(images, genome, Mode.Recalibration));
    return accuracyOf(validation, data.shape, (images) => supernet.forward(images, genome, Mode.Evaluation));
  };
}
