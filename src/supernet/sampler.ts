/**
 * @file Which subnet each training step uses: fair to the operator families.
 *
 * Uniform single-path sampling trains the families of a block unequally by chance, and early rankings favour whoever
 * got more updates (FairNAS, arXiv 1907.01845). Steps come in cycles of as many steps as there are families. In a
 * cycle every block visits each family exactly once, in its own random order; whether the block is skipped is drawn
 * once per cycle; widths are drawn per step. So after every cycle all families of a block have had equally many
 * updates.
 *
 * In a space with structure (depths of stages, layers dealt to stages) blocks offer different numbers of families, and what
 * they offer depends on the structure. It is drawn, every option of each of its positions equally likely, for as many steps
 * as end a cycle of every block.
 */
import { Random } from '../base/random.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { fixedFamily } from '../spaces/blocks/ends.js';
import { blockPositions, offeredOptions } from '../spaces/offers.js';

/** Probability that a skippable block is left out for a cycle. */
const skipProbability = 0.25;

/** What a position offers under a structure. */
export interface Offer {
  readonly families: readonly string[];
  /** The option that leaves the block out; undefined where there is none. */
  readonly skip: number | undefined;
  /** Options of each family. */
  readonly options: ReadonlyMap<string, readonly number[]>;
}

/**
 * The genome of training step `step`, a pure function of the seed; of `families` alone where a position offers any of them
 * ({@link offersOf}).
 */
export function fairGenome(
  space: SearchSpace,
  seed: number,
  step: number,
  families: readonly string[] = space.families,
): Genome {
  const { optionCounts, structure = [] } = space;
  const base = optionCounts.map(() => 0);
  const ofStructure = Math.floor(step / structureSteps(space, families));
  for (const position of structure)
    base[position] = Random.stream(seed, 'sampler', 'structure', position, ofStructure).integer(
      optionCounts[position]!,
    );
  const offers = offersOf(space, base, families);
  return space.canonical(
    base.map((gene, position) => {
      const offer = offers[position];
      if (offer === undefined) return gene;
      const { families: offered, skip, options } = offer;
      const cycle = Math.floor(step / offered.length);
      const ofCycle = Random.stream(seed, 'sampler', position, cycle);
      const order = ofCycle.shuffle([...offered]);
      if (skip !== undefined && ofCycle.uniform() < skipProbability) return skip;
      const family = order[step % offered.length]!;
      return Random.stream(seed, 'sampler', position, cycle, step).pick(options.get(family)!);
    }),
  );
}

/** Steps for which a structure stays: the least in which every block, whatever it offers, ends its cycle. */
export function structureSteps(space: SearchSpace, families: readonly string[] = space.families): number {
  return familyCounts(space, families).reduce(leastCommonMultiple, 1);
}

/** How many of `families` the positions offer, under every option of every position of structure. */
export function familyCounts(
  space: SearchSpace,
  families: readonly string[] = space.families,
): readonly number[] {
  const { optionCounts, structure = [] } = space;
  const known = countsBySpace.get(space) ?? new Map<string, readonly number[]>();
  countsBySpace.set(space, known);
  const key = families.join();
  let counts = known.get(key);
  if (counts === undefined) {
    const zeros = optionCounts.map(() => 0);
    const bases = structure.flatMap((position) =>
      Array.from({ length: optionCounts[position]! }, (_, option) => zeros.with(position, option)),
    );
    counts = [zeros, ...bases].flatMap((base) =>
      offersOf(space, base, families).flatMap((offer) => offer?.families.length ?? []),
    );
    known.set(key, counts);
  }
  return counts;
}

const countsBySpace = new WeakMap<SearchSpace, Map<string, readonly number[]>>();
const offersBySpace = new WeakMap<SearchSpace, Map<string, readonly (Offer | undefined)[]>>();

/**
 * By position; undefined at positions of structure. Of `families` alone; where a position offers none of them, and cannot be
 * left out either, the convolution or else its first family stands in.
 */
export function offersOf(
  space: SearchSpace,
  base: Genome,
  families: readonly string[] = space.families,
): readonly (Offer | undefined)[] {
  const known = offersBySpace.get(space) ?? new Map<string, readonly (Offer | undefined)[]>();
  offersBySpace.set(space, known);
  const structure = (space.structure ?? []).map((position) => base[position]).join();
  const key = `${structure} ${families.join()}`;
  let offers = known.get(key);
  if (offers === undefined) {
    const inside = new Set(blockPositions(space));
    offers = base.map((_, position) =>
      inside.has(position) ? offerOf(space, base, position, families) : undefined,
    );
    known.set(key, offers);
  }
  return offers;
}

function offerOf(space: SearchSpace, base: Genome, position: number, families: readonly string[]): Offer {
  const all = new Map<string, number[]>();
  let skip: number | undefined;
  for (const option of offeredOptions(space, base, position)) {
    const { family } = space.choice(position, option)!;
    if (family === undefined) skip ??= option;
    else all.set(family, [...(all.get(family) ?? []), option]);
  }
  const offered = [...all.keys()];
  const wanted = offered.filter((family) => families.includes(family));
  const standIn = offered.includes(fixedFamily) ? fixedFamily : offered[0];
  const kept = wanted.length > 0 || standIn === undefined ? wanted : [standIn];
  return { families: kept, skip, options: new Map(kept.map((family) => [family, all.get(family)!])) };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
