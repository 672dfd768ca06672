import { describe, expect, it } from 'vitest';
import { createEvolution } from './evolution.js';
import { createRandomSearch } from './random-search.js';
import { keyOf } from './sampling.js';
import { bestOf, Origin, ranked, runSearch, type SearchProblem, type SearchStrategy } from './strategy.js';
import { additiveAccuracy, additiveCosts, toySpace } from './toy.cases.js';

const counts = Array.from({ length: 10 }, () => 6);

function problemOf(seed: number, energyMj: number): SearchProblem {
  return { space: toySpace(counts), costOf: additiveCosts(counts, seed), budget: { energyMj }, seed };
}

describe('evolution', () => {
  it.each([
    ['loose', 100],
    ['tight', 4.5],
  ])('beats random search on an additive landscape, %s budget', async (_, energyMj) => {
    let gain = 0;
    for (let seed = 0; seed < 8; seed++) {
      const accuracyOf = additiveAccuracy(counts, seed);
      const bestAccuracy = async (strategy: SearchStrategy): Promise<number> =>
        bestOf(await runSearch(strategy, strategy.start(), ({ genome }) => accuracyOf(genome)))!.accuracy;
      const options = { generations: 12, population: 30 };
      const problem = problemOf(seed, energyMj);
      const evolved = await bestAccuracy(createEvolution(problem, options));
      const drawn = await bestAccuracy(createRandomSearch(problem, options));
      expect(evolved).toBeGreaterThanOrEqual(drawn);
      gain += (evolved - drawn) / 8;
    }
    expect(gain).toBeGreaterThan(0.05);
  });

  it('breeds from the best of all generations: mutants near a parent, children between two', async () => {
    const accuracyOf = additiveAccuracy(counts, 5);
    const options = {
      generations: 5,
      population: 40,
      parents: 4,
      mutations: 20,
      crossovers: 20,
      resampleRate: 0,
    };
    const strategy = createEvolution(problemOf(5, 100), options);
    await runSearch(strategy, strategy.start(), ({ genome }) => accuracyOf(genome), {
      afterGeneration: (state) => {
        const parents = ranked(state.archive).slice(0, 4);
        const proposals = strategy.propose(state);
        const mutants = proposals.filter(({ origin }) => origin === Origin.Mutation);
        const children = proposals.filter(({ origin }) => origin === Origin.Crossover);
        if (proposals.length === 0) return;
        expect(mutants).toHaveLength(20);
        expect(children.length).toBeGreaterThan(0);
        for (const { genome } of children)
          expect(
            parents.some((a) =>
              parents.some((b) => genome.every((gene, at) => gene === a.genome[at] || gene === b.genome[at])),
            ),
          ).toBe(true);
        const distances = mutants.map(({ genome }) =>
          Math.min(...parents.map((p) => p.genome.filter((gene, at) => gene !== genome[at]).length)),
        );
        // 10 genes x 0.2 x 5/6 redraws to another option: 1.7 on average, never anywhere near a random genome's 8.
        const mean = distances.reduce((sum, value) => sum + value, 0) / distances.length;
        expect(mean).toBeGreaterThan(0.8);
        expect(mean).toBeLessThan(3);
      },
    });
  });

  it('draws no offspring in generation 0 and keeps the published defaults', () => {
    const strategy = createEvolution(problemOf(1, 100));
    expect(strategy.generations).toBe(20);
    const first = strategy.propose(strategy.start());
    expect(first.every(({ origin }) => origin === Origin.Random)).toBe(true);
    expect(new Set(first.map(({ genome }) => keyOf(genome))).size).toBe(50);
    const state = strategy.record(
      strategy.start(),
      first.map((proposal, at) => ({ ...proposal, accuracy: at / 50 })),
    );
    const origins = strategy.propose(state).map(({ origin }) => origin);
    expect(origins.filter((origin) => origin === Origin.Mutation)).toHaveLength(25);
    expect(origins.filter((origin) => origin === Origin.Crossover)).toHaveLength(25);
  });

  it('scales the offspring with the population and refuses options that contradict each other', () => {
    const create = (options: Parameters<typeof createEvolution>[1]) =>
      createEvolution(problemOf(1, 100), options);
    expect(() => create({ population: 1 })).not.toThrow();
    expect(() => create({ population: 10, mutations: 10 })).not.toThrow();
    expect(() => create({ population: 10, mutations: 8, crossovers: 3 })).toThrow(
      /search: population: must be at least mutations \+ crossovers/,
    );
    expect(() => create({ population: 10, mutations: 11 })).toThrow(/population/);
    expect(() => create({ mutationRate: 1.5 })).toThrow(/search: mutationRate/);
    expect(() => create({ generations: 0 })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});
