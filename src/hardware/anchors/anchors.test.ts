/**
 * @file Every published figure with a bound lies within it, and what is said about the figures follows from them.
 */
import { describe, expect, it } from 'vitest';
import { holds, type Anchor } from './anchor.js';
import { anchorGroups } from './groups.js';

/** Shown without a claim: one side follows from the other, or there is but one published figure. */
const unclaimed = ['eyeriss-vgg', 'gates'];

describe('anchors', () => {
  for (const { name, anchors } of anchorGroups)
    it(`hold: ${name}`, () => {
      const found = anchors();
      expect(found.length).toBeGreaterThan(5);
      expect(found.filter((anchor) => holds(anchor) === false).map((anchor) => anchor.name)).toEqual([]);
      expect(found.some((anchor) => holds(anchor))).toBe(!unclaimed.includes(name));
      expect(new Set(found.map((anchor) => anchor.name)).size).toBe(found.length);
    });

  const group = (name: string): ReturnType<(typeof anchorGroups)[number]['anchors']> =>
    anchorGroups.find((known) => known.name === name)!.anchors();

  it('our mapper finds the mappings of the chip for three layers of AlexNet', () => {
    const found = group('eyeriss-alexnet').flatMap(({ name, note }) =>
      note?.startsWith('our mapper finds this mapping') ? [name.split(/[ :]/)[3]] : [],
    );
    expect(found).toEqual(['CONV1', 'CONV4', 'CONV5']);
  });

  it('Fig. 10 is shown with the levels that miss it', () => {
    const found = group('eyeriss-energy');
    for (const conv of ['conv1', 'conv2', 'conv3', 'conv4', 'conv5']) {
      const part = (name: string): Anchor =>
        found.find((each) => each.name === `Eyeriss Fig. 10 ${conv}: ${name}`)!;
      const parts = ['ALU', 'DRAM', 'buffer', 'array', 'RF'].map(part);
      // The published columns make the published sum, and ours make ours.
      for (const side of ['ours', 'published'] as const)
        expect(parts.reduce((sum, each) => sum + each[side], 0)).toBeCloseTo(part('sum')[side], 2);
      const [buffer, array] = [part('buffer'), part('array')];
      const factor = (buffer.ours + array.ours) / (buffer.published + array.published);
      expect(factor).toBeGreaterThan(5.5);
      expect(factor).toBeLessThan(11.5);
      expect([buffer.bound, array.bound, part('sum').bound]).toEqual([undefined, undefined, undefined]);
    }
  });

  it('published 32-bit energies lie between settled gates and all glitches', () => {
    const found = group('gates');
    for (const primitive of ['multiply', 'add']) {
      const energy = (which: string): Anchor =>
        found.find(({ name }) => name === `gates, ${primitive} 32 bit: energy, ${which}`)!;
      expect(energy('settled').ours).toBeLessThanOrEqual(energy('settled').published);
      expect(energy('glitches').ours).toBeGreaterThanOrEqual(energy('glitches').published);
    }
  });

  it("VGG-16's time follows its buffer traffic where that needs more than arithmetic", () => {
    const rows = group('eyeriss-vgg').filter(({ name }) => name.includes('traffic'));
    const ratios = rows.map(({ ours, published }) => published / ours);
    expect(Math.min(...ratios)).toBeGreaterThan(1.04);
    expect(Math.max(...ratios)).toBeLessThan(1.18);
    const bound = rows.filter(({ note }) => note!.includes('bound by partial sums'));
    expect(bound.map(({ name }) => name.split(/[ :]/)[3])).toEqual(
      ['1-1', '1-2', '2-1', '2-2', '3-1', '3-2', '3-3', '4-1', '4-2', '4-3'].map((layer) => `CONV${layer}`),
    );
    // Sixteen bytes a cycle are nearly reached, and never exceeded.
    for (const { ours, published } of bound) {
      expect((16 * ours) / published).toBeGreaterThan(14.8);
      expect((16 * ours) / published).toBeLessThan(15.4);
    }
  });
});
