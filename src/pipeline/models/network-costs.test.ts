import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { builtInProfileNames, loadProfile } from '../../hardware/index.js';
import type { Tensor } from '../../tensor/tensor.js';
import { listFamilies } from '../../operators/registry.js';
import { findFeasible, nearestReachable } from '../../search/nearest.js';
import { operationTotal, parameterCount, planLayers, scaleWidths } from '../../spaces/layers.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { Network } from '../../spaces/network.js';
import { mixedGenome, toySpace } from '../../training/toy.cases.js';
import {
  costsOf,
  layerCostRecords,
  loadProfiles,
  networkCost,
  rememberedCosts,
  scaledToEnergy,
} from './network-costs.js';
import { weightHistograms } from './weight-histograms.js';

const fair = loadProfile('fair');
const architecture = toySpace.architecture(mixedGenome);

describe('costs', () => {
  it.each(builtInProfileNames)('of a network are the sums of its layers under %s', (name) => {
    const profile = loadProfile(name);
    const records = layerCostRecords(architecture, profile);
    const sum = (key: 'energyMj' | 'latencyMs' | 'operations'): number =>
      records.reduce((total, record) => total + record[key], 0);
    const costs = costsOf(architecture, profile);
    expect(sum('energyMj') / costs.energyMj).toBeCloseTo(1, 9);
    expect(sum('latencyMs') / costs.latencyMs).toBeCloseTo(1, 9);
    expect(sum('operations')).toBe(costs.macs);
    expect(costs.macs).toBe(operationTotal(architecture));
    expect(records.map(({ name }) => name)).toEqual(planLayers(architecture).map(({ name }) => name));
    expect(records.map(({ family }) => family)).toEqual(planLayers(architecture).map(({ family }) => family));
    for (const record of records) {
      const { computeMj, dramMj, globalBufferMj, nocMj, registerFileMj } = record;
      expect((computeMj + dramMj + globalBufferMj + nocMj + registerFileMj) / record.energyMj).toBeCloseTo(
        1,
        9,
      );
    }
  });

  it.each(listFamilies().map(({ name }) => name))('count the parameters of a network of %s', (family) => {
    const space = createMiniSpace({ ...toySpace.options, families: [family] });
    const uniform = space.architecture(uniformGenome(space, family));
    const network = new Network(uniform, Random.stream(1));
    // A weight made of several trained values is one parameter of the network that results.
    const planesOf = ({ shape }: Tensor): number => (shape.length === 5 ? shape[0]! : 1);
    const held = network.parameters.reduce((sum, { tensor }) => sum + tensor.size / planesOf(tensor), 0);
    expect(parameterCount(uniform)).toBe(held);
    const records = layerCostRecords(uniform, fair);
    expect(new Set(records.map((record) => record.family))).toEqual(new Set(['conv', family]));
    network.dispose();
  });

  it('count the parameters that the network has', () => {
    const network = new Network(architecture, Random.stream(1));
    const held = network.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0);
    expect(costsOf(architecture, fair).params).toBe(held);
    expect(parameterCount(architecture)).toBe(held);
    network.dispose();
  });

  it('are remembered per genome, and the same as computed anew', () => {
    const costOf = rememberedCosts(toySpace, fair);
    const random = Random.stream('remembered');
    for (let i = 0; i < 10; i++) {
      const genome = toySpace.sample(random);
      expect(costOf(genome)).toEqual(costsOf(toySpace.architecture(genome), fair));
      expect(costOf([...genome])).toBe(costOf(genome));
    }
  });

  it('come from profiles listed once each, the first one first', () => {
    expect([...loadProfiles(['paper-cv-192', 'fair', 'paper-cv-192']).keys()]).toEqual([
      'paper-cv-192',
      'fair',
    ]);
    expect(() => loadProfiles(['nowhere.json'])).toThrow(/nowhere\.json/);
  });
});

describe('a budget on memory', () => {
  it('is decided exactly in the mini space', () => {
    const space = createMiniSpace({ input: { height: 32, width: 32, channels: 3 }, classes: 10 });
    const costOf = rememberedCosts(space, loadProfile('fair-int8'));
    // Stage 0 keeps 32x32x16 bytes; with its blocks left out the first block of stage 1 decides: its input, and half
    // the map with half the channels in the middle, twice the channels behind.
    const bound = 16384 + 4096 + 8192;
    const least = nearestReachable(space, costOf, { sramBytes: 1 });
    expect(least).toMatchObject({ feasible: false, proven: true });
    expect(least.costs.sramBytes).toBe(32768);
    expect(least.costs.sramBytes).toBeGreaterThanOrEqual(bound);
    expect(nearestReachable(space, costOf, { sramBytes: 32768 })).toMatchObject({ feasible: true });
    expect(() => findFeasible(space, costOf, { sramBytes: 32767 })).toThrow(
      /^no network of the mini space meets sram <= 32 KiB; the nearest has .*sram 32 KiB.*raise the budget to sram=32KiB or/,
    );
    expect(nearestReachable(space, costOf, { sramBytes: 40960, flashBytes: 60_000 })).toMatchObject({
      feasible: true,
      proven: true,
    });
  });
});

describe('scaledToEnergy', () => {
  const small = createMiniSpace({
    input: { height: 16, width: 16, channels: 1 },
    classes: 4,
    stemChannels: 24,
    stageChannels: [8, 16],
    blocksPerStage: [1, 1],
  });
  const full = small.architecture(uniformGenome(small, 'conv'));
  const factors = Array.from({ length: 16 }, (_, i) => (i + 1) / 16);
  const priced = factors
    .flatMap((factor) => factors.map((midFactor) => scaleWidths(full, factor, midFactor)))
    .map((each) => ({ energyMj: networkCost(each, fair).energyMj, operations: operationTotal(each) }));
  const least = Math.min(...priced.map(({ energyMj }) => energyMj));
  const most = networkCost(full, fair).energyMj;

  it('never exceeds the energy and does the most operations of all pairs of widths that fit', () => {
    fc.assert(
      fc.property(fc.double({ min: least, max: 1.1 * most, noNaN: true }), (energyMj) => {
        const scaled = scaledToEnergy(full, energyMj, fair)!;
        expect(networkCost(scaled, fair).energyMj).toBeLessThanOrEqual(energyMj);
        const fitting = priced.filter((each) => each.energyMj <= energyMj);
        expect(operationTotal(scaled)).toBe(Math.max(...fitting.map(({ operations }) => operations)));
      }),
      { numRuns: 60 },
    );
  });

  it('is the network itself when that fits, and there is none when nothing does', () => {
    expect(scaledToEnergy(full, most, fair)).toEqual({ ...full, genome: null });
    expect(scaledToEnergy(full, 0.99 * least, fair)).toBeUndefined();
  });
});

describe('weightHistograms', () => {
  it('count every weight of each family but the stem once, in the bin that holds it', () => {
    const network = new Network(architecture, Random.stream('histogram'));
    const histograms = weightHistograms(network);
    expect(histograms.map(({ family }) => family).sort()).toEqual(['add', 'conv', 'pot.q']);
    for (const { family, edges, counts } of histograms) {
      const values = network.operatorLayers
        .filter((layer) => layer.family.name === family && layer.name !== 'stem')
        .flatMap((layer) => [...layer.effectiveWeights()]);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(values.length);
      expect(edges.length).toBe(counts.length + 1);
      expect(edges).toEqual([...edges].sort((a, b) => a - b));
      expect(edges[0]).toBeLessThanOrEqual(Math.min(...values));
      expect(edges.at(-1)).toBeGreaterThanOrEqual(Math.max(...values));
      // Those on an edge to the last bit may fall to either side.
      const slack = 1e-9 * edges.at(-1)!;
      counts.forEach((count, bin) => {
        const [low, high] = [edges[bin]!, edges[bin + 1]!];
        expect(count).toBeGreaterThanOrEqual(
          values.filter((v) => v > low + slack && v < high - slack).length,
        );
        expect(count).toBeLessThanOrEqual(values.filter((v) => v >= low - slack && v <= high + slack).length);
      });
    }
    network.dispose();
  });

  it('hold a network of zeros, and one whose weights are not finite does not hang', () => {
    const network = new Network(architecture, Random.stream('zeros'));
    for (const { tensor } of network.parameters) tensor.data.fill(0);
    for (const { counts } of weightHistograms(network))
      expect(counts[30]).toBe(counts.reduce((a, b) => a + b));
    network.dispose();
  });
});
