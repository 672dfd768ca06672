/**
 * @file The contract of a search strategy: ask for a generation of candidates, tell their accuracies, go on.
 *
 * A strategy is a pure function of its state. `propose(state)` draws from a random stream named by seed, strategy and
 * generation, so it gives the same candidates however often it is asked, and a search that goes on from a state read
 * from a file ends exactly like one that was never interrupted. The state is plain JSON; what can be derived from the
 * archive (parents, population, the visited table) is not stored a second time.
 */
import { z } from 'zod';
import { mapConcurrently } from '../base/concurrent.js';
import { FileError } from '../base/errors.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { checkGenome } from '../spaces/product.js';
import { describeBudget } from './budget.js';
import { type Budget, type Costs, limitedQuantities, meets } from './costs.js';
import type { CostOf } from './descent.js';
import { feasibleSampler, type FeasibleSampler, keyOf } from './sampling.js';
import type { Posterior } from './surrogate/gaussian-process.js';
import { chooseByImprovement, type Screening, surrogateOf } from './surrogate/screening.js';

/** What is searched. `costOf` must be deterministic and should remember its answers. */
export interface SearchProblem {
  readonly space: SearchSpace;
  readonly costOf: CostOf;
  readonly budget: Budget;
  readonly seed: number;
  /** Random networks that strategies are given before any others. */
  readonly preferred?: Preferred;
}

/** What a pre-filter has chosen. */
export interface Preferred {
  /** How it was chosen, for the identity of states. */
  readonly rule: unknown;
  /** Asked when the first generation is proposed, not before. */
  readonly genomes: () => readonly Genome[];
}

/** How a candidate came about. */
export enum Origin {
  /** Given to the search to start from. */
  Start = 'start',
  Random = 'random',
  Mutation = 'mutation',
  Crossover = 'crossover',
}

/** A genome within the budget whose accuracy is wanted. */
export interface Proposal {
  readonly genome: Genome;
  readonly origin: Origin;
}

/** A proposal and its accuracy on the search-validation split, 0 to 1. */
export interface ScoredProposal extends Proposal {
  readonly accuracy: number;
}

/** One evaluated candidate. */
export interface Candidate extends ScoredProposal {
  readonly generation: number;
  readonly costs: Costs;
}

/** Everything a search knows; survives JSON unchanged. */
export interface SearchState {
  readonly format: 'shiftaddnas-search';
  readonly version: 1;
  /** Strategy, its options, space, budget and seed: states of different searches do not mix. */
  readonly search: string;
  /** Generations recorded so far, also the index of the one that is proposed next. */
  readonly generation: number;
  /** Every evaluated candidate, by generation, then genome order; no genome twice. */
  readonly archive: readonly Candidate[];
}

export interface SearchStrategy {
  readonly name: string;
  /** Generations of a full search; a space that runs out of candidates ends it earlier. */
  readonly generations: number;
  /** The empty state. @throws InfeasibleBudgetError when no network meets the budget. */
  start(): SearchState;
  /** Reads a state back. @throws FileError when it is malformed or belongs to another search. */
  restore(json: unknown, where: string): SearchState;
  /** The candidates of the next generation: new, different, all within the budget. Empty when the search is over. */
  propose(state: SearchState): readonly Proposal[];
  /** The state after a generation, whose results may come in any order. */
  record(state: SearchState, results: readonly ScoredProposal[]): SearchState;
}

/** What a proposer draws a generation with. */
export interface Draw {
  /** The keys of the archive; may be added to. */
  readonly seen: Set<string>;
  readonly sampler: FeasibleSampler;
  /** Offspring wanted for each that is evaluated: 1 unless a surrogate screens them. */
  readonly oversampling: number;
}

/** What a strategy of its own has to say: how the next generation comes about. */
export interface Proposer {
  readonly name: string;
  readonly generations: number;
  /** Candidates evaluated per generation. */
  readonly population: number;
  /** Every option that changes the outcome, for the identity of the state. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly screening: Screening;
  /** New, different genomes within the budget: at least the population where there are so many. */
  propose(state: SearchState, draw: Draw): readonly Proposal[];
  /** Which `count` of the pool are evaluated, as indices; by expected improvement of the accuracy when absent. */
  choose?(
    state: SearchState,
    pool: readonly Proposal[],
    posterior: Posterior,
    count: number,
  ): readonly number[];
}

const candidateSchema = z.strictObject({
  genome: z.array(z.int().min(0)),
  origin: z.enum(Origin),
  accuracy: z.number(),
  generation: z.int().min(0),
  costs: z.strictObject({
    energyMj: z.number(),
    latencyMs: z.number(),
    macs: z.number(),
    params: z.number(),
    areaMm2: z.number(),
    sramBytes: z.number(),
    flashBytes: z.number(),
  }),
});

const stateSchema = z.strictObject({
  format: z.literal('shiftaddnas-search'),
  version: z.literal(1),
  search: z.string(),
  generation: z.int().min(0),
  archive: z.array(candidateSchema),
});

/** Puts the bookkeeping that all strategies share around a {@link Proposer}. */
export function createStrategy(problem: SearchProblem, proposer: Proposer): SearchStrategy {
  const { space, costOf, budget, seed, preferred } = problem;
  const sampler = feasibleSampler(space, costOf, budget, preferred?.genomes);
  const search = JSON.stringify([
    proposer.name,
    proposer.options,
    space.identity,
    limitedQuantities(budget).map((quantity) => [quantity, budget[quantity]]),
    seed,
    ...(preferred === undefined ? [] : [preferred.rule]),
  ]);
  return {
    name: proposer.name,
    generations: proposer.generations,
    start() {
      sampler.anchor();
      return { format: 'shiftaddnas-search', version: 1, search, generation: 0, archive: [] };
    },
    restore(json, where) {
      const parsed = stateSchema.safeParse(json);
      if (!parsed.success) {
        const issue = parsed.error.issues[0]!;
        throw new FileError(
          `${where}: not a search state of this version (${issue.path.join('.')}: ${issue.message})`,
        );
      }
      if (parsed.data.search !== search)
        throw new FileError(
          `${where}: belongs to another search; resume with the space, budget, seed and search options it was started with`,
        );
      return parsed.data;
    },
    propose(state) {
      if (state.generation >= proposer.generations) return [];
      const { population, screening } = proposer;
      const seen = new Set(state.archive.map(({ genome }) => keyOf(genome)));
      const surrogate = surrogateOf(screening.surrogate, state.archive);
      const pool = proposer.propose(state, {
        seen,
        sampler,
        oversampling: surrogate === undefined ? 1 : screening.oversampling,
      });
      if (surrogate === undefined || pool.length <= population) return pool;
      const posterior = surrogate(pool.map(({ genome }) => genome));
      const chosen =
        proposer.choose?.(state, pool, posterior, population) ??
        chooseByImprovement(posterior, bestOf(state)!.accuracy, population);
      return chosen.map((at) => pool[at]!);
    },
    record(state, results) {
      if (results.length === 0) throw new Error('a generation without results cannot be recorded');
      const seen = new Set(state.archive.map(({ genome }) => keyOf(genome)));
      const candidates = results.map(({ genome, origin, accuracy }): Candidate => {
        checkGenome(genome, space.optionCounts, space.name);
        const key = keyOf(genome);
        if (seen.has(key)) throw new Error(`genome ${key} was evaluated twice`);
        seen.add(key);
        if (!(accuracy >= 0 && accuracy <= 1))
          throw new Error(`accuracy of genome ${key} is ${accuracy}, not between 0 and 1`);
        const costs = costOf(genome);
        if (!meets(costs, budget)) throw new Error(`genome ${key} exceeds ${describeBudget(budget)}`);
        return { genome: [...genome], origin, accuracy, generation: state.generation, costs: { ...costs } };
      });
      candidates.sort((a, b) => compareGenomes(a.genome, b.genome));
      return { ...state, generation: state.generation + 1, archive: [...state.archive, ...candidates] };
    },
  };
}

/** Best first: higher accuracy, then lower energy, then genome order. */
export function ranked(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort(
    (a, b) =>
      b.accuracy - a.accuracy || a.costs.energyMj - b.costs.energyMj || compareGenomes(a.genome, b.genome),
  );
}

/** The winner so far; undefined before the first generation. */
export function bestOf(state: SearchState): Candidate | undefined {
  return ranked(state.archive)[0];
}

/** Hooks of {@link runSearch}. */
export interface SearchHooks {
  /** After each recorded generation: the place for a checkpoint and for progress. */
  readonly afterGeneration?: (state: SearchState) => void | Promise<void>;
}

/** Where in the search a candidate is evaluated. */
export interface EvaluationContext {
  /** Before the generation that the candidate belongs to. */
  readonly state: SearchState;
  /** Position of the candidate in its generation of `count`. */
  readonly index: number;
  readonly count: number;
}

/**
 * Asks, evaluates and tells, from `state` until the strategy has nothing to propose. At most `concurrency` candidates of a
 * generation are evaluated at once, begun in the order of the proposals; the outcome does not depend on it.
 */
export async function runSearch(
  strategy: Pick<SearchStrategy, 'propose' | 'record'>,
  state: SearchState,
  evaluate: (proposal: Proposal, context: EvaluationContext) => number | Promise<number>,
  hooks: SearchHooks = {},
  concurrency = 1,
): Promise<SearchState> {
  for (;;) {
    const proposals = strategy.propose(state);
    if (proposals.length === 0) return state;
    const before = state;
    const results = await mapConcurrently(
      proposals,
      concurrency,
      async (proposal, index): Promise<ScoredProposal> => ({
        ...proposal,
        accuracy: await evaluate(proposal, { state: before, index, count: proposals.length }),
      }),
    );
    state = strategy.record(state, results);
    await hooks.afterGeneration?.(state);
  }
}

function compareGenomes(a: Genome, b: Genome): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
