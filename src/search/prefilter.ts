/**
 * @file The choice that a zero-cost pre-filter makes in a pool of random networks: the best of each kind, not the best.
 *
 * Scores of untrained networks grow with size and lean towards some operators, so that the best of a whole pool would be
 * the largest networks of one mix. Networks are therefore compared with their like alone: of one mix of operators, in one
 * strip of energy. Every kind keeps the same part of its members, so the choice is as cheap and as mixed as the pool.
 */
import type { Genome } from '../spaces/contract.js';
import { keyOf } from './sampling.js';

/** A network of the pool. */
export interface Scored {
  readonly genome: Genome;
  readonly energyMj: number;
  /** Names the mix of its operators. */
  readonly mix: string;
  /** More is better; -Infinity for a network that is thought worthless. */
  readonly score: number;
}

/** Strips of energy within a mix, of equally many networks; fewer in mixes with fewer than this many for each. */
const strips = 5;
const leastInStrip = 4;

/** The kinds: by mix in order of their names, and in a mix from the cheapest strip to the dearest. */
export function strataOf<T extends Pick<Scored, 'genome' | 'energyMj' | 'mix'>>(
  pool: readonly T[],
): readonly (readonly T[])[] {
  const mixes = new Map<string, T[]>();
  for (const each of pool) mixes.set(each.mix, [...(mixes.get(each.mix) ?? []), each]);
  return [...mixes.keys()].sort().flatMap((mix) => {
    const members = mixes
      .get(mix)!
      .sort((a, b) => a.energyMj - b.energyMj || (keyOf(a.genome) < keyOf(b.genome) ? -1 : 1));
    const count = Math.max(1, Math.min(strips, Math.floor(members.length / leastInStrip)));
    return Array.from({ length: count }, (_, at) =>
      members.slice(
        Math.round((at * members.length) / count),
        Math.round(((at + 1) * members.length) / count),
      ),
    );
  });
}

/** Of every kind the part `keep` (0 to 1, rounded up) with the best scores; of equal scores the cheaper first. */
export function keptOf<T extends Scored>(pool: readonly T[], keep: number): readonly T[] {
  return strataOf(pool).flatMap((stratum) =>
    // Sorting is stable, and strata rise in energy.
    [...stratum]
      .sort((a, b) => (a.score === b.score ? 0 : b.score - a.score))
      .slice(0, Math.ceil(keep * stratum.length)),
  );
}
