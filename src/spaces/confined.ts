/**
 * @file Spaces confined to some of their families.
 *
 * A position that offers none of these families (the last stage of the spaces of ShiftAddNAS has neither shift nor add)
 * keeps the one that stands in for others (`standInFamily`), as it does in networks of one family.
 */
import type { Genome, SearchSpace } from './contract.js';
import { blockPositions, offeredFamilies, offeredOptions, standInFamily } from './offers.js';

/** Spaces that have been confined, so that what others remember of them by identity is found again. */
const known = new WeakMap<SearchSpace, Map<string, SearchSpace>>();

/** The networks of `space` that use `families` alone: the same object for the same families. */
export function confinedTo(space: SearchSpace, families: readonly string[]): SearchSpace {
  const allowed = space.families.filter((family) => families.includes(family));
  if (allowed.length === space.families.length) return space;
  const ofSpace = known.get(space) ?? new Map<string, SearchSpace>();
  known.set(space, ofSpace);
  const key = allowed.join();
  const confined = ofSpace.get(key) ?? confine(space, allowed);
  ofSpace.set(key, confined);
  return confined;
}

/** The same genomes, of which those that use other families stand for ones that do not: their options are not offered. */
function confine(space: SearchSpace, families: readonly string[]): SearchSpace {
  const positions = blockPositions(space);
  /** By the options of the structure: what each block may be, and what stands in for the rest. */
  const allowed = new Map<string, readonly (readonly number[])[]>();
  const allowedUnder = (genome: Genome): readonly (readonly number[])[] => {
    const key = (space.structure ?? []).map((position) => genome[position]).join();
    let options = allowed.get(key);
    if (options === undefined) {
      options = positions.map((position) => allowedAt(space, genome, position, families));
      allowed.set(key, options);
    }
    return options;
  };
  return {
    ...space,
    families,
    canonical(genome) {
      const canonical = [...space.canonical(genome)];
      const options = allowedUnder(canonical);
      positions.forEach((position, at) => {
        if (!options[at]!.includes(canonical[position]!)) canonical[position] = options[at]![0]!;
      });
      return canonical;
    },
  };
}

function allowedAt(
  space: SearchSpace,
  genome: Genome,
  position: number,
  families: readonly string[],
): readonly number[] {
  const offered = offeredOptions(space, genome, position);
  const familyOf = (option: number): string | undefined => space.choice(position, option)?.family;
  const present = offeredFamilies(space, genome, position);
  const standIn = standInFamily(present);
  const used = present.some((family) => families.includes(family)) ? families : [standIn];
  return offered.filter((option) => {
    const family = familyOf(option);
    return family === undefined || used.includes(family);
  });
}
