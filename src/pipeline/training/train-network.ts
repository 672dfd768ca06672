/**
 * @file Stand-alone training of one architecture from scratch, with checkpoints; every reported accuracy comes from here.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { stepsPerEpoch } from '../../data/batches.js';
import { Mode } from '../../nn/module.js';
import type { Architecture } from '../../spaces/architecture.js';
import { Network } from '../../spaces/network.js';
import { accuracyOf } from '../../training/evaluate.js';
import type { Schedule } from '../../training/schedule.js';
import { train, type TrainingCheckpoint, type Trainee } from '../../training/train.js';
import type { RunConfig } from '../config/config.js';
import { silentHost, type JobHost } from '../run/host.js';
import {
  evaluationBatches,
  openTrainingBatches,
  type InputForm,
  type LearningData,
} from './prepared-data.js';
import type { ImageSubset } from '../../data/split.js';
import type { Technique } from '../../training/technique.js';
import type { TechniqueSettings } from '../config/technique-settings.js';
import { openTechniques } from './techniques.js';

export const evaluationBatchSize = 256;

export interface TrainingJob {
  /** Names progress, checkpoints and errors. */
  readonly name: string;
  readonly architecture: Architecture;
  readonly data: LearningData;
  readonly schedule: Schedule;
  readonly augmentation: RunConfig['augmentation'];
  readonly seed: number;
  /** None when left out. */
  readonly techniques?: TechniqueSettings | undefined;
  /** Saves memory at the price of time; the result is the same. */
  readonly recomputeBlocks?: boolean;
  readonly checkpoints?: CheckpointHooks;
  /** Is told what the techniques have to say of the finished network, when there is something. */
  readonly onFacts?: (facts: Readonly<Record<string, number>>) => void;
}

/** Where a training saves itself and goes on from. */
export interface CheckpointHooks {
  readonly everySeconds: number;
  readonly resumeFrom: TrainingCheckpoint | undefined;
  readonly save: (checkpoint: TrainingCheckpoint) => void;
}

/**
 * Trains to the end and returns the network, ready for evaluation. Initial weights and batches follow from the seed
 * alone: whoever trains the same architecture with the same seed and schedule gets the same network.
 * @throws DivergenceError, Interrupted; what a technique cannot use (a teacher of other classes)
 */
export function trainNetwork(job: TrainingJob, host: JobHost = silentHost): Network {
  const { data, schedule, seed, architecture, recomputeBlocks = false } = job;
  const network = new Network(architecture, Random.stream(seed, 'weights'));
  const steps = stepsPerEpoch(data.train.indices.length, schedule.batchSize, true);
  const trainee: Trainee = {
    name: job.name,
    parameters: network.parameters,
    buffers: network.buffers,
    forward: (images, step) =>
      network.forward(images, Mode.Training, {
        recomputeBlocks,
        chance: { seed, step, stepsPerEpoch: steps },
      }),
    afterStep: () => network.project(),
  };
  let techniques: readonly Technique[] = [];
  try {
    techniques = openTechniques(job.techniques, { network, data, schedule, seed });
    trainOn(trainee, job, { seed, label: 'retrain', data, schedule, techniques }, host);
    const facts = Object.assign({}, ...techniques.map((technique) => technique.facts?.())) as object;
    if (Object.keys(facts).length > 0) job.onFacts?.({ ...facts });
  } finally {
    for (const technique of techniques) technique.dispose?.();
  }
  return network;
}

/** Runs the training loop of anything trainable over the training split. */
export function trainOn(
  trainee: Trainee,
  job: Pick<TrainingJob, 'augmentation' | 'checkpoints'>,
  on: {
    readonly seed: number;
    readonly label: string;
    readonly data: LearningData;
    readonly schedule: Schedule;
    readonly techniques?: readonly Technique[];
  },
  host: JobHost,
): void {
  const { data, schedule, seed, label, techniques = [] } = on;
  train(trainee, {
    schedule,
    techniques,
    stepsPerEpoch: stepsPerEpoch(data.train.indices.length, schedule.batchSize, true),
    imageShape: data.shape,
    openBatches: (start) =>
      openTrainingBatches(data, {
        seed,
        label,
        batchSize: schedule.batchSize,
        augmentation: job.augmentation,
        start,
      }),
    ...(job.checkpoints?.resumeFrom && { resumeFrom: job.checkpoints.resumeFrom }),
    onCheckpoint: (checkpoint) => job.checkpoints?.save(checkpoint),
    checkpointSeconds: job.checkpoints?.everySeconds ?? Infinity,
    onProgress: (progress) => host.send({ type: 'training', ...progress }),
    interrupted: () => host.interrupted(),
  });
}

/** @throws OptionError when the training part has no whole batch; `section` names the schedule for the message */
export function requireBatches(data: LearningData, section: string, schedule: Schedule): void {
  const images = data.train.indices.length;
  if (images < schedule.batchSize)
    throw new OptionError(
      `'${section}.batchSize': ${schedule.batchSize} is more than the ${images} training images; choose a smaller one`,
    );
}

/** Accuracy of a trained network on a subset, 0 to 1. */
export function networkAccuracy(network: Network, data: InputForm, subset: ImageSubset): number {
  return accuracyOf(evaluationBatches(data, subset, evaluationBatchSize), data.shape, (images) =>
    network.forward(images, Mode.Evaluation),
  );
}
