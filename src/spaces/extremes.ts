/**
 * @file The least and the most that networks of a space cost, exactly, where the cost of a network is a sum over the positions
 * that are no structure: for each structure every position is settled on its own.
 */
import type { Genome, SearchSpace } from './contract.js';
import { allGenomes } from './product.js';

export interface Extreme {
  readonly genome: Genome;
  readonly cost: number;
}

export interface Extremes {
  readonly least: Extreme;
  readonly most: Extreme;
}

/** The extremes of each quantity that `costOf` gives. */
export function extremesOf<Quantity extends string>(
  space: Pick<SearchSpace, 'optionCounts' | 'structure' | 'canonical'>,
  costOf: (genome: Genome) => Readonly<Record<Quantity, number>>,
): Readonly<Record<Quantity, Extremes>> {
  const { optionCounts, structure = [] } = space;
  const zeros = optionCounts.map(() => 0);
  const inside = [...optionCounts.keys()].filter((position) => !structure.includes(position));
  const found = new Map<Quantity, Extremes>();
  const structures = structure.length === 0 ? [[]] : allGenomes(structure.map((at) => optionCounts[at]!));
  for (const chosen of structures) {
    const base = structure.reduce((genome, at, i) => genome.with(at, chosen[i]!), zeros);
    const options = inside.map((position) =>
      Array.from({ length: optionCounts[position]! }, (_, option) => costOf(base.with(position, option))),
    );
    for (const quantity of Object.keys(options[0]?.[0] ?? costOf(base)) as Quantity[]) {
      const settled = (sign: 1 | -1): Extreme => {
        const genome = [...base];
        inside.forEach((position, at) => {
          const costs = options[at]!.map((each) => sign * each[quantity]);
          genome[position] = costs.indexOf(Math.min(...costs));
        });
        const canonical = space.canonical(genome);
        return { genome: canonical, cost: costOf(canonical)[quantity] };
      };
      const [least, most] = [settled(1), settled(-1)];
      const before = found.get(quantity);
      found.set(quantity, {
        least: before !== undefined && before.least.cost <= least.cost ? before.least : least,
        most: before !== undefined && before.most.cost >= most.cost ? before.most : most,
      });
    }
  }
  return Object.fromEntries(found) as Record<Quantity, Extremes>;
}
