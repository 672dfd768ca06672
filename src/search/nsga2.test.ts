import { describe, expect, it } from 'vitest';
import type { Genome } from '../spaces/contract.js';
import { allGenomes } from '../spaces/product.js';
import { type Costs, meets, violation } from './costs.js';
import { constrainedDominates, type Rated } from './dominance.js';
import { hypervolume } from './hypervolume.js';
import { createNsga2, nsga2Population } from './nsga2.js';
import { frontOf, type Judged, Objective, objectiveValues, spreadAlong } from './objectives.js';
import { createRandomSearch } from './random-search.js';
import {
  type Candidate,
  Origin,
  runSearch,
  type SearchProblem,
  type SearchState,
  type SearchStrategy,
} from './strategy.js';
import { additiveCosts, entangledAccuracy, toySpace } from './toy.cases.js';

const counts = [4, 3, 4, 3, 4, 4];
const twoObjectives = [Objective.Error, Objective.Energy];
const threeObjectives = [Objective.Error, Objective.Energy, Objective.Params];

function problemOf(seed: number): SearchProblem {
  return { space: toySpace(counts), costOf: additiveCosts(counts, seed), budget: { energyMj: 4.5 }, seed };
}

async function searched(strategy: SearchStrategy, seed: number): Promise<SearchState> {
  const accuracyOf = entangledAccuracy(counts, seed);
  return runSearch(strategy, strategy.start(), ({ genome }) => accuracyOf(genome));
}

/** The front of everything within the budget, evaluated one by one. */
function exhaustiveFront(seed: number, objectives: readonly Objective[]): readonly Judged[] {
  const accuracyOf = entangledAccuracy(counts, seed);
  const { costOf, budget } = problemOf(seed);
  const all = [...allGenomes(counts)]
    .map((genome: Genome) => ({ genome, accuracy: accuracyOf(genome), costs: costOf(genome) }))
    .filter(({ costs }) => meets(costs, budget));
  return frontOf(all, objectives);
}

const values = (front: readonly Judged[], objectives: readonly Objective[]): readonly (readonly number[])[] =>
  front.map((each) => objectiveValues(each, objectives));

describe('NSGA-II', () => {
  it('finds the whole front of a space that can be listed, where random search at equal evaluations does not', async () => {
    const options = { generations: 20, population: 30 };
    let [missed, missedAtRandom] = [0, 0];
    for (let seed = 0; seed < 6; seed++) {
      const expected = values(exhaustiveFront(seed, twoObjectives), twoObjectives).map(String);
      const missing = async (strategy: SearchStrategy): Promise<number> => {
        const { archive } = await searched(strategy, seed);
        expect(archive.length).toBeLessThanOrEqual(600);
        const found = values(frontOf(archive, twoObjectives), twoObjectives).map(String);
        return expected.filter((point) => !found.includes(point)).length;
      };
      missed += await missing(createNsga2(problemOf(seed), { ...options, mutationRate: 0.3 }));
      missedAtRandom += await missing(createRandomSearch(problemOf(seed), options));
    }
    expect(missed).toBe(0);
    expect(missedAtRandom).toBeGreaterThan(10);
  });

  it.each([
    ['two', twoObjectives],
    ['three', threeObjectives],
  ])('covers more volume in %s objectives than random search at equal evaluations', async (_, objectives) => {
    const options = { generations: 8, population: 20 };
    for (let seed = 0; seed < 6; seed++) {
      const reference = [1, ...objectives.slice(1).map(() => 7)];
      const volume = async (strategy: SearchStrategy): Promise<number> => {
        const { archive } = await searched(strategy, seed);
        return hypervolume(values(frontOf(archive, objectives), objectives), reference);
      };
      expect(await volume(createNsga2(problemOf(seed), { ...options, objectives }))).toBeGreaterThan(
        await volume(createRandomSearch(problemOf(seed), options)),
      );
    }
  });

  it('never loses volume from one population to the next while the front has room in it', async () => {
    const size = 40;
    for (let seed = 0; seed < 4; seed++) {
      const problem = problemOf(seed);
      const ratedOf = (candidate: Candidate): Rated => ({
        objectives: objectiveValues(candidate, twoObjectives),
        violation: violation(candidate.costs, problem.budget),
      });
      const { archive } = await searched(createNsga2(problem, { generations: 10, population: size }), seed);
      let before = 0;
      for (let generation = 1; generation <= 10; generation++) {
        const population = nsga2Population({ archive, generation }, size, ratedOf);
        expect(population.filter(({ rank }) => rank === 0).length).toBeLessThan(size);
        const volume = hypervolume(
          population.map(({ item }) => objectiveValues(item, twoObjectives)),
          [1, 5],
        );
        expect(volume).toBeGreaterThanOrEqual(before);
        // Elitism: nothing that was evaluated so far beats a member of the first front.
        const soFar = archive.filter((candidate) => candidate.generation < generation);
        for (const { item, rank } of population)
          if (rank === 0)
            expect(soFar.some((other) => constrainedDominates(ratedOf(other), ratedOf(item)))).toBe(false);
        before = volume;
      }
      expect(before).toBeGreaterThan(0);
    }
  });

  it('names the objectives that there are, and wants the error among them', () => {
    const create = (objectives: unknown) =>
      createNsga2(problemOf(1), { objectives: objectives as Objective[] });
    expect(() => create(['error', 'speed'])).toThrow(
      /search: objectives\.1: 'speed' is no objective; choose among error, energy/,
    );
    expect(() => create(['energy', 'params'])).toThrow(/objectives: must hold 'error' and at least one cost/);
    expect(() => create(['error'])).toThrow(/must hold 'error' and at least one cost/);
    expect(() => create(['error', 'energy', 'energy'])).toThrow(/must not name an objective twice/);
    expect(() => create(['error', 'sram'])).not.toThrow();
  });

  it('is another search with other objectives', async () => {
    const state = await searched(createNsga2(problemOf(1), { generations: 2, population: 8 }), 1);
    const other = createNsga2(problemOf(1), { generations: 2, population: 8, objectives: threeObjectives });
    expect(() => other.restore(state, 'state.json')).toThrow(/belongs to another search/);
  });
});

describe('points that stand for a front', () => {
  const judged = (accuracy: number, energyMj: number): Judged => ({
    accuracy,
    costs: {
      energyMj,
      latencyMs: 1,
      macs: 1,
      params: 1,
      areaMm2: 1,
      sramBytes: 1,
      flashBytes: 1,
    } satisfies Costs,
  });

  it('add the most volume one after another, and leave out what is chosen already', () => {
    const front = [judged(0.9, 10), judged(0.85, 9), judged(0.8, 4), judged(0.5, 3), judged(0.42, 1)];
    expect(frontOf(front.toReversed(), twoObjectives)).toEqual(front);
    const [first] = front;
    const spread = spreadAlong(front, [first!], 2, twoObjectives);
    expect(spread).toEqual([front[2], front[4]]);
    expect(spreadAlong(front, [first!], 9, twoObjectives)).toHaveLength(4);
    expect(spreadAlong(front, front, 3, twoObjectives)).toEqual([]);
    expect(spreadAlong(front, [first!], 0, twoObjectives)).toEqual([]);
  });

  it('begins with the networks it is given, those of them that keep the budget', async () => {
    const problem = problemOf(1);
    const cheapest = [...allGenomes(counts)].sort(
      (a, b) => problem.costOf(a).energyMj - problem.costOf(b).energyMj,
    );
    const starts = [cheapest[0]!, cheapest.at(-1)!, cheapest[1]!];
    const options = { generations: 3, population: 10 };
    const strategy = createNsga2(problem, options, starts);
    const first = strategy.propose(strategy.start());
    expect(first).toHaveLength(10);
    expect(first.filter(({ origin }) => origin === Origin.Start).map(({ genome }) => genome)).toEqual([
      cheapest[0],
      cheapest[1],
    ]);
    expect(
      createNsga2(problem, { ...options, population: 1 }, starts).propose(strategy.start()),
    ).toHaveLength(1);
    expect(() => createNsga2(problem, options).restore(strategy.start(), 'state')).toThrow(/another search/);
    const { archive } = await searched(strategy, 1);
    expect(frontOf(archive, twoObjectives).at(-1)!.costs.energyMj).toBe(
      problem.costOf(cheapest[0]!).energyMj,
    );
  });
});
