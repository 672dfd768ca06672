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
import type { Genome } from '../spaces/contract.js';
import type { MiniSpace } from '../spaces/mini/space.js';
import { fairGenome } from '../supernet/sampler.js';
import type { SharingSettings } from '../supernet/sharing.js';
import { Supernet } from '../supernet/supernet.js';
import { add } from '../tensor/ops/binary.js';
import { accuracyOf, forEachBatch, type EvaluationBatch } from '../training/evaluate.js';
import { Interrupted } from '../training/interrupted.js';
import { crossEntropy } from '../training/technique.js';
import type { TrainingCheckpoint } from '../training/train.js';
import type { RunConfig } from './config.js';
import type { JobHost } from './host.js';
import { drawSubset, evaluationBatches, heldBatches, type LearningData } from './prepared-data.js';
import type { SupernetSummary } from './result.js';
import { evaluationBatchSize, trainOn, type CheckpointHooks } from './train-network.js';
import { weightsByFamily } from './weight-histograms.js';

/** Trains the supernet and returns its weights. @throws DivergenceError, Interrupted */
export function trainSupernet(
  config: RunConfig,
  space: MiniSpace,
  data: LearningData,
  checkpoints: CheckpointHooks,
  host: JobHost,
): Supernet {
  const { seed, recomputeBlocks, sharing } = config;
  const supernet = new Supernet(space, Random.stream(seed, 'weights', 'supernet'), sharing);
  const plainLoss = crossEntropy(config.supernet.labelSmoothing);
  trainOn(
    {
      name: 'supernet',
      parameters: supernet.parameters,
      buffers: supernet.buffers,
      forward: (images, step) =>
        supernet.forward(images, fairGenome(space.positions, seed, step), Mode.Training, { recomputeBlocks }),
      loss(logits, batch, step) {
        const loss = plainLoss(logits, batch, step);
        const term = supernet.distributionTerm(seed, step);
        return term === undefined ? loss : add(loss, term);
      },
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

/** A supernet with weights written by {@link supernetWeights}, which shared them in this way. @throws FileError */
export function restoreSupernet(
  space: MiniSpace,
  sharing: SharingSettings,
  weights: TrainingCheckpoint,
  where: string,
): Supernet {
  const supernet = new Supernet(space, Random.stream('restore'), sharing);
  loadState(supernet, weights.tensors, where);
  return supernet;
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
