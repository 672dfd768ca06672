/**
 * @file Small search problems whose answers can be looked up by listing every genome; for tests only.
 */
import { Random } from '../base/random.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { productMoves } from '../spaces/product.js';
import { type Costs, type Quantity, quantities } from './costs.js';

/** A product space without networks behind it. */
export function toySpace(optionCounts: readonly number[]): SearchSpace {
  return {
    ...productMoves(optionCounts),
    name: 'toy',
    identity: `toy ${optionCounts.join('x')}`,
    families: [],
    choice: () => undefined,
    architecture: () => {
      throw new Error('toy genomes stand for no network');
    },
    optionLabel: (position, option) => `${position}:${option}`,
  };
}

/** Costs that add up over positions, drawn per option and quantity from (0, 1]; options differ in every quantity. */
export function additiveCosts(optionCounts: readonly number[], seed: number): (genome: Genome) => Costs {
  const streams = quantities.map((quantity) => Random.stream(seed, 'toy costs', quantity));
  const table = optionCounts.map((count) =>
    Array.from({ length: count }, () => streams.map((random) => 1 - random.uniform())),
  );
  return (genome) => {
    const sums = Object.fromEntries(quantities.map((quantity) => [quantity, 1])) as Record<Quantity, number>;
    for (const [position, gene] of genome.entries())
      for (const [q, quantity] of quantities.entries()) sums[quantity] += table[position]![gene]![q]!;
    return sums;
  };
}

/** Costs in which neighbouring genes interact, so that they do not add up. */
export function entangledCosts(optionCounts: readonly number[], seed: number): (genome: Genome) => Costs {
  const additive = additiveCosts(optionCounts, seed);
  return (genome) => {
    const costs = additive(genome);
    const clashes = genome.filter((gene, at) => at > 0 && gene === genome[at - 1]).length;
    return { ...costs, energyMj: costs.energyMj * (1 + clashes), latencyMs: costs.latencyMs + clashes ** 2 };
  };
}

/** An accuracy in [0, 1] that is a sum over positions, with a known best option at each. */
export function additiveAccuracy(optionCounts: readonly number[], seed: number): (genome: Genome) => number {
  const random = Random.stream(seed, 'toy accuracy');
  const table = optionCounts.map((count) => Array.from({ length: count }, () => random.uniform()));
  return (genome) =>
    genome.reduce((sum, gene, position) => sum + table[position]![gene]!, 0) / optionCounts.length;
}

/**
 * An accuracy in [0, 1] in which the effect of an option depends on its neighbours': a fifth of it adds up over positions,
 * the rest over pairs of neighbouring positions.
 */
export function entangledAccuracy(optionCounts: readonly number[], seed: number): (genome: Genome) => number {
  const additive = additiveAccuracy(optionCounts, seed);
  const random = Random.stream(seed, 'toy interactions');
  const tables = optionCounts
    .slice(1)
    .map((count, at) =>
      Array.from({ length: optionCounts[at]! }, () => Array.from({ length: count }, () => random.uniform())),
    );
  return (genome) => {
    const pairs = tables.map((table, at) => table[genome[at]!]![genome[at + 1]!]!);
    return 0.2 * additive(genome) + (0.8 * pairs.reduce((sum, each) => sum + each, 0)) / pairs.length;
  };
}
