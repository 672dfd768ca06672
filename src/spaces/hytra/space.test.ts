import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { operationTotal, planLayers } from '../layers.js';
import { parseArchitecture } from '../parse.js';
import { allGenomes, checkGenome } from '../product.js';
import { NetworkForm, type HytraOptions } from './options.js';
import { createHytraCifar, createHytraImagenet, type HytraSpace } from './space.js';
import { SplitRule, stageSplits } from './splits.js';

const published = createHytraImagenet();

/** cv-search 1.2. */
const publishedSplits =
  '1-1-5-9, 1-1-6-8, 1-2-4-9, 1-2-5-8, 1-3-3-9, 1-3-4-8, 1-4-4-7, 1-4-5-6, 1-5-5-5, 2-2-3-9, 2-2-4-8, 2-3-3-8, ' +
  '2-3-4-7, 2-4-4-6, 2-4-5-5, 3-3-3-7, 3-3-4-6, 3-4-4-5, 4-4-4-4';

/** A space of the same build that can be listed. */
const tiny = (options: Partial<HytraOptions> = {}): HytraSpace =>
  createHytraCifar({
    layers: 5,
    longestStage: 3,
    stageChannels: [16, 32, 64],
    stageFamilies: [
      ['conv', 'add'],
      ['add', 'conv', 'attention'],
      ['attention', 'conv'],
    ],
    ...options,
  });

describe('hytra-imagenet (cv-search 1.2)', () => {
  it('has the 19 published splits, and 27 without the stop rule', () => {
    expect(published.splits.map((split) => split.join('-')).join(', ')).toBe(publishedSplits);
    const all = { layers: 16, stages: 4, longest: 9, rule: SplitRule.All };
    expect(stageSplits(all)).toHaveLength(27);
  });

  it('has the published sizes', () => {
    expect(published.size).toBe(198_955_008n);
    expect(createHytraImagenet({ splits: SplitRule.All }).size).toBe(335_499_264n);
    const multiplying = createHytraImagenet({
      splits: SplitRule.All,
      stageFamilies: [['conv'], ['conv'], ['attention', 'conv'], ['attention', 'conv']],
    });
    expect(multiplying.size).toBe(123_648n);
  });

  it('has the weights of the published blocks (cv-search 1.3)', () => {
    const families = [2, 4, 5, 5].map((length) => Array.from({ length }, () => 'conv'));
    const architecture = published.architecture(published.genomeOf(families));
    const weights = (name: string): number =>
      planLayers(architecture)
        .filter((layer) => layer.name.startsWith(`${name}.`))
        .reduce((sum, l) => sum + l.kernel ** 2 * (l.inChannels / l.groups) * l.outChannels, 0);
    const depthwise = (stage: number): number => 9 * 32 * 2 ** stage;
    const plain = ['layer1.scale0', 'layer3.scale1', 'layer7.scale2', 'layer12.scale3'];
    expect(plain.map((name, stage) => weights(name) - depthwise(stage))).toEqual([
      17_408, 69_632, 278_528, 1_114_112,
    ]);
    const down = ['layer2.scale1', 'layer6.scale2', 'layer11.scale3'];
    expect(down.map((name, at) => weights(name) - depthwise(at + 1))).toEqual([
      356_352, 1_425_408, 5_701_632,
    ]);
  });

  it('has the mean operations and weights of sampled networks (cv-search 1.3)', () => {
    const random = Random.stream('means');
    const count = 150;
    let operations = 0;
    let weights = 0;
    const shares = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const genome = published.sample(random);
      const architecture = published.architecture(genome);
      operations += operationTotal(architecture) / count;
      for (const layer of planLayers(architecture))
        if (!layer.fullyConnected)
          weights += (layer.kernel ** 2 * (layer.inChannels / layer.groups) * layer.outChannels) / count;
      for (const family of published.familiesOf(genome).flat())
        shares.set(family, (shares.get(family) ?? 0) + 1 / count);
    }
    expect(operations / 1e9).toBeCloseTo(1.68, 1);
    expect(Math.abs(weights / 12.9e6 - 1)).toBeLessThan(0.03);
    for (const [family, mean] of Object.entries({ attention: 4, conv: 5.9, add: 3.1, 'pot.q': 3 }))
      expect(Math.abs(shares.get(family)! - mean), family).toBeLessThan(0.5);
  });

  it('takes any input, and halves its maps rounded up', () => {
    const input = { height: 160, width: 96, channels: 1 };
    const space = createHytraImagenet({ input, classes: 3 });
    expect(space.architecture(space.sample(Random.stream(1))).blocks.at(-1)).toMatchObject({ inHeight: 5 });
    const odd = createHytraImagenet({ input: { height: 100, width: 33, channels: 3 } });
    const blocks = odd.architecture(odd.sample(Random.stream(2))).blocks.filter(({ stride }) => stride === 2);
    expect(blocks.map(({ inHeight, inWidth }) => [inHeight, inWidth])).toEqual([
      [25, 9],
      [13, 5],
      [7, 3],
    ]);
    expect(() => createHytraImagenet({ layers: 3 })).toThrow(/layers: cannot be dealt/);
    expect(() => createHytraImagenet({ stageFamilies: [['xor'], ['conv'], ['conv'], ['conv']] })).toThrow(
      /unknown operator family 'xor'/,
    );
    expect(() => createHytraImagenet({ lastStride: 1 })).toThrow(/lastStride: 1 goes with network retrained/);
  });
});

describe.each([
  ['hytra-imagenet', published],
  ['hytra-cifar', createHytraCifar()],
  ['retrained', createHytraCifar({ network: NetworkForm.Retrained })],
  ['tiny', tiny()],
])('%s', (_, space) => {
  const legal = (genome: readonly number[]): void => {
    checkGenome(genome, space.optionCounts, space.name);
    expect(space.canonical(genome)).toEqual(genome);
  };

  it('samples, mutates and crosses into canonical genomes whose genes have an origin', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0, max: 1, noNaN: true }), (seed, rate) => {
        const random = Random.stream(seed);
        const [first, second] = [space.sample(random), space.sample(random)];
        const child = space.crossover(first, second, random);
        [first, second, child, space.mutate(first, rate, random)].forEach(legal);
        child.slice(1).forEach((gene, at) => expect([first[at + 1], second[at + 1]]).toContain(gene));
        expect(space.mutate(first, 0, random)).toEqual(first);
        expect(space.genomeOf(space.familiesOf(first))).toEqual(first);
      }),
      { numRuns: 60 },
    );
  });

  it('makes a network of every list of options, that of its canonical genome, which survives JSON', () => {
    fc.assert(
      fc.property(fc.tuple(...space.optionCounts.map((count) => fc.nat(count - 1))), (genome) => {
        const architecture = space.architecture(genome);
        expect(architecture).toEqual(space.architecture(space.canonical(genome)));
        legal(architecture.genome!);
        expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'file')).toEqual(architecture);
      }),
      { numRuns: 20 },
    );
  });
});

describe('a space with splits', () => {
  it('counts every architecture once', () => {
    for (const rule of Object.values(SplitRule)) {
      const space = tiny({ splits: rule });
      const canonical = new Set([...allGenomes(space.optionCounts)].map((g) => String(space.canonical(g))));
      expect(BigInt(canonical.size)).toBe(space.size);
      const architectures = new Set(
        [...canonical].map((key) => JSON.stringify(space.architecture(key.split(',').map(Number)).blocks)),
      );
      expect(BigInt(architectures.size)).toBe(space.size);
    }
  });

  it('samples uniformly over architectures (chi-square)', () => {
    const space = tiny();
    const random = Random.stream(5, 'uniformity');
    const each = 60;
    const size = Number(space.size);
    const seen = new Map<string, number>();
    for (let i = 0; i < each * size; i++) {
      const key = String(space.sample(random));
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect(seen.size).toBe(size);
    const chiSquare = [...seen.values()].reduce((sum, count) => sum + (count - each) ** 2 / each, 0);
    // Normal approximation of the distribution with size - 1 degrees of freedom, at 4 standard deviations.
    expect(Math.abs(chiSquare - (size - 1))).toBeLessThan(4 * Math.sqrt(2 * (size - 1)));
  });

  it('keeps the splits of parents in mutants where it is told to, and otherwise changes them', () => {
    const changes = (keepSplits: boolean): number => {
      const space = createHytraImagenet({ keepSplits });
      const random = Random.stream('splits');
      const genome = space.sample(random);
      return Array.from({ length: 100 }, () => space.mutate(genome, 0.5, random)).filter(
        ([split]) => split !== genome[0],
      ).length;
    };
    expect(changes(true)).toBe(0);
    expect(changes(false)).toBeGreaterThan(20);
  });

  it('crosses splits to the deeper or the shallower of each layer, as published', () => {
    const space = createHytraImagenet({ splits: SplitRule.All });
    const conv = (...split: number[]) =>
      space.genomeOf(split.map((length) => Array.from({ length }, () => 'conv')));
    const children = new Set<string>();
    const random = Random.stream('crossing');
    for (let i = 0; i < 100; i++) {
      const [split] = space.crossover(conv(1, 3, 5, 7), conv(2, 3, 3, 8), random);
      children.add(space.splits[split!]!.join('-'));
    }
    // The deeper is 1-3-4-8, the shallower 2-3-4-7.
    expect([...children].sort()).toEqual(['1-3-4-8', '2-3-4-7']);
  });

  it('changes its identity with every option', () => {
    const options: Partial<HytraOptions>[] = [
      {},
      { input: { height: 64, width: 32, channels: 3 } },
      { classes: 7 },
      { stem: { channels: 8, kernel: 3, stride: 1, pool: false } },
      { layers: 6 },
      { longestStage: 2 },
      { splits: SplitRule.Published },
      { stageChannels: [16, 32, 128] },
      { stageFamilies: [['conv'], ['conv'], ['conv', 'attention']] },
      { network: NetworkForm.Retrained },
      { network: NetworkForm.Retrained, lastStride: 1 },
      { keepSplits: true },
    ];
    expect(new Set(options.map((each) => tiny(each).identity)).size).toBe(options.length);
    expect(() => tiny().optionLabel(0, 99)).toThrow(/no option 99 at position 0/);
    expect([0, 1].map((position) => tiny().optionLabel(position, 0))).toEqual(['1-1-3', 'conv']);
  });
});
