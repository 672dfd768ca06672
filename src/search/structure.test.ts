/**
 * @file Budgets in spaces where some genes say what others mean.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { StageBlock } from '../spaces/declared/schema.js';
import { createDeclaredSpace } from '../spaces/declared/space.js';
import { createHytraCifar } from '../spaces/hytra/space.js';
import { operationTotal, parameterCount } from '../spaces/layers.js';
import { allNetworks } from '../spaces/offers.js';
import { type Costs, meets, violation } from './costs.js';
import { nearestReachable } from './nearest.js';
import { createNsga2 } from './nsga2.js';
import { createRandomSearch } from './random-search.js';
import { feasibleSampler, keyOf } from './sampling.js';
import { runSearch } from './strategy.js';

/** Operations and parameters of real networks; what is not looked at is 1. */
function costsOf(space: SearchSpace): (genome: Genome) => Costs {
  const known = new Map<string, Costs>();
  return (genome) => {
    const key = keyOf(genome);
    let costs = known.get(key);
    if (costs === undefined) {
      const architecture = space.architecture(genome);
      const [macs, params] = [operationTotal(architecture), parameterCount(architecture)];
      costs = { energyMj: 1, latencyMs: 1, macs, params, areaMm2: 1, sramBytes: 1, flashBytes: 1 };
      known.set(key, costs);
    }
    return costs;
  };
}

const images = { input: { height: 16, width: 16, channels: 3 }, classes: 4 };
const declared = createDeclaredSpace({
  ...{ name: 'deep', ...images, stem: { channels: 8 } },
  stages: [
    { channels: 8, depth: [1, 2, 3], families: ['conv', 'shiftadd'], widths: [0.5, 1] },
    {
      channels: 16,
      depth: [1, 2],
      families: ['conv', 'add', 'attention'],
      widths: 0.25,
      block: StageBlock.Bottleneck,
    },
  ],
});
// Splits 1-1-1-3 and 1-1-2-2, 864 networks.
const hytra = createHytraCifar({ ...images, layers: 6, stageChannels: [8, 16, 32, 64] });

describe('the nearest network', () => {
  it('is decided exactly in a space too large to look through, over all structures', () => {
    const space = createHytraCifar({ ...images, stageChannels: [8, 16, 32, 64] });
    expect(space.size).toBeGreaterThan(4096n);
    const costOf = costsOf(space);
    const random = Random.stream('planted');
    for (let i = 0; i < 4; i++) {
      const { macs, params } = costOf(space.sample(random));
      const found = nearestReachable(space, costOf, { macs, params });
      expect(found).toMatchObject({ feasible: true, proven: true });
      expect(space.canonical(found.genome)).toEqual(found.genome);
    }
    const least = nearestReachable(space, costOf, { params: 1 });
    expect(least).toMatchObject({ feasible: false, proven: true });
    const smallest = Array.from({ length: 300 }, () => costOf(space.sample(random)).params);
    expect(least.costs.params).toBeLessThanOrEqual(Math.min(...smallest));
    const { params } = least.costs;
    expect(nearestReachable(space, costOf, { params: params - 1 })).toMatchObject({
      feasible: false,
      proven: true,
    });
    expect(nearestReachable(space, costOf, { params }).feasible).toBe(true);
  });

  it.each([
    ['declared', declared],
    ['hytra-cifar', hytra],
  ] as const)('is the least violation of all networks: %s', (_, space) => {
    const costOf = costsOf(space);
    const all = [...allNetworks(space)].map(costOf);
    const share = (of: (costs: Costs) => number, part: number): number => {
      const values = all.map(of);
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return least + part * (most - least);
    };
    for (const part of [-0.3, 0.02, 0.1, 0.5]) {
      const budget = {
        macs: share(({ macs }) => macs, part),
        params: share(({ params }) => params, part / 2),
      };
      const found = nearestReachable(space, costOf, budget);
      const least = Math.min(...all.map((costs) => violation(costs, budget)));
      expect(found.proven).toBe(true);
      expect(found.violation).toBeCloseTo(least, 9);
      expect(found.feasible).toBe(least === 0);
      expect(space.canonical(found.genome)).toEqual(found.genome);
    }
  });
});

describe('sampling', () => {
  it('gives every network within the budget once, by its canonical genome', () => {
    for (const space of [declared, hytra]) {
      const costOf = costsOf(space);
      const all = [...allNetworks(space)];
      const sorted = all.map((genome) => costOf(genome).macs).sort((a, b) => a - b);
      const budget = { macs: sorted[Math.floor(sorted.length / 10)]! };
      const fitting = all.filter((genome) => meets(costOf(genome), budget)).map(keyOf);
      const drawn = feasibleSampler(space, costOf, budget).fresh(
        all.length,
        new Set(),
        [],
        Random.stream('all of them'),
      );
      expect(drawn.map(keyOf).sort()).toEqual(fitting.sort());
    }
  });

  it('repairs to canonical genomes', () => {
    const space = createHytraCifar({ ...images, stageChannels: [8, 16, 32, 64], layers: 10 });
    const costOf = costsOf(space);
    const random = Random.stream('repairs');
    const tight = nearestReachable(space, costOf, { params: 1 }).costs.params * 1.02;
    const sampler = feasibleSampler(space, costOf, { params: tight });
    for (let i = 0; i < 8; i++) {
      const genome = sampler.sampleWithin(random);
      expect(sampler.fits(genome)).toBe(true);
      expect(space.canonical(genome)).toEqual(genome);
    }
  });
});

describe('a search', () => {
  it.each([
    ['nsga2', createNsga2],
    ['random', createRandomSearch],
  ] as const)('judges no network twice: %s', async (_, create) => {
    const costOf = costsOf(hytra);
    const limit = nearestReachable(hytra, costOf, { params: 1 }).costs.params * 1.1;
    const strategy = create(
      { space: hytra, costOf, budget: { params: limit }, seed: 2 },
      { generations: 4, population: 8 },
    );
    const { archive } = await runSearch(strategy, strategy.start(), ({ genome }) => genome[1]! / 9);
    expect(archive.length).toBeGreaterThan(8);
    const networks = archive.map(({ genome }) => JSON.stringify(hytra.architecture(genome).blocks));
    expect(new Set(networks).size).toBe(archive.length);
    for (const { genome } of archive) expect(hytra.canonical(genome)).toEqual(genome);
  });
});
