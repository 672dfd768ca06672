import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countAccesses, priceAccesses, type LoopNest } from './accesses.js';
import { divisors } from './factors.js';
import type { ArrayLimits, UnitPrices } from './machine.js';
import { allTilings, literalPrice } from './oracle.cases.js';
import { refusedLimits, searchTiling } from './tiling.js';

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const price = fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 400, noNaN: true }));

const nests: fc.Arbitrary<LoopNest> = fc.record({
  N: fc.constantFrom(1, 2, 3, 4),
  H: size(7),
  W: size(7),
  C: fc.constantFrom(1, 2, 3, 4, 6, 8),
  R: size(3),
  M: fc.constantFrom(1, 2, 3, 4, 6, 8, 12),
  E: size(6),
  F: size(6),
  stride: size(2),
  isMatrixProduct: fc.boolean(),
});

// Around what the shapes above need, so that every limit binds in some runs and refuses all tilings in others.
const limitSets: fc.Arbitrary<ArrayLimits> = fc.record({
  maxProcessingElements: fc.integer({ min: 2, max: 60 }),
  processingElementsBelow: fc.boolean(),
  maxInputWords: fc.integer({ min: 2, max: 20 }),
  maxWeightWords: fc.integer({ min: 2, max: 80 }),
  maxPartialSumWords: fc.integer({ min: 1, max: 12 }),
  maxGlobalBufferWords: fc.integer({ min: 20, max: 1500 }),
  thinnedAboveM0: fc.constant(undefined),
});

const priceSets: fc.Arbitrary<UnitPrices> = fc.record({
  computePj: fc.double({ min: 0.01, max: 5, noNaN: true }),
  inputDramPj: price,
  inputGlobalBufferPj: price,
  inputNocPj: price,
  inputRegisterFilePj: price,
  weightDramPj: price,
  weightNocPj: price,
  weightRegisterFilePj: price,
  outputDramPj: price,
  outputGlobalBufferPj: price,
  outputNocPj: price,
  outputRegisterFilePj: price,
  cyclePeriodNs: fc.constantFrom(1, 1.25, 4),
});

describe('divisors', () => {
  it('come by taking each prime before leaving it', () => {
    expect(divisors(1)).toEqual([1]);
    expect(divisors(4)).toEqual([4, 2, 1]);
    expect(divisors(12)).toEqual([12, 4, 6, 2, 3, 1]);
  });

  it('lists every divisor exactly once', () => {
    fc.assert(
      fc.property(size(5000), (n) => {
        const all = Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
        expect([...divisors(n)].sort((a, b) => a - b)).toEqual(all);
      }),
      { numRuns: 60 },
    );
  });
});

/** The published score of a tiling among others: the less the better. */
function scoreAmong(
  all: readonly { readonly energyPj: number; readonly cycles: number }[],
): (of: { readonly energyPj: number; readonly cycles: number }) => number {
  const energies = all.map(({ energyPj }) => energyPj);
  const cycles = all.map((tiling) => tiling.cycles);
  const [minEnergy, maxEnergy] = [Math.min(...energies), Math.max(...energies)];
  const [minCycles, maxCycles] = [Math.min(...cycles), Math.max(...cycles)];
  return (of) => (of.energyPj - minEnergy) / maxEnergy + (of.cycles - minCycles) / maxCycles;
}

describe('searchTiling', () => {
  it('agrees with the plain enumeration: same optimum, same price, same dearest tiling', () => {
    let solved = 0;
    fc.assert(
      fc.property(nests, limitSets, priceSets, fc.boolean(), (nest, limits, prices, allowSingleRow) => {
        const all = allTilings(nest, limits, prices, allowSingleRow);
        const found = searchTiling(nest, limits, prices, allowSingleRow);
        expect(found !== undefined).toBe(all.length > 0);
        if (!found) return;
        solved++;
        expect(found.maxEnergyPj / Math.max(...all.map(({ energyPj }) => energyPj))).toBeCloseTo(1, 12);
        const score = scoreAmong(all);
        const key = (tiling: object): string => JSON.stringify(Object.entries(tiling).sort());
        const chosen = all.find((candidate) => key(candidate.tiling) === key(found.tiling));
        expect(chosen).toBeDefined();
        expect(score(chosen!)).toBeLessThanOrEqual(Math.min(...all.map(score)) + 1e-12);
      }),
      { numRuns: 400 },
    );
    expect(solved).toBeGreaterThan(100);
  });

  it('looks at exactly those output tiles that a list keeps which is thinned while it is walked', () => {
    /** All (M0, M1, M2) in order, then as published: strike while walking, and so skip the next one. */
    const keptTiles = (M: number, above: number): Set<string> => {
      const list = divisors(M).flatMap((M0) =>
        divisors(M / M0).flatMap((M1) => divisors(M / (M0 * M1)).map((M2) => [M0, M1, M2])),
      );
      for (let at = 0; at < list.length; at++) if (list[at]![0]! > above) list.splice(at, 1);
      return new Set(list.map((factors) => factors.join()));
    };
    let differing = 0;
    fc.assert(
      fc.property(
        nests,
        limitSets,
        priceSets,
        fc.integer({ min: 1, max: 6 }),
        (nest, limits, prices, above) => {
          const kept = keptTiles(nest.M, above);
          const all = allTilings(nest, limits, prices, true);
          const left = all.filter(({ tiling: { M0, M1, M2 } }) => kept.has([M0, M1, M2].join()));
          const found = searchTiling(nest, { ...limits, thinnedAboveM0: above }, prices, true);
          expect(found !== undefined).toBe(left.length > 0);
          if (!found) return;
          if (left.length < all.length) differing++;
          const { M0, M1, M2 } = found.tiling;
          expect(kept.has([M0, M1, M2].join())).toBe(true);
          expect(found.maxEnergyPj / Math.max(...left.map(({ energyPj }) => energyPj))).toBeCloseTo(1, 12);
          const scoreIn = scoreAmong(left);
          const best = Math.min(...left.map(scoreIn));
          expect(scoreIn({ ...literalPrice(nest, found.tiling, prices) })).toBeLessThanOrEqual(best + 1e-12);
        },
      ),
      { numRuns: 400 },
    );
    expect(differing).toBeGreaterThan(50);
  });

  it('has no tiling exactly if the smallest tile is refused', () => {
    let refusals = 0;
    fc.assert(
      fc.property(nests, limitSets, priceSets, (nest, limits, prices) => {
        const refused = refusedLimits(nest, limits, true);
        expect(searchTiling(nest, limits, prices, true) === undefined).toBe(refused.length > 0);
        if (nest.E > 1 || nest.isMatrixProduct)
          expect(searchTiling(nest, limits, prices, false) === undefined).toBe(
            refusedLimits(nest, limits, false).length > 0,
          );
        if (refused.length > 0) refusals++;
      }),
      { numRuns: 1000 },
    );
    expect(refusals).toBeGreaterThan(20);
  });
});

describe('access counts', () => {
  it('price like the printed formulas for every tiling, so inputs and weights meet a register file once per operation', () => {
    const roomy: ArrayLimits = {
      maxProcessingElements: 1e6,
      processingElementsBelow: false,
      maxInputWords: 1e6,
      maxWeightWords: 1e6,
      maxPartialSumWords: 1e6,
      maxGlobalBufferWords: 1e6,
      thinnedAboveM0: undefined,
    };
    fc.assert(
      fc.property(nests, priceSets, fc.nat(), (nest, prices, pick) => {
        const all = allTilings(nest, roomy, prices, true);
        const { tiling } = all[pick % all.length]!;
        const { N0, N3, M0, M1, M2, M3, E1, E3 } = tiling;
        const { N, H, W, C, R, M, E, F } = nest;
        const counts = countAccesses(nest, tiling);
        expect(counts.operations).toBe(N * E * F * M * C * R * R);
        expect(
          counts.input.registerFile / (M3 * M2 * M1 * R * (E / H) * M0 * R * (F / W) * N * H * W * C),
        ).toBeCloseTo(1, 12);
        expect(counts.weight.registerFile).toBe(N3 * E3 * E1 * F * N0 * R * R * C * M);
        const cost = priceAccesses(counts, prices);
        const literal = literalPrice(nest, tiling, prices);
        expect(cost.energyMj / (literal.energyPj * 1e-9)).toBeCloseTo(1, 12);
        expect(cost.latencyMs / (literal.cycles * prices.cyclePeriodNs * 1e-6)).toBeCloseTo(1, 12);
      }),
      { numRuns: 200 },
    );
  });
});
