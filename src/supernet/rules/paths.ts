/**
 * @file The subnets that rules may ask a space for, and spaces confined to some of their families. All that the rules know
 * of a kind of space is here.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { Primitive } from '../../hardware/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { BlockKind } from '../../spaces/architecture.js';
import type { Genome } from '../../spaces/contract.js';
import type { MiniOption, MiniPosition, MiniSpace } from '../../spaces/mini/space.js';
import { familiesOf, fairGenome } from '../sampler.js';
import type { PathSource } from './contract.js';

/** The options of a position that use no other families, and where they stand in the gene. */
interface Confined {
  readonly position: MiniPosition;
  readonly genes: readonly number[];
}

/**
 * The networks of `space` that use `families` alone; `first` is added to the indices of drawn networks, rounded up to
 * whole cycles, so that a source that takes over from another one begins cycles of its own.
 * @throws OptionError for a family that the space does not have, or a position that has none of them
 */
export function pathsOf(space: MiniSpace, families: readonly string[], first = 0): PathSource {
  for (const family of families)
    if (!space.options.families.includes(family))
      throw new OptionError(
        `'supernetTraining.warmUp' names the family '${family}', which the space does not have; it has ${space.options.families.join(', ')}`,
      );
  const allowed = space.options.families.filter((family) => families.includes(family));
  const whole = allowed.length === space.options.families.length;
  const positions = space.positions.map((position) => confined(position, allowed));
  const counts = positions.map(({ position }) => familiesOf(position).length);
  const cycle = counts.reduce(leastCommonMultiple, 1);
  const offset = Math.ceil(first / cycle) * cycle;
  const teacher = allowed.find((name) => familyNamed(name).primitive === Primitive.Multiply) ?? allowed[0];
  const widthOf = (option: MiniOption): number => (option.kind === BlockKind.Skip ? 0 : option.midChannels);
  const choose = (better: (a: MiniOption, b: MiniOption) => boolean, family: string | undefined): Genome =>
    positions.map(({ position, genes }) => {
      const ofFamily = (option: MiniOption): boolean =>
        option.kind === BlockKind.Skip || option.family === family;
      const best = position.options.reduce((held, option) =>
        ofFamily(option) && (!ofFamily(held) || better(option, held)) ? option : held,
      );
      return genes[position.options.indexOf(best)] as number;
    });
  return {
    families: allowed,
    mostFamilies: Math.max(...counts),
    uniform(seed, index) {
      const random = Random.stream(seed, 'paths', 'uniform', offset + index);
      return whole ? space.sample(random) : positions.map(({ genes }) => random.pick(genes));
    },
    fair: (seed, index) =>
      fairGenome(
        positions.map(({ position }) => position),
        seed,
        offset + index,
      ).map((gene, at) => positions[at]!.genes[gene] as number),
    widest: () => choose((a, b) => widthOf(a) > widthOf(b), teacher),
    smallest: (turn) => choose((a, b) => widthOf(a) < widthOf(b), allowed[turn % allowed.length]),
  };
}

function confined(position: MiniPosition, families: readonly string[]): Confined {
  const genes = position.options.flatMap((option, gene) =>
    option.kind === BlockKind.Skip || families.includes(option.family) ? [gene] : [],
  );
  return { position: { ...position, options: genes.map((gene) => position.options[gene]!) }, genes };
}

function leastCommonMultiple(a: number, b: number): number {
  let [larger, rest] = [a, b];
  while (rest > 0) [larger, rest] = [rest, larger % rest];
  return (a * b) / larger;
}
