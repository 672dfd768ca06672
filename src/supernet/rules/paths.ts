/**
 * @file The subnets that rules may ask a space for.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { Primitive } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { confinedTo } from '../../spaces/confined.js';
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
  const teacher = teachingFamily(allowed);
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

/** The first of the multiplying families with the widest operands; the first of all where none multiplies. */
function teachingFamily(families: readonly string[]): string {
  const multiplying = families.filter((name) => familyNamed(name).primitive === Primitive.Multiply);
  const width = (name: string): number => familyNamed(name).operandBits.activation;
  return multiplying.reduce(
    (best, name) => (width(name) > width(best) ? name : best),
    multiplying[0] ?? families[0]!,
  );
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
