/**
 * @file The section `search` of a configuration: which strategy looks for networks, how, and what is made of its front.
 *
 * Keys of strategies that are not asked for are allowed and without effect, so that the same file serves for a strategy
 * and its controls.
 */
import { z } from 'zod';
import type { Budget } from '../../search/costs.js';
import type { CostOf } from '../../search/descent.js';
import { createEvolution } from '../../search/evolution.js';
import { createNsga2 } from '../../search/nsga2.js';
import { defaultObjectives, objectivesSchema } from '../../search/objectives.js';
import { createRandomSearch } from '../../search/random-search.js';
import type { Preferred, SearchStrategy } from '../../search/strategy.js';
import { screeningSettings } from '../../search/surrogate/screening.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { landmarkGenomes } from '../../spaces/landmarks.js';

const fraction = z.number().min(0).max(1);
const count = z.int().min(1);

/** The strategies that a configuration may name. */
export enum StrategyKind {
  /** As published. */
  Evolution = 'evolution',
  /** Over several objectives. */
  Nsga2 = 'nsga2',
  /** The control of the others. */
  Random = 'random',
}

/** The zero-cost scorers that a configuration may name as a pre-filter. */
export enum PrefilterKind {
  None = 'none',
  Naswot = 'naswot',
  Zico = 'zico',
  Entropy = 'entropy',
  Parameters = 'parameters',
  Operations = 'operations',
}

export const searchSettings = z.strictObject({
  strategy: z.enum(StrategyKind).default(StrategyKind.Evolution),
  generations: count.default(20),
  population: count.default(50),
  /** Of evolution alone, as mutations, crossovers and resampleRate. */
  parents: count.default(10),
  /** Half the population each when left out. */
  mutations: z.int().min(0).optional(),
  crossovers: z.int().min(0).optional(),
  mutationRate: fraction.default(0.2),
  resampleRate: fraction.default(0.2),
  /** Of nsga2 alone. */
  crossoverRate: fraction.default(0.9),
  /** Of nsga2 alone: whether its first population holds the largest and the smallest network of each family; true when left out. */
  landmarks: z.boolean().optional(),
  /** What nsga2 minimises, and over what the front of every strategy is taken. */
  objectives: objectivesSchema.default(defaultObjectives),
  ...screeningSettings,
  /** Chooses the networks of the first generation out of a pool of random ones; `none` when left out. */
  prefilter: z.enum(PrefilterKind).optional(),
  /** Networks of that pool; eight for each of the population when left out. */
  prefilterPool: count.optional(),
  /** Part of the pool that is kept, of every kind of network alike; a quarter when left out. */
  prefilterKeep: z.number().positive().max(1).optional(),
  /** Holds the search against random search at equal evaluations; true when left out. */
  control: z.boolean().optional(),
  /** Processes that judge networks at the same time; 1 when left out. Changes no result. */
  workers: z.int().min(1).max(64).optional(),
  /** So many networks of the front are retrained beside the winner. */
  retrainFront: z.int().min(0).default(0),
  /** Training images that recalibrate the batch norms of a subnet before it is judged. */
  recalibrationImages: count.default(1000),
  /** Search-validation images a candidate is judged on; all of them when there are fewer. */
  evaluationImages: count.default(5000),
});

export type SearchSettings = Readonly<z.output<typeof searchSettings>>;

/** The strategy that the configuration asks for. @throws OptionError, InfeasibleBudgetError */
export function strategyFor(
  { search, seed }: { readonly search: SearchSettings; readonly seed: number },
  space: SearchSpace,
  costOf: CostOf,
  budget: Budget,
  preferred?: Preferred,
): SearchStrategy {
  const problem = { space, costOf, budget, seed, ...(preferred !== undefined && { preferred }) };
  const { generations, population, surrogate, oversampling, mutationRate } = search;
  const common = { generations, population, surrogate, oversampling };
  switch (search.strategy) {
    case StrategyKind.Random:
      return createRandomSearch(problem, common);
    case StrategyKind.Nsga2: {
      const { objectives, crossoverRate, landmarks = true } = search;
      return createNsga2(
        problem,
        { ...common, objectives: [...objectives], crossoverRate, mutationRate },
        landmarks ? landmarkGenomes(space) : [],
      );
    }
    case StrategyKind.Evolution: {
      const { parents, mutations, crossovers, resampleRate } = search;
      return createEvolution(problem, {
        ...common,
        parents,
        ...(mutations !== undefined && { mutations }),
        ...(crossovers !== undefined && { crossovers }),
        mutationRate,
        resampleRate,
      });
    }
  }
}
