/**
 * @file The moves of a space that is a plain product: every position picks one of its options independently.
 *
 * The mutation and crossover rules are those of the published search (ShiftAddNAS, AutoFormer's evolution): each gene
 * is redrawn from the options of its own position, and a child takes each gene from either parent at even odds.
 */
import { OptionError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { Genome, SearchSpace } from './contract.js';

export type ProductMoves = Pick<
  SearchSpace,
  'optionCounts' | 'size' | 'canonical' | 'sample' | 'mutate' | 'crossover'
>;

/** Sampling, mutation, crossover and exact size of the product of `optionCounts` (each >= 1). */
export function productMoves(optionCounts: readonly number[]): ProductMoves {
  return {
    optionCounts,
    size: optionCounts.reduce((size, count) => size * BigInt(count), 1n),
    canonical: (genome) => genome,
    sample: (random) => optionCounts.map((count) => random.integer(count)),
    mutate: (genome, rate, random) =>
      genome.map((gene, position) =>
        random.uniform() < rate ? random.integer(optionCounts[position]!) : gene,
      ),
    crossover: (first, second, random) =>
      first.map((gene, position) => (inheritsFirst(random) ? gene : second[position]!)),
  };
}

/** Every genome once, the last position turning fastest (lexicographic order). */
export function* allGenomes(optionCounts: readonly number[]): Generator<Genome> {
  const genome = optionCounts.map(() => 0);
  for (;;) {
    yield [...genome];
    let position = genome.length - 1;
    while (position >= 0 && genome[position] === optionCounts[position]! - 1) genome[position--] = 0;
    if (position < 0) return;
    genome[position]!++;
  }
}

/** @throws OptionError when `genome` is not one option index per position. */
export function checkGenome(genome: Genome, optionCounts: readonly number[], spaceName: string): void {
  if (genome.length !== optionCounts.length)
    throw new OptionError(
      `a genome of the ${spaceName} space has ${optionCounts.length} genes, not ${genome.length}; was it made with other space options?`,
    );
  genome.forEach((gene, position) => {
    const count = optionCounts[position]!;
    if (!Number.isInteger(gene) || gene < 0 || gene >= count)
      throw new OptionError(
        `gene ${position} of a genome of the ${spaceName} space must be a whole number from 0 to ${count - 1}, not ${gene}`,
      );
  });
}

function inheritsFirst(random: Random): boolean {
  return random.integer(2) === 0;
}
