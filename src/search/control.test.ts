import { describe, expect, it } from 'vitest';
import { compareWithControl, createControl, progressOf } from './control.js';
import { createEvolution } from './evolution.js';
import { boxOf, hypervolume } from './hypervolume.js';
import { Objective, objectiveValues } from './objectives.js';
import { createRandomSearch } from './random-search.js';
import { runSearch, type SearchProblem, type SearchState } from './strategy.js';
import { additiveAccuracy, additiveCosts, toySpace } from './toy.cases.js';

const counts = [4, 5, 3, 4, 5, 3, 4];
const accuracyOf = additiveAccuracy(counts, 1);
const problem: SearchProblem = {
  space: toySpace(counts),
  costOf: additiveCosts(counts, 1),
  budget: { energyMj: 4.6 },
  seed: 7,
};
const objectives = [Objective.Error, Objective.Energy];
const runOf = (strategy: ReturnType<typeof createControl>): Promise<SearchState> =>
  runSearch(strategy, strategy.start(), ({ genome }) => accuracyOf(genome));

describe('the control of a search', () => {
  it.each([1, 15, 16, 17, 40])('judges exactly %i random networks', async (evaluations) => {
    const { archive } = await runOf(createControl(problem, evaluations, 16));
    expect(archive).toHaveLength(evaluations);
    expect(new Set(archive.map(({ origin }) => origin))).toEqual(new Set(['random']));
  });

  it('is random search, and is not helped by a pre-filter', async () => {
    const random = await runOf(createRandomSearch(problem, { generations: 2, population: 16 }));
    const preferred = { rule: 'some', genomes: () => [problem.space.canonical(counts.map(() => 0))] };
    const control = await runOf(createControl({ ...problem, preferred }, 32, 16));
    expect(control.archive).toEqual(random.archive);
  });

  it('ends with a space that has fewer networks', async () => {
    const small = { ...problem, space: toySpace([2, 2]), costOf: additiveCosts([2, 2], 1) };
    const strategy = createControl({ ...small, budget: {} }, 40, 16);
    const { archive } = await runSearch(strategy, strategy.start(), () => 0.5);
    expect(archive).toHaveLength(4);
  });
});

describe('the comparison', () => {
  it('has both sides after every number of evaluations as told plainly', async () => {
    const search = await runOf(createEvolution(problem, { generations: 4, population: 10, parents: 4 }));
    const random = await runOf(createControl(problem, 40, 10));
    const comparison = compareWithControl(search.archive, random.archive, objectives);
    const all = [...search.archive, ...random.archive].map((each) => objectiveValues(each, objectives));
    expect(comparison.reference).toEqual(boxOf(all).reference);
    for (const [side, { archive }] of [
      [comparison.search, search],
      [comparison.random, random],
    ] as const) {
      expect(side.curve).toHaveLength(40);
      side.curve.forEach(({ evaluations, bestAccuracy, hypervolume: volume }, at) => {
        const soFar = archive.slice(0, at + 1);
        expect(evaluations).toBe(at + 1);
        expect(bestAccuracy).toBe(Math.max(...soFar.map(({ accuracy }) => accuracy)));
        const points = soFar.map((each) => objectiveValues(each, objectives));
        expect(volume).toBeCloseTo(hypervolume(points, comparison.reference), 12);
      });
      expect(side).toMatchObject(side.curve.at(-1)!);
    }
  });

  it('has at most a hundred points, the last one at the end', async () => {
    const { archive } = await runOf(createControl(problem, 333, 37));
    const curve = progressOf(archive, objectives, [1, 9]);
    expect(curve).toHaveLength(100);
    expect(curve.at(-1)!.evaluations).toBe(333);
    for (const [at, point] of curve.slice(1).entries()) {
      expect(point.evaluations).toBeGreaterThan(curve[at]!.evaluations);
      expect(point.hypervolume).toBeGreaterThanOrEqual(curve[at]!.hypervolume);
    }
  });
});
