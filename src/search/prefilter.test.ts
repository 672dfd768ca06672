import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { rankCorrelation } from '../base/statistics.js';
import { createEvolution } from './evolution.js';
import { createNsga2 } from './nsga2.js';
import { keptOf, strataOf, type Scored } from './prefilter.js';
import { createRandomSearch } from './random-search.js';
import { keyOf } from './sampling.js';
import { runSearch, type SearchProblem } from './strategy.js';
import { SurrogateKind } from './surrogate/screening.js';
import { additiveAccuracy, additiveCosts, toySpace } from './toy.cases.js';

const pools = fc
  .uniqueArray(
    fc.record({
      genome: fc.array(fc.nat(5), { minLength: 4, maxLength: 4 }),
      energyMj: fc.double({ min: 0.1, max: 10, noNaN: true }),
      mix: fc.constantFrom('add', 'conv', 'mixed'),
      score: fc.oneof(fc.double({ min: -5, max: 5, noNaN: true }), fc.constant(-Infinity)),
    }),
    { selector: ({ genome }) => keyOf(genome), maxLength: 200 },
  )
  .map((pool): readonly Scored[] => pool);

describe('the kinds of a pool', () => {
  it('hold every network once, one mix each, in strips of energy that do not overlap', () => {
    fc.assert(
      fc.property(pools, (pool) => {
        const strata = strataOf(pool);
        expect(strata.flat()).toHaveLength(pool.length);
        expect(new Set(strata.flat())).toEqual(new Set(pool));
        for (const stratum of strata) {
          expect(stratum.length).toBeGreaterThan(0);
          expect(new Set(stratum.map(({ mix }) => mix)).size).toBe(1);
        }
        for (const [at, stratum] of strata.slice(1).entries()) {
          const before = strata[at]!;
          if (before[0]!.mix === stratum[0]!.mix)
            expect(before.at(-1)!.energyMj).toBeLessThanOrEqual(stratum[0]!.energyMj);
        }
      }),
    );
  });
});

describe('what is kept', () => {
  it('is of every kind the part that was asked for, none of it worse than what went, in whatever order the pool comes', () => {
    fc.assert(
      fc.property(pools, fc.double({ min: 0.05, max: 1, noNaN: true }), fc.nat(), (pool, keep, seed) => {
        const kept = new Set(keptOf(pool, keep));
        for (const stratum of strataOf(pool)) {
          const [stayed, went] = [
            stratum.filter((each) => kept.has(each)),
            stratum.filter((each) => !kept.has(each)),
          ];
          expect(stayed).toHaveLength(Math.ceil(keep * stratum.length));
          const least = Math.min(...stayed.map(({ score }) => score));
          for (const { score } of went) expect(score).toBeLessThanOrEqual(least);
        }
        const shuffled = Random.stream(seed).shuffle([...pool]);
        expect(keptOf(shuffled, keep)).toEqual(keptOf(pool, keep));
      }),
    );
  });

  it('does not follow size: with the energy itself as the score, it is as cheap as the pool', () => {
    const random = Random.stream('pool');
    const pool = Array.from({ length: 400 }, (_, at) => {
      const energyMj = 1 + random.uniform();
      return { genome: [at], energyMj, mix: at % 3 === 0 ? 'add' : 'conv', score: energyMj };
    });
    const mean = (of: readonly Scored[]): number =>
      of.reduce((sum, { energyMj }) => sum + energyMj, 0) / of.length;
    const kept = keptOf(pool, 0.25);
    // A quarter, rounded up in each of ten strips.
    expect(kept.length).toBeGreaterThanOrEqual(100);
    expect(kept.length).toBeLessThanOrEqual(110);
    // The best quarter of the whole would lie at 1.875, and be of the dearest alone.
    expect(Math.abs(mean(kept) - mean(pool))).toBeLessThan(0.1);
    expect(Math.min(...kept.map(({ energyMj }) => energyMj))).toBeLessThan(1.25);
    expect(kept.filter(({ mix }) => mix === 'add').length).toBeCloseTo(34, -1);
  });
});

describe('strategies that are given preferred networks', () => {
  const counts = [4, 5, 3, 4, 5, 3, 4];
  const accuracyOf = additiveAccuracy(counts, 1);
  const costOf = additiveCosts(counts, 1);
  const space = toySpace(counts);
  const plain: SearchProblem = { space, costOf, budget: { energyMj: 4.6 }, seed: 7 };
  const random = Random.stream('preferred');
  const preferred = Array.from({ length: 40 }, () => space.sample(random)).filter(
    (genome) => costOf(genome).energyMj <= 4.6,
  );
  const problem: SearchProblem = { ...plain, preferred: { rule: 'some', genomes: () => preferred } };
  const options = { generations: 3, population: 8 };
  const creations = { evolution: createEvolution, nsga2: createNsga2, random: createRandomSearch };

  it.each(Object.entries(creations))('%s begins with them and ends reproducibly', async (_, create) => {
    for (const surrogate of [SurrogateKind.None, SurrogateKind.Ridge]) {
      const run = async (of: SearchProblem) => {
        const strategy = create(of, { ...options, surrogate });
        return runSearch(strategy, strategy.start(), ({ genome }) => accuracyOf(genome));
      };
      const state = await run(problem);
      const keys = new Set(preferred.map(keyOf));
      const first = state.archive.filter(({ generation }) => generation === 0);
      expect(first).toHaveLength(8);
      for (const { genome } of first) expect(keys.has(keyOf(genome))).toBe(true);
      expect(await run(problem)).toEqual(state);
      expect(state.archive.length).toBe((await run(plain)).archive.length);
    }
  });

  it('refuses a state of the search without them, and one with other ones', () => {
    const state = createEvolution(plain, options).start();
    expect(() => createEvolution(problem, options).restore(state, 'state.json')).toThrow('another search');
    const other = { ...problem, preferred: { rule: 'others', genomes: () => preferred } };
    const ours = createEvolution(problem, options).start();
    expect(() => createEvolution(other, options).restore(ours, 'state.json')).toThrow('another search');
  });

  it('helps where the score foretells the accuracy: the first generation of a filtered pool is better', () => {
    const sampled = Array.from({ length: 200 }, () => space.sample(random));
    const pool = [...new Map(sampled.map((genome) => [keyOf(genome), genome])).values()]
      .filter((genome) => costOf(genome).energyMj <= 4.6)
      .map((genome) => ({
        genome,
        energyMj: costOf(genome).energyMj,
        mix: 'mixed',
        score: accuracyOf(genome) + 0.05 * random.normal(),
      }));
    const tau = rankCorrelation(
      pool.map(({ score }) => score),
      pool.map(({ genome }) => accuracyOf(genome)),
    );
    expect(tau).toBeGreaterThan(0.5);
    const mean = (of: readonly Scored[]): number =>
      of.reduce((sum, { genome }) => sum + accuracyOf(genome), 0) / of.length;
    expect(mean(keptOf(pool, 0.25))).toBeGreaterThan(mean(pool) + 0.03);
  });
});
