import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { BlockKind } from '../architecture.js';
import { operationTotal, parameterCount, planLayers } from '../layers.js';
import { parseArchitecture } from '../parse.js';
import { allGenomes } from '../product.js';
import { createMiniSpace, type MiniSpaceOptions, uniformGenome } from './space.js';

const mnist: MiniSpaceOptions = { input: { height: 28, width: 28, channels: 1 }, classes: 10 };

/** Spaces of every legal shape, small enough to look at every position. */
const anySpace = fc
  .record({
    height: fc.integer({ min: 16, max: 64 }),
    width: fc.integer({ min: 16, max: 64 }),
    channels: fc.constantFrom(1, 3),
    classes: fc.integer({ min: 2, max: 20 }),
    families: fc.subarray(['conv', 'pot.q', 'add'], { minLength: 1 }),
    stemChannels: fc.integer({ min: 1, max: 20 }),
    stemStride: fc.constantFrom(1 as const, 2 as const),
    stages: fc.array(fc.tuple(fc.integer({ min: 4, max: 20 }), fc.integer({ min: 1, max: 2 })), {
      minLength: 1,
      maxLength: 3,
    }),
    widthRatios: fc.subarray([0.25, 0.5, 1, 2], { minLength: 1 }),
  })
  .map(({ height, width, channels, stages, ...rest }) =>
    createMiniSpace({
      ...rest,
      input: { height, width, channels },
      stageChannels: stages.map(([stage]) => stage),
      blocksPerStage: stages.map(([, blocks]) => blocks),
    }),
  );

describe('the mini space', () => {
  it('has the default shape for MNIST', () => {
    const space = createMiniSpace(mnist);
    expect(space.positions.map((p) => [p.name, p.inHeight, p.inChannels, p.outChannels, p.stride])).toEqual([
      ['stage0.block0', 28, 16, 16, 1],
      ['stage0.block1', 28, 16, 16, 1],
      ['stage1.block0', 28, 16, 32, 2],
      ['stage1.block1', 14, 32, 32, 1],
      ['stage2.block0', 14, 32, 64, 2],
      ['stage2.block1', 7, 64, 64, 1],
    ]);
    expect(space.optionCounts).toEqual([7, 7, 6, 7, 6, 7]);
    expect(space.size).toBe(7n ** 4n * 6n ** 2n);
    expect(space.positions[0]!.options.map((_, option) => space.optionLabel(0, option))).toEqual([
      'skip',
      'conv x0.5',
      'conv x1',
      'pot.q x0.5',
      'pot.q x1',
      'add x0.5',
      'add x1',
    ]);
    expect(space.positions.map((p) => p.maxMidChannels)).toEqual([16, 16, 32, 32, 64, 64]);
  });

  it('offers a skip exactly where the block changes nothing', () => {
    fc.assert(
      fc.property(anySpace, (space) => {
        for (const position of space.positions) {
          const skips = position.options.filter((option) => option.kind === BlockKind.Skip).length;
          const legal = position.stride === 1 && position.inChannels === position.outChannels;
          expect(skips).toBe(legal ? 1 : 0);
        }
      }),
    );
  });

  it('gives consistent architectures that survive JSON and stay the same', () => {
    fc.assert(
      fc.property(anySpace, fc.integer(), (space, seed) => {
        const genome = space.sample(Random.stream(seed));
        const architecture = space.architecture(genome);
        expect(architecture.genome).toEqual(genome);
        const read = parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'architecture.json');
        expect(read).toEqual(architecture);
      }),
    );
  });

  it('gives every genome its own architecture, with mid channels in multiples of 4', () => {
    const space = createMiniSpace({
      ...mnist,
      stemChannels: 8,
      stageChannels: [8, 12],
      blocksPerStage: [1, 2],
      widthRatios: [0.25, 0.5, 1],
    });
    // 0.25 x 8 and 0.5 x 8 both round to 4, 0.25 x 12 is 4 at the least: widths 4, 8 and 4, 8, 12.
    expect(space.optionCounts).toEqual([1 + 3 * 2, 3 * 3, 1 + 3 * 3]);
    const seen = new Set<string>();
    for (const genome of allGenomes(space.optionCounts)) {
      const { blocks } = space.architecture(genome);
      seen.add(JSON.stringify(blocks));
      for (const block of blocks) expect(block.midChannels % 4).toBe(0);
    }
    expect(BigInt(seen.size)).toBe(space.size);
  });

  it('has the cost of a network as a sum over positions', () => {
    fc.assert(
      fc.property(anySpace, fc.integer(), (space, seed) => {
        const random = Random.stream(seed);
        const [base, other] = [space.sample(random), space.sample(random)];
        for (const count of [parameterCount, operationTotal]) {
          const of = (genome: readonly number[]): number => count(space.architecture(genome));
          const steps = base.map((_, at) => of(base.with(at, other[at]!)) - of(base));
          expect(of(other)).toBe(of(base) + steps.reduce((sum, step) => sum + step, 0));
        }
      }),
    );
  });

  it('puts one family everywhere at full depth and width', () => {
    fc.assert(
      fc.property(anySpace, (space) => {
        for (const family of space.options.families) {
          const architecture = space.architecture(uniformGenome(space, family));
          architecture.blocks.forEach((block, at) => {
            expect(block.kind).toBe(BlockKind.Residual);
            expect(block.family).toBe(family);
            expect(block.midChannels).toBe(space.positions[at]!.maxMidChannels);
          });
          const inBlocks = planLayers(architecture).filter((layer) => layer.block !== null);
          expect(inBlocks.every((layer) => layer.family === family)).toBe(true);
        }
      }),
    );
    expect(() => uniformGenome(createMiniSpace(mnist), 'xor')).toThrow(/no family 'xor'; it holds conv/);
  });

  it('changes its identity with every option, and not with the order of the keys', () => {
    const identity = createMiniSpace(mnist).identity;
    const reordered = createMiniSpace({ classes: 10, input: { channels: 1, width: 28, height: 28 } });
    expect(reordered.identity).toBe(identity);
    const changes: Partial<MiniSpaceOptions>[] = [
      { input: { height: 32, width: 28, channels: 1 } },
      { input: { height: 28, width: 32, channels: 1 } },
      { input: { height: 28, width: 28, channels: 3 } },
      { classes: 11 },
      { families: ['conv', 'add'] },
      { stemChannels: 8 },
      { stemStride: 2 },
      { stageChannels: [16, 32, 60] },
      { blocksPerStage: [2, 2, 1] },
      { widthRatios: [1, 0.5] },
    ];
    const identities = changes.map((change) => createMiniSpace({ ...mnist, ...change }).identity);
    expect(new Set([identity, ...identities]).size).toBe(changes.length + 1);
  });

  it('names the option that is wrong in one line', () => {
    const cases: [Partial<MiniSpaceOptions> | Record<string, unknown>, RegExp][] = [
      [{ input: { height: 15, width: 28, channels: 1 } }, /input\.height: must be 16 to 512/],
      [{ input: { height: 28, width: 513, channels: 1 } }, /input\.width: must be 16 to 512/],
      [{ classes: 1 }, /classes/],
      [{ families: [] }, /families/],
      [{ families: ['conv', 'conv'] }, /families: must not name a family twice/],
      [{ stageChannels: [16, 32] }, /blocksPerStage: must have one entry/],
      [{ widthRatios: [0] }, /widthRatios\.0/],
      [{ stemStride: 3 }, /stemStride/],
      [{ depth: 3 }, /depth/],
    ];
    for (const [change, message] of cases) {
      const create = () => createMiniSpace({ ...mnist, ...change } as MiniSpaceOptions);
      expect(create).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
      expect(create).toThrow(message);
      expect(create).toThrow(/^[^\n]*$/);
    }
    const space = createMiniSpace(mnist);
    expect(() => space.architecture([0, 0, 0, 0, 6, 0])).toThrow(/gene 4 .* 0 to 5, not 6/);
    expect(() => space.optionLabel(9, 0)).toThrow(/no option 0 at position 9/);
  });
});
