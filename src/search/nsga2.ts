/**
 * @file NSGA-II over any objectives (Deb, Pratap, Agarwal and Meyarivan 2002; for architectures: NSGANetV2, arXiv
 * 2007.10396), with the budget in the loop.
 *
 * The first population is random, but for genomes to start from that it may be given. Each generation, parents are chosen by binary tournaments under the crowded
 * comparison, children cross and mutate, and the best of parents and children survive, by front and then by crowding.
 * The populations are not stored: they follow from the archive, generation by generation.
 *
 * Costs are known before anything is evaluated, so the constraints act before: a child that keeps the budget is preferred
 * to one that does not, and where too few keep it, those that exceed it least are repaired first (constrained domination,
 * on what needs no evaluation). None that exceeds the budget is evaluated, and no genome twice.
 */
import { z } from 'zod';
import { OptionError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Genome } from '../spaces/contract.js';
import { violation } from './costs.js';
import { descend } from './descent.js';
import { crowdedComparison, type Placed, type Rated, survivors } from './dominance.js';
import { defaultObjectives, objectivesSchema, objectiveValues } from './objectives.js';
import { keyOf } from './sampling.js';
import {
  type Candidate,
  createStrategy,
  Origin,
  type Proposal,
  type SearchProblem,
  type SearchState,
  type SearchStrategy,
} from './strategy.js';
import { screeningSettings } from './surrogate/screening.js';

const probability = z.number().min(0).max(1);

/** Options of NSGA-II. */
export const nsga2Schema = z.strictObject({
  generations: z.int().min(1).default(20),
  /** Members of the population, and candidates evaluated per generation. */
  population: z.int().min(1).default(50),
  objectives: objectivesSchema.default(defaultObjectives),
  /** Probability that a child has two parents; else it is the mutant of one. */
  crossoverRate: probability.default(0.9),
  /** Probability that a gene of a child is redrawn. */
  mutationRate: probability.default(0.2),
  ...screeningSettings,
});

export type Nsga2Options = z.input<typeof nsga2Schema>;

/** Tries per wanted child, as for the evolution. */
const triesPerChild = 10;

/**
 * @param starts canonical genomes that the first population holds as far as the budget allows, up to half of it, before random ones: the ends of a
 *   front, which crossing and mutating take long to reach
 * @throws OptionError naming the first option that is wrong
 */
export function createNsga2(
  problem: SearchProblem,
  options: Nsga2Options = {},
  starts: readonly Genome[] = [],
): SearchStrategy {
  const parsed = nsga2Schema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new OptionError(`search: ${issue.path.join('.') || 'options'}: ${issue.message}`);
  }
  const settings = parsed.data;
  const { space, costOf, budget, seed } = problem;
  const { generations, population, objectives, crossoverRate, mutationRate } = settings;
  const name = 'nsga2';
  const ratedOf = (candidate: Candidate): Rated => ({
    objectives: objectiveValues(candidate, objectives),
    violation: violation(candidate.costs, budget),
  });

  return createStrategy(problem, {
    name,
    generations,
    population,
    options: starts.length === 0 ? settings : { ...settings, starts },
    screening: settings,
    propose(state, { seen, sampler, oversampling }) {
      const random = Random.stream(seed, name, state.generation);
      const parents = nsga2Population(state, population, ratedOf);
      const proposals: Proposal[] = [];
      const tooDear: Proposal[] = [];
      const take = (proposal: Proposal): void => {
        const key = keyOf(proposal.genome);
        if (seen.has(key)) return;
        if (!sampler.fits(proposal.genome)) return void tooDear.push(proposal);
        seen.add(key);
        proposals.push(proposal);
      };

      if (state.generation === 0)
        for (const genome of starts.filter(sampler.fits).slice(0, Math.ceil(population / 2)))
          take({ genome, origin: Origin.Start });

      const wanted = population * oversampling;
      const parent = (): Genome => tournament(parents, random).item.genome;
      const tries = parents.length === 0 ? 0 : triesPerChild * wanted;
      for (let i = 0; i < tries && proposals.length < wanted; i++) {
        const crossed = random.uniform() < crossoverRate;
        const child = crossed ? space.crossover(parent(), parent(), random) : parent();
        const genome = space.mutate(child, mutationRate, random);
        take({ genome, origin: crossed ? Origin.Crossover : Origin.Mutation });
      }

      const excess = new Map(tooDear.map((child) => [child, violation(costOf(child.genome), budget)]));
      for (const child of [...tooDear].sort((a, b) => excess.get(a)! - excess.get(b)!).slice(0, population)) {
        if (proposals.length >= population) break;
        const order = random.shuffle([...space.optionCounts.keys()]);
        const { genome } = descend(child.genome, space.optionCounts, costOf, budget, order);
        take({ ...child, genome: space.canonical(genome) });
      }
      const known = [...state.archive, ...proposals].map(({ genome }) => genome);
      for (const genome of sampler.fresh(population - proposals.length, seen, known, random))
        proposals.push({ genome, origin: Origin.Random });
      return proposals;
    },
    choose(state, pool, posterior, count) {
      // Known and predicted networks in one population: what known ones already beat, or stand beside, comes last.
      const known = nsga2Population(state, population, ratedOf).map(({ item }) => ({
        rated: ratedOf(item),
        at: -1,
      }));
      const predicted = pool.map(({ genome }, at) => {
        const judged = { accuracy: posterior.mean[at]!, costs: costOf(genome) };
        return { rated: { objectives: objectiveValues(judged, objectives) }, at };
      });
      const everyone = [...known, ...predicted];
      return survivors(everyone, ({ rated }) => rated, everyone.length)
        .flatMap(({ item: { at } }) => (at < 0 ? [] : [at]))
        .slice(0, count);
    },
  });
}

/** The population after the generations recorded so far: each selects from the one before and its own candidates. */
export function nsga2Population(
  { archive, generation: generations }: Pick<SearchState, 'archive' | 'generation'>,
  size: number,
  ratedOf: (candidate: Candidate) => Rated,
): readonly Placed<Candidate>[] {
  let population: readonly Placed<Candidate>[] = [];
  for (let generation = 0; generation < generations; generation++) {
    const born = archive.filter((candidate) => candidate.generation === generation);
    population = survivors([...population.map(({ item }) => item), ...born], ratedOf, size);
  }
  return population;
}

function tournament<T>(population: readonly Placed<T>[], random: Random): Placed<T> {
  const [a, b] = [random.pick(population), random.pick(population)];
  return crowdedComparison(b, a) < 0 ? b : a;
}
