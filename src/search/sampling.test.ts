import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import type { Genome } from '../spaces/contract.js';
import { allGenomes } from '../spaces/product.js';
import { meets } from './costs.js';
import { feasibleSampler, keyOf } from './sampling.js';
import { additiveCosts, entangledCosts, toySpace } from './toy.cases.js';

describe('sampling within a budget', () => {
  it('is uniform over what fits while rejection succeeds (chi-square)', () => {
    const counts = [3, 3, 3];
    const costOf = additiveCosts(counts, 8);
    const budget = { energyMj: 2.8 };
    const fitting = [...allGenomes(counts)].filter((genome) => meets(costOf(genome), budget));
    expect(fitting.length).toBeGreaterThan(12);
    const sampler = feasibleSampler(toySpace(counts), costOf, budget);
    const random = Random.stream(4, 'uniform within');
    const seen = new Map<string, number>();
    const draws = 1000 * fitting.length;
    for (let i = 0; i < draws; i++) {
      const [genome] = sampler.fresh(1, new Set(), [], random);
      seen.set(keyOf(genome!), (seen.get(keyOf(genome!)) ?? 0) + 1);
    }
    expect(seen.size).toBe(fitting.length);
    const chiSquare = [...seen.values()].reduce((sum, found) => sum + (found - 1000) ** 2 / 1000, 0);
    // Mean n - 1 and standard deviation sqrt(2 (n - 1)); four of them above the mean.
    const freedom = fitting.length - 1;
    expect(chiSquare).toBeLessThan(freedom + 4 * Math.sqrt(2 * freedom));
  });

  it.each([
    ['additive', additiveCosts],
    ['entangled', entangledCosts],
  ])('always gives a genome that fits, and different ones, where few do: %s costs', (_, costsFor) => {
    const counts = Array.from({ length: 10 }, () => 6);
    const space = toySpace(counts);
    const costOf = costsFor(counts, 6);
    const energies = Array.from(
      { length: 20_000 },
      (__, i) => costOf(space.sample(Random.stream(i))).energyMj,
    );
    const budget = { energyMj: Math.min(...energies) };
    const sampler = feasibleSampler(space, costOf, budget);
    const random = Random.stream(6);
    const drawn = Array.from({ length: 60 }, () => sampler.sampleWithin(random));
    expect(drawn.every((genome) => meets(costOf(genome), budget))).toBe(true);
    expect(new Set(drawn.map(keyOf)).size).toBeGreaterThan(30);
  });

  it('finds every genome that fits in a space too large to list', () => {
    const counts = Array.from({ length: 10 }, () => 6);
    const costOf = additiveCosts(counts, 9);
    const space = toySpace(counts);
    const zeros = counts.map(() => 0);
    const energyOf = (genome: Genome): number => costOf(genome).energyMj;
    const extra = counts.map((count, position) => {
      const energies = Array.from({ length: count }, (_, gene) => energyOf(zeros.with(position, gene)));
      return energies.map((energy) => energy - Math.min(...energies));
    });
    const cheapest = extra.map((options) => options.indexOf(0));
    const slack = 0.4;
    const budget = { energyMj: energyOf(cheapest) + slack };
    // Counted independently: how often the extra energies over the cheapest option stay within the slack.
    const countFrom = (position: number, left: number): number =>
      position === counts.length
        ? 1
        : extra[position]!.reduce(
            (sum, more) => sum + (more <= left ? countFrom(position + 1, left - more) : 0),
            0,
          );
    const fitting = countFrom(0, slack);
    expect(fitting).toBeGreaterThan(50);

    const sampler = feasibleSampler(space, costOf, budget);
    const seen = new Set<string>();
    for (let i = 0; sampler.fresh(1, seen, [], Random.stream(i)).length === 1; i++);
    expect(seen.size).toBe(fitting);
  });
});
