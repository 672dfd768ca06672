/**
 * @file The subnets that rules may ask a space for, and spaces confined to some of their families.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { Primitive } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { smallestGenome, uniformGenome } from '../../spaces/landmarks.js';
import { fairGenome, familyCounts, offersOf, structureSteps } from '../sampler.js';
import type { PathSource } from './contract.js';

/**
 * The networks of `space` that use `families` alone; `first` is added to the indices of drawn networks, rounded up to
 * whole cycles, so that a source that takes over from another one begins cycles of its own. Where a position offers none of
 * the families, as the last stage of the spaces of ShiftAddNAS in a warm-up of shifts, convolution stands in.
 * @throws OptionError for a family that the space does not have
 */
export function pathsOf(space: SearchSpace, families: readonly string[], first = 0): PathSource {
  for (const family of families)
    if (!space.families.includes(family))
      throw new OptionError(
        `'supernetTraining.warmUp' names the family '${family}', which the space does not have; it has ${space.families.join(', ')}`,
      );
  const allowed = space.families.filter((family) => families.includes(family));
  const whole = allowed.length === space.families.length;
  const cycle = structureSteps(space, allowed);
  const offset = Math.ceil(first / cycle) * cycle;
  const multiplies = (name: string): boolean => familyNamed(name).primitive === Primitive.Multiply;
  const teacher = allowed.find(multiplies) ?? (allowed[0] as string);
  const widest = uniformGenome(space, teacher);
  const smallest = allowed.map((family) => smallestGenome(space, family));
  return {
    families: allowed,
    mostFamilies: Math.max(...familyCounts(space, allowed)),
    uniform(seed, index) {
      const random = Random.stream(seed, 'paths', 'uniform', offset + index);
      return whole ? space.sample(random) : confinedSample(space, allowed, random);
    },
    fair: (seed, index) => fairGenome(space, seed, offset + index, allowed),
    widest: () => widest,
    smallest: (turn) => smallest[turn % smallest.length]!,
  };
}

/** A structure as a uniform draw has it, and every block drawn from the options that are left. */
function confinedSample(space: SearchSpace, families: readonly string[], random: Random): Genome {
  const { optionCounts, structure = [] } = space;
  const base = structure.length > 0 ? space.sample(random) : optionCounts.map(() => 0);
  const offers = offersOf(space, base, families);
  return space.canonical(
    base.map((gene, position) => {
      const offer = offers[position];
      if (offer === undefined) return gene;
      const options = [...offer.options.values()].flat();
      return random.pick(offer.skip === undefined ? options : [offer.skip, ...options]);
    }),
  );
}
