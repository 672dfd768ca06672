import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import type { Genome } from '../spaces/contract.js';
import { allGenomes } from '../spaces/product.js';
import { type Budget, type Costs, violation } from './costs.js';
import { nearestReachable } from './nearest.js';
import { additiveCosts, toySpace } from './toy.cases.js';

/** Energy and latency add up, SRAM and flash are what the hungriest position needs; fewer operations need less of them. */
function peakCosts(optionCounts: readonly number[], seed: number): (genome: Genome) => Costs {
  const random = Random.stream(seed, 'peaks');
  const table = optionCounts.map((count) =>
    [...Array(count).keys()]
      .map(() => ({ macs: random.integer(50), sram: 10 + random.integer(6), flash: 20 + random.integer(6) }))
      .map((each, _, all) => ({
        ...each,
        // The option of fewest operations needs least of both, as a block that is left out does.
        ...(all.every(({ macs }) => each.macs <= macs) && { sram: 10, flash: 20 }),
      })),
  );
  const additive = additiveCosts(optionCounts, seed);
  return (genome) => {
    const chosen = genome.map((gene, position) => table[position]![gene]!);
    return {
      ...additive(genome),
      macs: chosen.reduce((sum, { macs }) => sum + macs, 1),
      sramBytes: Math.max(...chosen.map(({ sram }) => sram)),
      flashBytes: Math.max(...chosen.map(({ flash }) => flash)),
    };
  };
}

describe('a budget on peaks', () => {
  it('finds the least violation that there is, alone and with sums', () => {
    const counts = [3, 4, 2, 3];
    const limit = fc.option(fc.double({ min: 0.5, max: 6, noNaN: true }), { nil: undefined });
    const peak = (least: number) => fc.option(fc.integer({ min: least, max: least + 8 }), { nil: undefined });
    fc.assert(
      fc.property(
        fc.nat(),
        limit,
        limit,
        peak(8),
        peak(18),
        (seed, energyMj, latencyMs, sramBytes, flashBytes) => {
          const asked = { energyMj, latencyMs, sramBytes, flashBytes };
          const budget: Budget = Object.fromEntries(
            Object.entries(asked).filter(([, each]) => each !== undefined),
          );
          const costOf = peakCosts(counts, seed);
          // Larger than what is simply looked through, by positions that change nothing.
          const idle = Array.from({ length: 8 }, () => 3);
          const space = toySpace([...counts, ...idle]);
          const found = nearestReachable(space, (genome) => costOf(genome.slice(0, counts.length)), budget);
          const least = Math.min(
            ...[...allGenomes(counts)].map((genome) => violation(costOf(genome), budget)),
          );
          expect(found.proven).toBe(true);
          expect(found.violation).toBeCloseTo(least, 9);
          expect(found.feasible).toBe(least === 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});
