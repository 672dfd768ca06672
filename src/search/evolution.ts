/**
 * @file Evolution as published (ShiftAddNAS, arXiv 2205.08119; the scheme of AutoFormer), with the budget in the loop.
 *
 * Generation 0 is random. Every later one is made of mutants and children of the best candidates seen so far, each
 * sort in at most ten tries per wanted genome, and is filled up with random genomes. No genome is evaluated twice, and
 * none that exceeds the budget is evaluated at all. Where the published search repeats its rejection sampling until
 * enough candidates appear, ours always ends (see sampling.ts).
 */
import { z } from 'zod';
import { OptionError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Genome } from '../spaces/contract.js';
import { keyOf } from './sampling.js';
import {
  createStrategy,
  Origin,
  type Proposal,
  ranked,
  type SearchProblem,
  type SearchStrategy,
} from './strategy.js';
import { screeningSettings } from './surrogate/screening.js';

const probability = z.number().min(0).max(1);
const count = z.int().min(0);

/** Options of the evolution; the defaults are the published ones. */
export const evolutionSchema = z
  .strictObject({
    generations: z.int().min(1).default(20),
    /** Candidates evaluated per generation. */
    population: z.int().min(1).default(50),
    /** How many of the best so far may be parents. */
    parents: z.int().min(1).default(10),
    /** Mutants wanted per generation; half the population when not given. */
    mutations: count.optional(),
    /** Children wanted per generation; half the population when not given. */
    crossovers: count.optional(),
    /** Probability that a gene of a mutant is redrawn. */
    mutationRate: probability.default(0.2),
    /** Probability that a mutant starts from a random genome instead of a parent. */
    resampleRate: probability.default(0.2),
    ...screeningSettings,
  })
  .transform((options) => {
    const { population } = options;
    const mutations =
      options.mutations ?? Math.min(Math.ceil(population / 2), population - (options.crossovers ?? 0));
    const crossovers = options.crossovers ?? Math.min(Math.floor(population / 2), population - mutations);
    return { ...options, mutations: Math.max(0, mutations), crossovers: Math.max(0, crossovers) };
  })
  .refine((options) => options.mutations + options.crossovers <= options.population, {
    path: ['population'],
    message: 'must be at least mutations + crossovers',
  });

export type EvolutionOptions = z.input<typeof evolutionSchema>;

/** @throws OptionError naming the first option that is wrong. */
export function createEvolution(problem: SearchProblem, options: EvolutionOptions = {}): SearchStrategy {
  const parsed = evolutionSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new OptionError(`search: ${issue.path.join('.') || 'options'}: ${issue.message}`);
  }
  const settings = parsed.data;
  const { space, seed } = problem;
  const { generations, population, mutations, crossovers } = settings;
  const name = 'evolution';

  return createStrategy(problem, {
    name,
    generations,
    population,
    options: settings,
    screening: settings,
    propose(state, { seen, sampler, oversampling }) {
      const random = Random.stream(seed, name, state.generation);
      const parents = ranked(state.archive)
        .slice(0, settings.parents)
        .map(({ genome }) => genome);
      const proposals: Proposal[] = [];

      const breed = (wanted: number, origin: Origin, make: () => Genome): void => {
        for (let tries = 0, made = 0; made < wanted && tries < 10 * wanted; tries++) {
          const genome = make();
          const key = keyOf(genome);
          if (seen.has(key) || !sampler.fits(genome)) continue;
          seen.add(key);
          proposals.push({ genome, origin });
          made++;
        }
      };

      if (parents.length > 0) {
        breed(mutations * oversampling, Origin.Mutation, () => {
          const parent =
            random.uniform() < settings.resampleRate ? space.sample(random) : random.pick(parents);
          return space.mutate(parent, settings.mutationRate, random);
        });
        breed(crossovers * oversampling, Origin.Crossover, () =>
          space.crossover(random.pick(parents), random.pick(parents), random),
        );
      }
      const known = [...state.archive, ...proposals].map(({ genome }) => genome);
      for (const genome of sampler.fresh(population - proposals.length, seen, known, random))
        proposals.push({ genome, origin: Origin.Random });
      return proposals;
    },
  });
}
