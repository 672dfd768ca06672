/**
 * @file Which networks are trained alone: different ones, spread over the energies of the space.
 *
 * Genomes drawn uniformly crowd around the middle of the energies, where most of a product space is. So the range between
 * the cheapest and the dearest of many draws is cut into strips of equal width, and these take turns.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { keyOf } from '../../search/sampling.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { allNetworks } from '../../spaces/offers.js';

/** Draws for each wanted network. */
const drawsPerNetwork = 64;
const mostStrips = 10;

/** `count` different genomes of the space, by the seed. @throws OptionError when it has no more than fewer */
export function networksAlongEnergy(
  space: SearchSpace,
  energyOf: (genome: Genome) => number,
  count: number,
  seed: number,
): readonly Genome[] {
  requireNetworks(space, count);
  const random = Random.stream(seed, 'rank', 'networks');
  const draws = drawn(space, drawsPerNetwork * count, random).map((genome) => ({
    genome,
    energy: energyOf(genome),
  }));
  const energies = draws.map(({ energy }) => energy);
  const least = energies.reduce((a, b) => Math.min(a, b), Infinity);
  const most = energies.reduce((a, b) => Math.max(a, b), -Infinity);
  const strips = Array.from({ length: Math.min(count, mostStrips) }, (): Genome[] => []);
  for (const { genome, energy } of draws) {
    const share = most > least ? (energy - least) / (most - least) : 0;
    strips[Math.min(strips.length - 1, Math.floor(share * strips.length))]!.push(genome);
  }
  const chosen: Genome[] = [];
  for (let turn = 0; chosen.length < count; turn++)
    for (const strip of strips) if (turn < strip.length && chosen.length < count) chosen.push(strip[turn]!);
  return chosen;
}

/** @throws OptionError when the space has no more than fewer */
export function requireNetworks(space: SearchSpace, count: number): void {
  if (space.size < BigInt(count))
    throw new OptionError(
      `--networks ${count}: the space has ${space.size} networks only; ask for fewer, or choose a larger space`,
    );
}

/** Up to `wanted` different genomes in random order: the whole of a small space, uniform draws of a large one. */
function drawn(space: SearchSpace, wanted: number, random: Random): readonly Genome[] {
  if (space.size <= BigInt(2 * wanted)) return random.shuffle([...allNetworks(space)]);
  const found = new Map<string, Genome>();
  // The space is more than twice as large, so at least half of the draws are new.
  while (found.size < wanted) {
    const genome = space.sample(random);
    found.set(keyOf(genome), genome);
  }
  return [...found.values()];
}
