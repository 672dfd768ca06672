/**
 * @file Random search: the baseline every other strategy has to beat (Li and Talwalkar, arXiv 1902.07638).
 */
import { z } from 'zod';
import { OptionError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { createStrategy, Origin, type SearchProblem, type SearchStrategy } from './strategy.js';
import { screeningSettings } from './surrogate/screening.js';

export const randomSearchSchema = z.strictObject({
  generations: z.int().min(1).default(20),
  /** Candidates evaluated per generation. */
  population: z.int().min(1).default(50),
  ...screeningSettings,
});

export type RandomSearchOptions = z.input<typeof randomSearchSchema>;

/** New random genomes within the budget, `population` per generation. @throws OptionError on a wrong option. */
export function createRandomSearch(
  problem: SearchProblem,
  options: RandomSearchOptions = {},
): SearchStrategy {
  const parsed = randomSearchSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new OptionError(`search: ${issue.path.join('.') || 'options'}: ${issue.message}`);
  }
  const { generations, population } = parsed.data;
  const name = 'random';
  return createStrategy(problem, {
    name,
    generations,
    population,
    options: parsed.data,
    screening: parsed.data,
    propose(state, { seen, sampler, oversampling }) {
      const random = Random.stream(problem.seed, name, state.generation);
      const known = state.archive.map(({ genome }) => genome);
      return sampler
        .fresh(population * oversampling, seen, known, random)
        .map((genome) => ({ genome, origin: Origin.Random }));
    },
  });
}
