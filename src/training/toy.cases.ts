/**
 * @file What tests of training share: a small problem whose batches are a pure function of epoch and step, a mixed
 * network that learns it, and a snapshot of everything a step may change. Tests only.
 */
import { Random } from '../base/random.js';
import { Mode, stateOf, type NamedTensors } from '../nn/module.js';
import { createMiniSpace } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import type { Schedule } from './schedule.js';
import type { BatchSource, TrainingCheckpoint, TrainingOptions, Trainee } from './train.js';

export const toyShape = { height: 16, width: 16, channels: 1 };
export const toyBatchSize = 8;
export const toyStepsPerEpoch = 4;

/** Bars: the class says in which of four rows of the image the bright bar lies. */
export function toyBatch(epoch: number, step: number): { images: Float32Array; labels: Int32Array } {
  const random = Random.stream('toy', epoch, step);
  const labels = Int32Array.from({ length: toyBatchSize }, () => random.integer(4));
  const images = Float32Array.from({ length: toyBatchSize * 256 }, (_, i) => {
    const bright = Math.floor((i % 256) / 64) === labels[Math.floor(i / 256)];
    return (bright ? 1 : 0) + 0.3 * random.normal();
  });
  return { images, labels };
}

/** Batches in memory from a place in the stream on; counts what is out and whether it was closed. */
export class ToySource implements BatchSource {
  closed = false;
  out = 0;
  #at: number;
  constructor(start: { readonly epoch: number; readonly step: number }) {
    this.#at = start.epoch * toyStepsPerEpoch + start.step;
  }
  nextSync() {
    if (this.closed) throw new Error('read after close');
    this.out++;
    const batch = toyBatch(Math.floor(this.#at / toyStepsPerEpoch), this.#at % toyStepsPerEpoch);
    this.#at++;
    return { ...batch, release: () => void this.out-- };
  }
  close(): void {
    this.closed = true;
  }
}

export const toySpace = createMiniSpace({
  input: toyShape,
  classes: 4,
  stemChannels: 8,
  stageChannels: [8, 16],
  blocksPerStage: [2, 2],
});

/** Genome of the option with this label at every position; the last options of a mixed network repeat. */
export function genomeOf(...labels: readonly string[]): readonly number[] {
  return toySpace.optionCounts.map((count, position) => {
    const wanted = labels[Math.min(position, labels.length - 1)] as string;
    for (let option = 0; option < count; option++)
      if (toySpace.optionLabel(position, option) === wanted) return option;
    throw new Error(`no option ${wanted} at ${position}`);
  });
}

/** add, shift and convolution blocks and a skip. */
export const mixedGenome = genomeOf('add x1', 'skip', 'pot.q x0.5', 'conv x1');

export function toyNetwork(seed = 1, genome = mixedGenome): Network {
  return new Network(toySpace.architecture(genome), Random.stream('toy weights', seed));
}

/** The same with a second head for a teacher. */
export function twoHeadedToy(seed = 1): Network {
  const architecture = { ...toySpace.architecture(mixedGenome), classifier: { heads: 2 } } as const;
  return new Network(architecture, Random.stream('toy weights', seed));
}

export function traineeOf(network: Pick<Network, 'parameters' | 'buffers' | 'forward' | 'project'>): Trainee {
  return {
    name: 'toy',
    parameters: network.parameters,
    buffers: network.buffers,
    forward: (images) => network.forward(images, Mode.Training),
    afterStep: () => network.project(),
  };
}

const toyRates = {
  epochs: 3,
  batchSize: toyBatchSize,
  warmupFraction: 0.2,
  weightDecay: 5e-4,
  labelSmoothing: 0.1,
};

export const toySchedule: Schedule = { ...toyRates, peakLearningRate: 0.05, momentum: 0.9 };

export const toyAdamWSchedule: Schedule = {
  ...toyRates,
  peakLearningRate: 0.01,
  optimiser: 'adamw',
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
};

export function toyOptions(changes: Partial<TrainingOptions> = {}): TrainingOptions {
  return {
    schedule: toySchedule,
    stepsPerEpoch: toyStepsPerEpoch,
    imageShape: toyShape,
    openBatches: (start) => new ToySource(start),
    onProgress: () => undefined,
    onCheckpoint: () => undefined,
    checkpointSeconds: 1e6,
    interrupted: () => false,
    ...changes,
  };
}

/** A checkpoint's content as it is now: the tensors of a checkpoint are only lent. */
export function copyOf(checkpoint: TrainingCheckpoint): TrainingCheckpoint {
  return { step: checkpoint.step, tensors: snapshot(checkpoint.tensors) };
}

export function snapshot(tensors: NamedTensors): NamedTensors {
  return new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
}

export const stateNow = (network: Network): NamedTensors => snapshot(stateOf(network));
