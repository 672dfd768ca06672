/**
 * @file What is done with the supernet: training it, and judging subnets with its weights.
 */
import { Random } from '../../base/random.js';
import { stepsPerEpoch } from '../../data/batches.js';
import type { ImageSubset } from '../../data/split.js';
import { Mode, stateOf } from '../../nn/module.js';
import { loadState } from '../../nn/state.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { SharingKind, type SharingSettings } from '../../supernet/sharing.js';
import { Projection } from '../../supernet/projection.js';
import { Primitive } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { OptionError } from '../../base/errors.js';
import { createPlan, type PathPlan } from '../../supernet/rules/plan.js';
import { supernetTrainee } from '../../supernet/rules/trainee.js';
import { Supernet } from '../../supernet/supernet.js';
import { accuracyOf, forEachBatch, type EvaluationBatch } from '../../training/evaluate.js';
import type { TrainingCheckpoint } from '../../training/train.js';
import type { RunConfig } from '../config/config.js';
import type { JobHost } from '../run/host.js';
import { drawSubset, evaluationBatches, heldBatches, type LearningData } from '../training/prepared-data.js';
import type { SupernetSummary } from '../run/result.js';
import { defaultSupernetTraining } from '../config/supernet-settings.js';
import { evaluationBatchSize, trainOn, type CheckpointHooks } from '../training/train-network.js';
import { weightsByFamily } from '../models/weight-histograms.js';

/** What trainings of supernets are compared by: they may have equal steps, or equal passes. */
export interface SupernetEffort {
  /** Of the optimiser. */
  readonly steps: number;
  /** Forward and backward passes of subnets over a batch. */
  readonly passes: number;
}

/** What training the supernet will take. @throws OptionError for a warm-up that the space cannot do */
export function supernetEffort(config: RunConfig, space: SearchSpace, data: LearningData): SupernetEffort {
  const { supernet: schedule, supernetTraining: rules = defaultSupernetTraining } = config;
  requireEffect(config, rules, space);
  const steps = schedule.epochs * stepsPerEpoch(data.train.indices.length, schedule.batchSize, true);
  return { steps, passes: createPlan(space, rules, steps).passesUntil(steps) };
}

/**
 * What of the rules of training can be known before the data and the length of the training are.
 * @throws OptionError for a warm-up that the space cannot do, and for rules that would change nothing
 */
export function requireRules(config: RunConfig, space: SearchSpace): void {
  const { supernetTraining: rules = defaultSupernetTraining } = config;
  requireEffect(config, rules, space);
  // So many steps that every phase of a warm-up has one.
  createPlan(space, rules, 2 ** 40);
}

/** @throws OptionError for rules about shared tensors that would change nothing */
function requireEffect(
  { sharing }: RunConfig,
  { separateOptimiserState, projectGradients }: RunConfig['supernetTraining'] & object,
  space: SearchSpace,
): void {
  const key = separateOptimiserState ? 'separateOptimiserState' : 'projectGradients';
  if (sharing.map === SharingKind.None && (separateOptimiserState || projectGradients !== Projection.None))
    throw new OptionError(
      `'supernetTraining.${key}' is about shared tensors, and 'sharing.map: none' has none; leave one of them out`,
    );
  const multiplies = (name: string): boolean => familyNamed(name).primitive === Primitive.Multiply;
  if (projectGradients === Projection.Multiplying && !space.families.some(multiplies))
    throw new OptionError(
      `'supernetTraining.projectGradients: ${projectGradients}' lets others give way to multiplications, and the space has ` +
        `none of them (${space.families.join(', ')}); use ${Projection.Pairwise}`,
    );
}

/** Trains the supernet and returns its weights. @throws DivergenceError, Interrupted, and as {@link supernetEffort} */
export function trainSupernet(
  config: RunConfig,
  space: SearchSpace,
  data: LearningData,
  checkpoints: CheckpointHooks,
  host: JobHost,
): Supernet {
  const { seed, recomputeBlocks, sharing, supernetTraining: rules = defaultSupernetTraining } = config;
  const supernet = new Supernet(space, Random.stream(seed, 'weights', 'supernet'), sharing);
  const plan = createPlan(space, rules, supernetEffort(config, space, data).steps);
  const training = supernetTrainee(supernet, plan, rules, { seed, options: { recomputeBlocks } });
  try {
    trainOn(
      training.trainee,
      { augmentation: config.augmentation, checkpoints },
      { seed, label: 'supernet', data, schedule: config.supernet },
      withPasses(host, plan),
    );
  } finally {
    training.dispose();
  }
  return supernet;
}

/** A host whose reports of training say how many passes that took. */
function withPasses(host: JobHost, plan: PathPlan): JobHost {
  return {
    send: (message) =>
      host.send(
        message.type === 'training' ? { ...message, passes: plan.passesUntil(message.step) } : message,
      ),
    interrupted: () => host.interrupted(),
  };
}

/** The trained supernet as a checkpoint without momentum. */
export function supernetWeights(supernet: Supernet): TrainingCheckpoint {
  return { step: 0, tensors: stateOf(supernet) };
}

/** A supernet with weights written by {@link supernetWeights}, which shared them in this way. @throws FileError */
export function restoreSupernet(
  space: SearchSpace,
  sharing: SharingSettings,
  weights: TrainingCheckpoint,
  where: string,
): Supernet {
  const supernet = new Supernet(space, Random.stream('restore'), sharing);
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

/** What results say of a trained supernet. */
export function supernetSummary(supernet: Supernet, { map, distribution }: SharingSettings): SupernetSummary {
  return {
    map,
    distribution,
    weights: supernet.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0),
    families: weightsByFamily(supernet),
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
