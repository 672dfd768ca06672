import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { arrayArea } from '../hardware/area/array-area.js';
import { estimate } from '../hardware/estimate.js';
import { loadProfile } from '../hardware/profile.js';
import { familyNamed } from '../operators/registry.js';
import { architectureMemory } from '../spaces/activations.js';
import type { Genome } from '../spaces/contract.js';
import { allGenomes } from '../spaces/product.js';
import { layersOf, operationTotal, parameterCount } from '../spaces/layers.js';
import { createMiniSpace, uniformGenome } from '../spaces/mini/space.js';
import { additiveModel } from './additive.js';
import { parseBudget, resolveBudget } from './budget.js';
import { type Budget, type Costs, meets, quantities, violation } from './costs.js';
import { findFeasible, nearestReachable } from './nearest.js';
import { keyOf } from './sampling.js';
import { additiveCosts, entangledCosts, toySpace } from './toy.cases.js';

const optionCounts = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 5 });
/** Each limit lies between just below the least and just above the most of its quantity, in per cent of the range. */
const tightness = fc.array(fc.option(fc.integer({ min: -2, max: 90 }), { freq: 3 }), {
  minLength: 4,
  maxLength: 4,
});

function budgetOf(all: readonly Costs[], tight: readonly (number | null)[]): Budget {
  return Object.fromEntries(
    quantities.flatMap((quantity, q) => {
      const share = tight[q] ?? null;
      if (share === null) return [];
      const values = all.map((costs) => costs[quantity]);
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return [[quantity, Math.max(0.01, least + (share / 100) * (most - least))]];
    }),
  );
}

describe.each([
  ['additive', additiveCosts],
  ['entangled', entangledCosts],
])('the nearest reachable point, %s costs', (_, costsFor) => {
  it('is the least violation of all genomes', () => {
    let feasible = 0;
    let infeasible = 0;
    fc.assert(
      fc.property(optionCounts, fc.integer({ min: 0, max: 1e6 }), tightness, (counts, seed, tight) => {
        const costOf = costsFor(counts, seed);
        const all = [...allGenomes(counts)].map(costOf);
        const budget = budgetOf(all, tight);
        const least = Math.min(...all.map((costs) => violation(costs, budget)));
        const found = nearestReachable(toySpace(counts), costOf, budget);
        expect(found.proven).toBe(true);
        expect(found.costs).toEqual(costOf(found.genome));
        expect(found.feasible).toBe(least === 0);
        expect(found.feasible).toBe(meets(found.costs, budget));
        expect(found.violation).toBeCloseTo(least, 8);
        if (found.feasible) feasible++;
        else infeasible++;
      }),
      { numRuns: 300, seed: 11 },
    );
    // The cases must exercise both answers.
    expect(feasible).toBeGreaterThan(50);
    expect(infeasible).toBeGreaterThan(50);
  });
});

describe('additivity', () => {
  it('is seen where it holds and where it does not', () => {
    const counts = [3, 4, 3, 4, 3, 4];
    const random = Random.stream(2);
    const sample = (): Genome => toySpace(counts).sample(random);
    const budget = { energyMj: 3, latencyMs: 3 };
    expect(additiveModel(counts, additiveCosts(counts, 1), budget, sample)).not.toBeNull();
    expect(additiveModel(counts, entangledCosts(counts, 1), budget, sample)).toBeNull();
  });
});

describe('larger spaces', () => {
  const counts = Array.from({ length: 14 }, () => 7);

  it('are decided exactly though they cannot be listed, at planted limits', () => {
    for (let seed = 0; seed < 20; seed++) {
      const costOf = additiveCosts(counts, seed);
      // The costs of a genome found by descent are tight limits that can be met.
      const random = Random.stream(seed, 'plant');
      let planted = toySpace(counts).sample(random);
      for (let i = 0; i < 400; i++) {
        const other = toySpace(counts).mutate(planted, 0.2, random);
        const [a, b] = [costOf(planted), costOf(other)];
        if (b.energyMj + b.latencyMs + b.macs < a.energyMj + a.latencyMs + a.macs) planted = other;
      }
      const { energyMj, latencyMs, macs } = costOf(planted);
      const found = nearestReachable(toySpace(counts), costOf, { energyMj, latencyMs, macs });
      expect(found.feasible).toBe(true);
    }
  });

  it('say so when only a local search could be made', () => {
    const costOf = entangledCosts(counts, 4);
    const found = nearestReachable(toySpace(counts), costOf, { energyMj: 0.5 });
    expect(found).toMatchObject({ feasible: false, proven: false });
    expect(() => findFeasible(toySpace(counts), costOf, { energyMj: 0.5 })).toThrow(
      /^no network was found in the \w+ space that meets energy /,
    );
    expect(nearestReachable(toySpace(counts), costOf, { energyMj: 6, latencyMs: 8 }).feasible).toBe(true);
  });
});

describe('a budget for the mini space', () => {
  const space = createMiniSpace({ input: { height: 28, width: 28, channels: 1 }, classes: 10 });
  const fair = loadProfile('fair');
  const remembered = new Map<string, Costs>();
  const costOf = (genome: Genome): Costs => {
    const key = keyOf(genome);
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const architecture = space.architecture(genome);
    const layers = layersOf(architecture, familyNamed);
    const { energyMj, latencyMs, operations } = estimate(layers, fair);
    const { areaMm2 } = arrayArea(layers, fair);
    const { sramBytes, flashBytes } = architectureMemory(architecture, familyNamed, fair);
    const params = parameterCount(architecture);
    const costs = { energyMj, latencyMs, macs: operations, params, areaMm2, sramBytes, flashBytes };
    remembered.set(key, costs);
    return costs;
  };

  it('is decided exactly, because the priced costs add up over the blocks', () => {
    const reference = costOf(uniformGenome(space, 'conv'));
    const asked = (text: string) =>
      nearestReachable(space, costOf, resolveBudget(parseBudget(text), reference));
    expect(asked('energy=2%,latency=2%')).toMatchObject({ feasible: false, proven: true });
    expect(asked('energy=50%,latency=60%')).toMatchObject({ feasible: true, proven: true });
    expect(asked('energy=100%,latency=100%,macs=100%,params=100%')).toMatchObject({ feasible: true });
  });

  it('may be anything from the cheapest network upwards', () => {
    const all = [...allGenomes(space.optionCounts)].filter((_, at) => at % 41 === 0);
    const operations = all.map((genome) => operationTotal(space.architecture(genome)));
    const cheapest = nearestReachable(space, costOf, { macs: 1 });
    expect(cheapest.proven).toBe(true);
    expect(cheapest.costs.macs).toBeLessThanOrEqual(Math.min(...operations));
    expect(meets(costOf(findFeasible(space, costOf, { macs: cheapest.costs.macs })), cheapest.costs)).toBe(
      true,
    );
    expect(findFeasible(space, costOf, {})).toHaveLength(6);
  });

  it('that cannot be met says what to ask for, and asking for that works', () => {
    const budget = { macs: 10_000, params: 5_000 };
    let message = '';
    try {
      findFeasible(space, costOf, budget);
    } catch (error) {
      expect(error).toMatchObject({ code: 'INFEASIBLE_BUDGET' });
      message = (error as Error).message;
    }
    expect(message).toMatch(
      /^no network of the mini space meets macs <= 10 k, params <= 5 k; the nearest has energy /,
    );
    const suggestion = /raise the budget to (\S+) or/.exec(message)?.[1] ?? '';
    const raised = resolveBudget(parseBudget(suggestion), costOf([0, 0, 0, 0, 0, 0]));
    expect(Object.keys(raised)).toEqual(['macs', 'params']);
    expect(meets(costOf(findFeasible(space, costOf, raised)), raised)).toBe(true);
  });
});
