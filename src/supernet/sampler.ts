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
import { offeredOptions, blockPositions } from '../spaces/offers.js';

/** Probability that a skippable block is left out for a cycle. */
const skipProbability = 0.25;

/** What a position offers under a structure. */
interface Offer {
  readonly families: readonly string[];
  /** The option that leaves the block out; undefined where there is none. */
  readonly skip: number | undefined;
  /** Options of each family. */
  readonly options: ReadonlyMap<string, readonly number[]>;
}

/** The genome of training step `step`, a pure function of the seed. */
export function fairGenome(space: SearchSpace, seed: number, step: number): Genome {
  const { optionCounts, structure = [] } = space;
  const base = optionCounts.map(() => 0);
  const ofStructure = Math.floor(step / structureSteps(space));
  for (const position of structure)
    base[position] = Random.stream(seed, 'sampler', 'structure', position, ofStructure).integer(
      optionCounts[position]!,
    );
  const offers = offersOf(space, base);
  return space.canonical(
    base.map((gene, position) => {
      const offer = offers[position];
      if (offer === undefined) return gene;
      const { families, skip, options } = offer;
      const cycle = Math.floor(step / families.length);
      const ofCycle = Random.stream(seed, 'sampler', position, cycle);
      const order = ofCycle.shuffle([...families]);
      if (skip !== undefined && ofCycle.uniform() < skipProbability) return skip;
      const family = order[step % families.length]!;
      return Random.stream(seed, 'sampler', position, cycle, step).pick(options.get(family)!);
    }),
  );
}

/** Steps for which a structure stays: the least in which every block, whatever it offers, ends its cycle. */
export function structureSteps(space: SearchSpace): number {
  const { optionCounts, structure = [] } = space;
  let known = stepsBySpace.get(space);
  if (known === undefined) {
    const zeros = optionCounts.map(() => 0);
    const bases = structure.flatMap((position) =>
      Array.from({ length: optionCounts[position]! }, (_, option) => zeros.with(position, option)),
    );
    const lengths = [zeros, ...bases].flatMap((base) =>
      offersOf(space, base).map((offer) => offer?.families.length ?? 1),
    );
    known = lengths.reduce(leastCommonMultiple, 1);
    stepsBySpace.set(space, known);
  }
  return known;
}

const stepsBySpace = new WeakMap<SearchSpace, number>();
const offersBySpace = new WeakMap<SearchSpace, Map<string, readonly (Offer | undefined)[]>>();

/** By position; undefined at positions of structure. */
function offersOf(space: SearchSpace, base: Genome): readonly (Offer | undefined)[] {
  const known = offersBySpace.get(space) ?? new Map<string, readonly (Offer | undefined)[]>();
  offersBySpace.set(space, known);
  const key = (space.structure ?? []).map((position) => base[position]).join();
  let offers = known.get(key);
  if (offers === undefined) {
    const inside = new Set(blockPositions(space));
    offers = base.map((_, position) => (inside.has(position) ? offerOf(space, base, position) : undefined));
    known.set(key, offers);
  }
  return offers;
}

function offerOf(space: SearchSpace, base: Genome, position: number): Offer {
  const options = new Map<string, number[]>();
  let skip: number | undefined;
  for (const option of offeredOptions(space, base, position)) {
    const { family } = space.choice(position, option)!;
    if (family === undefined) skip ??= option;
    else options.set(family, [...(options.get(family) ?? []), option]);
  }
  return { families: [...options.keys()], skip, options };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
