/**
 * @file Random genomes within a budget, however tight it is.
 *
 * Plain rejection is uniform but starves when few genomes fit, which is how searches come to hang. So it has a
 * limited number of tries; then random genomes are repaired (descent on the violation, then a walk towards a genome
 * known to fit); and when even that finds nothing new, what is left is listed. Nothing here can loop for ever. Every
 * genome that comes out is canonical, so that no network comes twice under two names.
 */
import type { Random } from '../base/random.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { allNetworks } from '../spaces/offers.js';
import { type Budget, meets } from './costs.js';
import { type CostOf, descend } from './descent.js';
import { findFeasible } from './nearest.js';

export interface FeasibleSampler {
  /** One genome that fits. @throws InfeasibleBudgetError when there is none. */
  anchor(): Genome;
  fits(genome: Genome): boolean;
  /** A random genome that fits: uniform while rejection succeeds within its tries, repaired otherwise. */
  sampleWithin(random: Random): Genome;
  /**
   * Up to `count` different genomes that fit and are not in `seen`, to which their keys are added. Fewer only when no
   * more were found: in spaces up to 20,000 genomes that means there are none, in larger ones that no genome reachable
   * from `known` by changing single genes within the budget is left.
   */
  fresh(count: number, seen: Set<string>, known: readonly Genome[], random: Random): Genome[];
}

/** Tries per wanted genome, as in the published search. */
const triesPerGenome = 10;
const enumerable = 20_000n;

/** The identity of a genome in tables. */
export function keyOf(genome: Genome): string {
  return genome.join(',');
}

/** `preferred` are the first that {@link FeasibleSampler.fresh} gives, in random order. */
export function feasibleSampler(
  space: SearchSpace,
  costOf: CostOf,
  budget: Budget,
  preferred: () => readonly Genome[] = () => [],
): FeasibleSampler {
  const { optionCounts } = space;
  const fits = (genome: Genome): boolean => meets(costOf(genome), budget);
  let anchorGenome: Genome | undefined;
  let listed: readonly Genome[] | undefined;

  const anchor = (): Genome => (anchorGenome ??= findFeasible(space, costOf, budget));

  const repaired = (genome: Genome, towards: Genome, random: Random): Genome => {
    const order = random.shuffle([...optionCounts.keys()]);
    const descended = descend(genome, optionCounts, costOf, budget, order);
    if (descended.violation === 0) return space.canonical(descended.genome);
    let walker = genome;
    for (const position of order) {
      walker = walker.with(position, towards[position]!);
      if (fits(walker)) return space.canonical(walker);
    }
    return towards;
  };

  /** One redraw of every gene, kept where it still fits: moves a repaired genome off the few that repair ends at. */
  const shaken = (genome: Genome, random: Random): Genome => {
    for (const position of random.shuffle([...optionCounts.keys()])) {
      const moved = space.canonical(genome.with(position, random.integer(optionCounts[position]!)));
      if (fits(moved)) genome = moved;
    }
    return genome;
  };

  const sampleWithin = (random: Random): Genome => {
    let genome: Genome = space.sample(random);
    for (let tries = 1; tries < triesPerGenome && !fits(genome); tries++) genome = space.sample(random);
    return fits(genome) ? genome : shaken(repaired(genome, anchor(), random), random);
  };

  /** Everything that fits, for small spaces; single-gene steps from genomes that fit, for large ones. */
  function* remaining(known: readonly Genome[], random: Random): Generator<Genome> {
    if (space.size <= enumerable) {
      listed ??= [...allNetworks(space)].filter(fits);
      yield* random.shuffle([...listed]);
      return;
    }
    const queue = random.shuffle([anchor(), ...known]);
    const queued = new Set(queue.map(keyOf));
    yield anchor();
    for (let head = 0; head < queue.length; head++)
      for (const [position, count] of optionCounts.entries())
        for (let option = 0; option < count; option++) {
          const neighbour = space.canonical(queue[head]!.with(position, option));
          const key = keyOf(neighbour);
          if (queued.has(key) || !fits(neighbour)) continue;
          queued.add(key);
          queue.push(neighbour);
          yield neighbour;
        }
  }

  return {
    anchor,
    fits,
    sampleWithin,
    fresh(count, seen, known, random) {
      const found: Genome[] = [];
      const take = (genome: Genome): void => {
        const key = keyOf(genome);
        if (seen.has(key) || !fits(genome)) return;
        seen.add(key);
        found.push(genome);
      };
      const wanting = (): boolean => found.length < count;
      const targets = [anchor(), ...known];
      const tries = triesPerGenome * count;
      for (const genome of random.shuffle([...preferred()])) if (wanting()) take(genome);
      for (let i = 0; i < tries && wanting(); i++) take(space.sample(random));
      // Listing a small space is cheap and uniform; repair is not, so it is for the large ones.
      for (let i = 0; i < tries && wanting() && space.size > enumerable; i++)
        take(shaken(repaired(space.sample(random), random.pick(targets), random), random));
      if (wanting())
        for (const genome of remaining([...known, ...found], random)) {
          take(genome);
          if (!wanting()) break;
        }
      return found;
    },
  };
}
