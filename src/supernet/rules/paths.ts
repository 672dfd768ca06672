/**
 * @file The subnets that rules may ask a space for, and spaces confined to some of their families.
 *
 * A position that offers none of these families (the last stage of the spaces of ShiftAddNAS has neither shift nor add)
 * keeps the one that {@link uniformGenome} would give it.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { Primitive } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { fixedFamily } from '../../spaces/blocks/ends.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { smallestGenome, uniformGenome } from '../../spaces/landmarks.js';
import { blockPositions, offeredFamilies, offeredOptions } from '../../spaces/offers.js';
import { fairGenome, structureSteps } from '../sampler.js';
import type { PathSource } from './contract.js';

/**
 * The networks of `space` that use `families` alone; `first` is added to the indices of drawn networks, rounded up to
 * whole cycles, so that a source that takes over from another one begins cycles of its own.
 * @throws OptionError for a family that the space does not have
 */
export function pathsOf(space: SearchSpace, families: readonly string[], first = 0): PathSource {
  const foreign = families.find((family) => !space.families.includes(family));
  if (foreign !== undefined)
    throw new OptionError(
      `'supernetTraining.warmUp' names the family '${foreign}', which the space does not have; it has ${space.families.join(', ')}`,
    );
  const confined = confinedTo(space, families);
  const allowed = confined.families;
  const cycle = structureSteps(confined);
  const offset = Math.ceil(first / cycle) * cycle;
  const teacher = allowed.find((name) => familyNamed(name).primitive === Primitive.Multiply) ?? allowed[0]!;
  const smallest = allowed.map((family) => once(() => smallestGenome(confinedTo(space, [family]))));
  return {
    families: allowed,
    mostFamilies: mostFamilies(confined),
    uniform: (seed, index) =>
      uniform(space, confined, Random.stream(seed, 'paths', 'uniform', offset + index)),
    fair: (seed, index) => fairGenome(confined, seed, offset + index),
    widest: once(() => uniformGenome(confined, teacher)),
    smallest: (turn) => smallest[turn % smallest.length]!(),
  };
}

/** Of a confined space the structure is drawn as of the whole one, and what its blocks offer uniformly. */
function uniform(space: SearchSpace, confined: SearchSpace, random: Random): Genome {
  const genome = [...space.sample(random)];
  if (confined === space) return genome;
  const base = [...genome];
  for (const position of blockPositions(space))
    genome[position] = random.pick(offeredOptions(confined, base, position));
  return confined.canonical(genome);
}

/** Spaces that have been confined, so that what others remember of them by identity is found again. */
const known = new WeakMap<SearchSpace, Map<string, SearchSpace>>();

function confinedTo(space: SearchSpace, families: readonly string[]): SearchSpace {
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
  const standIn = present.includes(fixedFamily) ? fixedFamily : present[0];
  const used = present.some((family) => families.includes(family)) ? families : [standIn];
  return offered.filter((option) => {
    const family = familyOf(option);
    return family === undefined || used.includes(family);
  });
}

/** Families at the position that has most of them, under whatever structure. */
function mostFamilies(space: SearchSpace): number {
  const { optionCounts, structure = [] } = space;
  const zeros = optionCounts.map(() => 0);
  const bases = structure.flatMap((position) =>
    Array.from({ length: optionCounts[position]! }, (_, option) => zeros.with(position, option)),
  );
  return Math.max(
    ...[zeros, ...bases].flatMap((base) =>
      blockPositions(space).map((position) => offeredFamilies(space, base, position).length),
    ),
  );
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
