/**
 * @file What the positions of a space offer under a structure, and the genomes that walk through it: every network once, or
 * few that between them show everything a block can be.
 */
import { fixedFamily } from './blocks/ends.js';
import type { Genome, SearchSpace } from './contract.js';
import { allGenomes } from './product.js';

type Shape = Pick<SearchSpace, 'optionCounts' | 'structure' | 'canonical'>;

/** The options of a position that mean something of their own under the structure of `genome`. */
export function offeredOptions(
  { optionCounts, canonical }: Shape,
  genome: Genome,
  position: number,
): readonly number[] {
  return Array.from({ length: optionCounts[position]! }, (_, option) => option).filter(
    (option) => canonical(genome.with(position, option))[position] === option,
  );
}

/** The families among them, in the order of the options. */
export function offeredFamilies(space: SearchSpace, genome: Genome, position: number): readonly string[] {
  const families = offeredOptions(space, genome, position).flatMap(
    (option) => space.choice(position, option)?.family ?? [],
  );
  return [...new Set(families)];
}

/** The family that stands in where a position does not offer the wanted one: the convolution, or else the first. */
export function standInFamily(offered: readonly string[]): string | undefined {
  return offered.includes(fixedFamily) ? fixedFamily : offered[0];
}

/** Positions that are no structure. */
export function blockPositions({ optionCounts, structure = [] }: Shape): readonly number[] {
  return [...optionCounts.keys()].filter((position) => !structure.includes(position));
}

/** For every structure one canonical genome of it, the last of its positions turning fastest; one where there is none. */
export function* structures(space: Shape): Generator<Genome> {
  const { optionCounts, structure = [] } = space;
  const zeros = optionCounts.map(() => 0);
  if (structure.length === 0) return void (yield space.canonical(zeros));
  for (const chosen of allGenomes(structure.map((position) => optionCounts[position]!)))
    yield space.canonical(structure.reduce<Genome>((genome, at, i) => genome.with(at, chosen[i]!), zeros));
}

/** How many structures there are. */
export function structureCount({ optionCounts, structure = [] }: Shape): bigint {
  return structure.reduce((product, position) => product * BigInt(optionCounts[position]!), 1n);
}

/** The canonical genome of every network once. */
export function* allNetworks(space: Shape): Generator<Genome> {
  const { structure = [] } = space;
  for (const base of structures(space)) {
    const options = base.map((gene, position) =>
      structure.includes(position) ? [gene] : offeredOptions(space, base, position),
    );
    for (const chosen of allGenomes(options.map(({ length }) => length)))
      yield chosen.map((at, position) => options[position]![at]!);
  }
}

/**
 * Canonical genomes in which every block that a network of the space can have appears: each option of each position, under
 * each option of each position of structure, the others being those of a genome of zeros.
 */
export function* coveringGenomes(space: Shape): Generator<Genome> {
  const { optionCounts, structure = [] } = space;
  const zeros = optionCounts.map(() => 0);
  const bases =
    structure.length === 0
      ? [zeros]
      : structure.flatMap((position) =>
          Array.from({ length: optionCounts[position]! }, (_, option) => zeros.with(position, option)),
        );
  for (const base of bases)
    for (const position of blockPositions(space))
      for (const option of offeredOptions(space, base, position))
        yield space.canonical(base.with(position, option));
}
