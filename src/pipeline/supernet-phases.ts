/**
 * @file The two phases that work with the supernet: training it, and searching with its weights.
 */
import { Random } from '../base/random.js';
import type { ImageSubset } from '../data/split.js';
import { Mode, stateOf } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import { keyOf } from '../search/sampling.js';
import {
  bestOf,
  runSearch,
  type ScoredProposal,
  type SearchState,
  type SearchStrategy,
} from '../search/strategy.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { fairGenome } from '../supernet/sampler.js';
import { Supernet } from '../supernet/supernet.js';
import { accuracyOf, forEachBatch, type EvaluationBatch } from '../training/evaluate.js';
import { Interrupted } from '../training/interrupted.js';
import type { TrainingCheckpoint } from '../training/train.js';
import type { RunConfig } from './config.js';
import type { JobHost } from './host.js';
import { drawSubset, evaluationBatches, heldBatches, type LearningData } from './prepared-data.js';
import { evaluationBatchSize, trainOn, type CheckpointHooks } from './train-network.js';

/** Trains the supernet and returns its weights. @throws DivergenceError, Interrupted */
export function trainSupernet(
  config: RunConfig,
  space: SearchSpace,
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
        supernet.forward(images, fairGenome(space, seed, step), Mode.Training, { recomputeBlocks }),
      gradientScale: (parameter) => supernet.gradientScale(parameter),
      afterStep: () => supernet.project(),
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
export function restoreSupernet(space: SearchSpace, weights: TrainingCheckpoint, where: string): Supernet {
  const supernet = new Supernet(space, Random.stream('restore'));
  loadState(supernet, weights.tensors, where);
  return supernet;
}

/** Judges subnets with inherited weights: recalibrates their batch norms, then measures on search-validation. */
export function subnetJudge(
  config: RunConfig,
  data: LearningData,
  supernet: Supernet,
): (genome: Genome) => number {
  const { recalibrationImages, evaluationImages } = config.search;
  const held = (subset: ImageSubset, count: number, label: string): readonly EvaluationBatch[] =>
    heldBatches(evaluationBatches(data, drawSubset(subset, count, config.seed, label), evaluationBatchSize));
  const recalibration = held(data.train, recalibrationImages, 'recalibration');
  const validation = held(data.searchValidation, evaluationImages, 'evaluation');
  return (genome) => {
    supernet.resetStatistics(genome);
    forEachBatch(recalibration, data.shape, (images) => supernet.forward(images, genome, Mode.Recalibration));
    return accuracyOf(validation, data.shape, (images) => supernet.forward(images, genome, Mode.Evaluation));
  };
}

/**
 * Runs the strategy to its end. Candidates that `known` has an accuracy for (judged before an interruption) are not
 * judged again. @throws Interrupted between two candidates; what was judged is in the log
 */
export function searchWith(
  strategy: SearchStrategy,
  from: SearchState,
  judge: (genome: Genome) => number,
  known: ReadonlyMap<string, number>,
  hooks: {
    readonly onCandidate: (state: SearchState, candidate: ScoredProposal) => void;
    readonly onGeneration: (state: SearchState) => void;
  },
  host: JobHost,
): Promise<SearchState> {
  let best = bestOf(from)?.accuracy ?? 0;
  return runSearch(
    strategy,
    from,
    (proposal, { state, index, count }) => {
      if (host.interrupted()) throw new Interrupted('search');
      const remembered = known.get(keyOf(proposal.genome));
      const accuracy = remembered ?? judge(proposal.genome);
      if (remembered === undefined) hooks.onCandidate(state, { ...proposal, accuracy });
      best = Math.max(best, accuracy);
      host.send({
        type: 'search',
        generation: state.generation + 1,
        generations: strategy.generations,
        candidate: index + 1,
        candidates: count,
        evaluated: state.archive.length + index + 1,
        bestAccuracy: best,
      });
      return accuracy;
    },
    { afterGeneration: hooks.onGeneration },
  );
}
