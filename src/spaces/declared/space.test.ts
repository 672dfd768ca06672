import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { allGenomes } from '../product.js';
import { extremesOf } from '../extremes.js';
import { operationTotal, parameterCount } from '../layers.js';
import { createMiniSpace } from '../mini/space.js';
import { parseArchitecture } from '../parse.js';
import type { DeclaredInput } from './schema.js';
import { createDeclaredSpace } from './space.js';

const images = { input: { height: 16, width: 16, channels: 3 }, classes: 4 };
const small: DeclaredInput = {
  ...{ name: 'small', ...images, stem: { channels: 8 } },
  stages: [
    { channels: 8, depth: [1, 2], families: ['conv', 'add'], widths: 1, kernels: [3, 5] },
    { channels: 16, depth: 2, block: 'inverted', families: 'conv', widths: [1, 2], skip: true },
    { channels: 16, depth: 1, block: 'bottleneck', families: ['attention', 'add'], widths: 0.25 },
  ] as DeclaredInput['stages'],
};

describe('a declared space', () => {
  it('can be the mini space', () => {
    const families = ['conv', 'pot.q', 'add'];
    const stage = (channels: number) => ({ channels, depth: 2, families, widths: [0.5, 1], skip: true });
    const declared = createDeclaredSpace({
      ...{ name: 'mini', ...images, stem: { channels: 16 } },
      stages: [16, 32, 64].map(stage),
    });
    const mini = createMiniSpace({ ...images, families });
    expect(declared.optionCounts).toEqual(mini.optionCounts);
    expect(declared.size).toBe(mini.size);
    const random = Random.stream(1);
    for (let i = 0; i < 20; i++) {
      const genome = mini.sample(random);
      expect({ ...declared.architecture(genome), space: '' }).toEqual({
        ...mini.architecture(genome),
        space: '',
      });
      expect(genome.map((gene, at) => declared.optionLabel(at, gene))).toEqual(
        genome.map((gene, at) => mini.optionLabel(at, gene)),
      );
    }
  });

  it('counts every architecture once, draws them evenly, and keeps its moves canonical', () => {
    const space = createDeclaredSpace(small);
    const all = [...allGenomes(space.optionCounts)];
    const canonical = new Set(all.map((genome) => String(space.canonical(genome))));
    // (4 + 4 * 4) depths of the first stage, 2 * 3 of the second, 2 of the third.
    expect(space.size).toBe(20n * 6n * 2n);
    expect(BigInt(canonical.size)).toBe(space.size);
    expect(new Set(all.map((genome) => JSON.stringify(space.architecture(genome).blocks))).size).toBe(240);
    const random = Random.stream('even');
    const seen = new Map<string, number>();
    for (let i = 0; i < 240 * 50; i++) {
      const key = String(space.sample(random));
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    const chiSquare = [...seen.values()].reduce((sum, count) => sum + (count - 50) ** 2 / 50, 0);
    expect(seen.size).toBe(240);
    expect(Math.abs(chiSquare - 239)).toBeLessThan(4 * Math.sqrt(2 * 239));
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const chance = Random.stream(seed);
        const [a, b] = [space.sample(chance), space.sample(chance)];
        for (const genome of [space.mutate(a, 0.5, chance), space.crossover(a, b, chance)])
          expect(canonical).toContain(String(genome));
        expect(space.mutate(a, 0, chance)).toEqual(a);
        const architecture = space.architecture(a);
        expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'file')).toEqual(architecture);
      }),
      { numRuns: 50 },
    );
  });

  it('has the extremes that a look at every network finds', () => {
    const space = createDeclaredSpace(small);
    const costOf = (genome: readonly number[]) => {
      const architecture = space.architecture(genome);
      return { parameters: parameterCount(architecture), operations: operationTotal(architecture) };
    };
    const all = [...allGenomes(space.optionCounts)].map(costOf);
    const { parameters, operations } = extremesOf(space, costOf);
    for (const [found, quantity] of [
      [parameters, 'parameters'] as const,
      [operations, 'operations'] as const,
    ]) {
      expect(found.least.cost).toBe(Math.min(...all.map((each) => each[quantity])));
      expect(found.most.cost).toBe(Math.max(...all.map((each) => each[quantity])));
    }
  });

  it('has each family of a stage with each of the widths of its operands', () => {
    const stage = {
      channels: 8,
      depth: 1,
      families: ['conv', 'add'],
      bits: ['float', 8, 4],
      widths: [0.5, 1],
    };
    const declare = (stages: readonly object[]) =>
      createDeclaredSpace({ ...small, stages } as unknown as DeclaredInput);
    const space = declare([stage]);
    expect(space.families).toEqual(['conv', 'conv.int8', 'conv.int4', 'add', 'add.int8', 'add.int4']);
    expect(Array.from({ length: 12 }, (_, option) => space.optionLabel(0, option))).toEqual(
      space.families.flatMap((family) => [`${family} x0.5`, `${family} x1`]),
    );
    expect(space.size).toBe(12n);
    const architecture = space.architecture([5]);
    expect(architecture.blocks[0]!.family).toBe('conv.int4');
    expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'file')).toEqual(architecture);
    // It is no other space than the one that names them, and without the key none other than before there was one.
    const named = declare([{ ...stage, families: space.families, bits: undefined }]);
    expect([named.identity, named.size]).toEqual([space.identity, space.size]);
    const wide = declare([{ ...stage, bits: undefined }]);
    expect(wide.families).toEqual(['conv', 'add']);
    expect(declare([{ ...stage, bits: 'float' }]).identity).toBe(wide.identity);
    expect(declare([{ ...stage, bits: 6 }]).families).toEqual(['conv.int6', 'add.int6']);
  });

  it('names the key that is wrong in one line', () => {
    const stage = small.stages[0]!;
    const cases: [object, RegExp][] = [
      [{ clases: 3 }, /^f: unknown key 'clases'; examples\/space.yaml/],
      [{ classes: undefined }, /'classes' is missing/],
      [{ stages: [{ ...stage, kernels: [3, 4] }] }, /'stages\.0\.kernels.*': must be odd/],
      [{ stages: [{ ...stage, families: ['conv', 'xor'] }] }, /'stages\.0\.families\.1': unknown operator/],
      [{ stages: [{ ...stage, families: ['attention'] }] }, /attention goes with bottleneck blocks/],
      [{ stages: [{ ...stage, widths: [1, 1] }] }, /'stages\.0\.widths': must not name a value twice/],
      [{ stages: [{ ...stage, skip: true }] }, /'stages\.0\.skip': true goes with one depth only/],
      [
        { stages: [{ ...stage, block: 'bottleneck' }] },
        /'stages\.0\.kernels': go with residual and inverted/,
      ],
      [{ stages: [{ ...stage, dept: 1 }] }, /unknown key 'stages\.0\.dept'/],
      [
        { stages: [{ ...stage, bits: [8, 1] }] },
        /'stages\.0\.bits\.1': must be a whole number from 2 to 16, or float/,
      ],
      [
        { stages: [{ ...stage, bits: 17 }] },
        /'stages\.0\.bits': must be a whole number from 2 to 16, or float/,
      ],
      [{ stages: [{ ...stage, bits: [8, 8] }] }, /'stages\.0\.bits': must not name a value twice/],
      [
        { stages: [{ ...stage, families: ['conv', 'binary'], bits: [8] }] },
        /'stages\.0\.bits': binary layers have no operands of few bits: .*; leave out bits or the family/,
      ],
      [
        { stages: [{ ...stage, families: ['conv.int4'], bits: [4] }] },
        /'stages\.0\.bits': conv\.int4 has .* already/,
      ],
      [
        { stages: [{ ...stage, families: ['conv.int1'] }] },
        /'stages\.0\.families\.0': .*operands have 2 to 16 bits/,
      ],
    ];
    for (const [change, message] of cases) {
      const create = () => createDeclaredSpace({ ...small, ...change } as DeclaredInput, 'f');
      expect(create).toThrow(message);
      expect(create).toThrow(/^f: [^\n]*$/);
    }
  });
});
