/**
 * @file Networks of a space that others are measured against: all of one family, and the smallest.
 *
 * Where positions say how deep the stages are or how layers are dealt to them, the largest network is that of most blocks,
 * and among those of most operations; the earlier option of two that tie.
 */
import { OptionError } from '../base/errors.js';
import { confinedTo } from './confined.js';
import type { Genome, SearchSpace } from './contract.js';
import { operationTotal } from './layers.js';
import { blockPositions, offeredOptions, standInFamily } from './offers.js';

/**
 * The macro architecture with one family everywhere: full depth, nothing left out, the largest option of every block. Where
 * a position does not offer the family (the last stage of the spaces of ShiftAddNAS has neither shift nor add), the
 * convolution stands in, or else the first family that is offered.
 * @throws OptionError when the space has no such family
 */
export function uniformGenome(space: SearchSpace, family: string): Genome {
  if (!space.families.includes(family))
    throw new OptionError(
      `the search space has no family '${family}'; it holds ${space.families.join(', ')}`,
    );
  return bestStructure(
    space,
    (base) => withFamily(space, base, family),
    (a, b) => a.blocks - b.blocks || a.operations - b.operations,
  );
}

/** The network of fewest operations. */
export function smallestGenome(space: SearchSpace): Genome {
  return bestStructure(
    space,
    (base) => {
      const genome = [...base];
      for (const position of blockPositions(space)) {
        const options = offeredOptions(space, base, position);
        const operations = options.map((option) => operationsOf(space, base.with(position, option)));
        genome[position] = options[operations.indexOf(Math.min(...operations))]!;
      }
      return genome;
    },
    (a, b) => b.operations - a.operations,
  );
}

/** Of each family the {@link uniformGenome} and the {@link smallestGenome}, each network once. */
export function landmarkGenomes(space: SearchSpace): readonly Genome[] {
  const genomes = space.families.flatMap((family) => [
    uniformGenome(space, family),
    smallestGenome(confinedTo(space, [family])),
  ]);
  return [...new Map(genomes.map((genome) => [genome.join(), genome])).values()];
}

function operationsOf(space: SearchSpace, genome: Genome): number {
  return operationTotal(space.architecture(genome));
}

interface Extent {
  readonly blocks: number;
  readonly operations: number;
}

/**
 * The genome that `settle` makes of the best structure, settling one position of structure after another, which is enough
 * since they do not depend on each other.
 */
function bestStructure(
  space: SearchSpace,
  settle: (base: Genome) => Genome,
  compare: (a: Extent, b: Extent) => number,
): Genome {
  const { optionCounts, structure = [] } = space;
  const settled = (base: Genome): Genome => space.canonical(settle(base));
  const extentOf = (genome: Genome): Extent => {
    const architecture = space.architecture(genome);
    return { blocks: architecture.blocks.length, operations: operationTotal(architecture) };
  };
  let base: Genome = optionCounts.map(() => 0);
  for (const position of structure) {
    let best: Extent | undefined;
    let chosen = 0;
    for (let option = 0; option < optionCounts[position]!; option++) {
      const extent = extentOf(settled(base.with(position, option)));
      if (best !== undefined && compare(extent, best) <= 0) continue;
      best = extent;
      chosen = option;
    }
    base = base.with(position, chosen);
  }
  return settled(base);
}

function withFamily(space: SearchSpace, base: Genome, family: string): Genome {
  const genome = [...base];
  for (const position of blockPositions(space)) {
    const choices = offeredOptions(space, base, position).flatMap((option) => {
      const { family: offered, size } = space.choice(position, option)!;
      return offered === undefined ? [] : [{ option, family: offered, size }];
    });
    const offered = choices.map((choice) => choice.family);
    const standIn = offered.includes(family) ? family : standInFamily(offered);
    const largest = choices
      .filter((choice) => choice.family === standIn)
      .reduce((a, b) => (b.size > a.size ? b : a));
    genome[position] = largest.option;
  }
  return genome;
}
