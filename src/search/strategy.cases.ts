/**
 * @file What every search strategy has to do, run over each of them by strategy.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import type { Genome } from '../spaces/contract.js';
import { allGenomes } from '../spaces/product.js';
import { type Budget, type Costs, meets } from './costs.js';
import { findFeasible, nearestReachable } from './nearest.js';
import { keyOf } from './sampling.js';
import {
  bestOf,
  Origin,
  ranked,
  runSearch,
  type SearchProblem,
  type SearchState,
  type SearchStrategy,
} from './strategy.js';
import { additiveAccuracy, additiveCosts, entangledCosts, toySpace } from './toy.cases.js';

export type CreateStrategy = (
  problem: SearchProblem,
  options: { readonly generations: number; readonly population: number },
) => SearchStrategy;

const counts = [4, 5, 3, 4, 5, 3, 4];
const accuracyOf = additiveAccuracy(counts, 1);
const costOf = additiveCosts(counts, 1);
const problem: SearchProblem = {
  space: toySpace(counts),
  costOf,
  budget: { energyMj: 4.2, params: 4.6 },
  seed: 42,
};
const options = { generations: 6, population: 16 };
const evaluate = ({ genome }: { readonly genome: Genome }): number => accuracyOf(genome);
const throughJson = (state: SearchState): unknown => JSON.parse(JSON.stringify(state));

/** Limits of which exactly `fitting` genomes (of different energies) are within. */
function energyBudget(
  optionCounts: readonly number[],
  cost: (genome: Genome) => Costs,
  fitting: number,
): Budget {
  const energies = [...allGenomes(optionCounts)].map((genome) => cost(genome).energyMj).sort((a, b) => a - b);
  return { energyMj: energies[fitting - 1]! };
}

export function strategyCases(name: string, create: CreateStrategy): void {
  describe(`${name} as a strategy`, () => {
    it('gives the same search for the same seed, and another for another', async () => {
      const run = (seed: number): Promise<SearchState> => {
        const strategy = create({ ...problem, seed }, options);
        return runSearch(strategy, strategy.start(), evaluate);
      };
      const genomes = async (seed: number) => (await run(seed)).archive.map(({ genome }) => genome);
      expect(await run(42)).toEqual(await run(42));
      expect(await genomes(43)).not.toEqual(await genomes(42));
    });

    it('ends as if undisturbed when it goes on from any generation, read back from JSON by a fresh strategy', async () => {
      const strategy = create(problem, options);
      const states: SearchState[] = [strategy.start()];
      const final = await runSearch(strategy, states[0]!, evaluate, {
        afterGeneration: (state) => void states.push(state),
      });
      expect(states).toHaveLength(options.generations + 1);
      for (const state of states) {
        const again = create(problem, options);
        const resumed = again.restore(throughJson(state), 'search.json');
        expect(await runSearch(again, resumed, evaluate)).toEqual(final);
      }
    });

    it('proposes the same again when asked again, and takes results in any order', () => {
      const strategy = create(problem, options);
      let state = strategy.start();
      for (let generation = 0; generation < 3; generation++) {
        const proposals = strategy.propose(state);
        expect(strategy.propose(state)).toEqual(proposals);
        const results = proposals.map((proposal) => ({ ...proposal, accuracy: evaluate(proposal) }));
        const next = strategy.record(state, results);
        expect(strategy.record(state, results.toReversed())).toEqual(next);
        state = next;
      }
    });

    it('evaluates full generations of different candidates, all within the budget, with their true costs', async () => {
      const strategy = create(problem, options);
      const { archive } = await runSearch(strategy, strategy.start(), evaluate);
      expect(new Set(archive.map(({ genome }) => keyOf(genome))).size).toBe(archive.length);
      for (let generation = 0; generation < options.generations; generation++)
        expect(archive.filter((candidate) => candidate.generation === generation)).toHaveLength(16);
      for (const { genome, costs, accuracy } of archive) {
        expect(costs).toEqual(costOf(genome));
        expect(meets(costs, problem.budget)).toBe(true);
        expect(accuracy).toBe(accuracyOf(genome));
      }
    });

    it('ends cleanly after every genome when the space is smaller than a population', async () => {
      const tiny = [2, 3];
      const strategy = create({ ...problem, space: toySpace(tiny), budget: {} }, options);
      const { archive, generation } = await runSearch(strategy, strategy.start(), () => 0.5);
      expect(archive.map(({ genome }) => genome)).toEqual([...allGenomes(tiny)]);
      expect(generation).toBe(1);
    });

    it.each([1, 3, 40])('finds all of %i genomes that fit among thousands', async (fitting) => {
      const budget = energyBudget(counts, costOf, fitting);
      const strategy = create({ ...problem, budget }, options);
      const { archive } = await runSearch(strategy, strategy.start(), evaluate);
      expect(archive).toHaveLength(fitting);
    });

    it.each([
      ['additive', additiveCosts],
      ['entangled', entangledCosts],
    ])(
      'fills its generations in a huge space where random genomes never fit, %s costs',
      async (_, costsFor) => {
        const huge = Array.from({ length: 12 }, () => 8);
        const cost = costsFor(huge, 3);
        const { energyMj } = nearestReachable(toySpace(huge), cost, { energyMj: 1e-9 }).costs;
        const budget = { energyMj: energyMj * 1.15 };
        const random = Random.stream('never fits');
        const space = toySpace(huge);
        for (let i = 0; i < 500; i++) expect(meets(cost(space.sample(random)), budget)).toBe(false);
        const strategy = create({ ...problem, space, costOf: cost, budget }, options);
        const { archive } = await runSearch(strategy, strategy.start(), () => 0.5);
        expect(archive).toHaveLength(6 * 16);
        expect(archive.every(({ costs }) => meets(costs, budget))).toBe(true);
      },
    );

    it('says at the start that a budget cannot be met', () => {
      expect(() => create({ ...problem, budget: { energyMj: 0.1 } }, options).start()).toThrow(
        expect.objectContaining({ code: 'INFEASIBLE_BUDGET' }),
      );
    });

    it('ranks by accuracy, then energy, then genome', async () => {
      const strategy = create(problem, options);
      const coarse = (genome: Genome): number => Math.round(accuracyOf(genome) * 5) / 5;
      const state = await runSearch(strategy, strategy.start(), ({ genome }) => coarse(genome));
      const order = ranked(state.archive);
      const best = bestOf(state)!;
      const top = state.archive.filter(({ accuracy }) => accuracy === best.accuracy);
      expect(best.accuracy).toBe(Math.max(...state.archive.map(({ accuracy }) => accuracy)));
      expect(best.costs.energyMj).toBe(Math.min(...top.map(({ costs }) => costs.energyMj)));
      expect(ranked(state.archive.toReversed())).toEqual(order);
    });

    it('refuses states of other searches and damaged ones', async () => {
      const strategy = create(problem, options);
      const state = throughJson(await runSearch(strategy, strategy.start(), evaluate)) as Record<
        string,
        unknown
      >;
      const others = [
        create({ ...problem, seed: 1 }, options),
        create({ ...problem, budget: { energyMj: 4.2 } }, options),
        create(
          { ...problem, space: toySpace([...counts, 2]), costOf: additiveCosts([...counts, 2], 1) },
          options,
        ),
        create(problem, { ...options, population: 18 }),
      ];
      for (const other of others)
        expect(() => other.restore(state, 'search.json')).toThrow(/^search\.json: belongs to another search/);
      for (const damaged of [null, [], {}, { ...state, version: 2 }, { ...state, archive: [{}] }])
        expect(() => strategy.restore(damaged, 'search.json')).toThrow(
          expect.objectContaining({ code: 'BAD_FILE' }),
        );
    });

    it('refuses results that cannot be', () => {
      const strategy = create(problem, options);
      const state = strategy.start();
      const genome = findFeasible(problem.space, costOf, problem.budget);
      const dear = [...allGenomes(counts)].find((each) => !meets(costOf(each), problem.budget))!;
      const result = { genome, origin: Origin.Random, accuracy: 0.5 };
      expect(() => strategy.record(state, [])).toThrow(/without results/);
      expect(() => strategy.record(state, [result, result])).toThrow(/twice/);
      expect(() => strategy.record(strategy.record(state, [result]), [result])).toThrow(/twice/);
      expect(() => strategy.record(state, [{ ...result, accuracy: Number.NaN }])).toThrow(/accuracy/);
      expect(() => strategy.record(state, [{ ...result, genome: dear }])).toThrow(/exceeds/);
      expect(() => strategy.record(state, [{ ...result, genome: [9] }])).toThrow(/genes/);
    });

    it('leaves the state it was given as it was', () => {
      const strategy = create(problem, options);
      const state = strategy.start();
      const before = JSON.stringify(state);
      const results = strategy.propose(state).map((proposal) => ({ ...proposal, accuracy: 0.5 }));
      strategy.record(state, results);
      expect(JSON.stringify(state)).toBe(before);
    });
  });
}
