/**
 * @file Every published figure with a bound lies within it, and what is said about the figures follows from them.
 */
import { describe, expect, it } from 'vitest';
import { holds } from './anchor.js';
import { anchorGroups } from './groups.js';

describe('anchors', () => {
  for (const { name, anchors } of anchorGroups)
    it(`hold: ${name}`, () => {
      const found = anchors();
      expect(found.length).toBeGreaterThan(5);
      expect(found.filter((anchor) => holds(anchor) === false).map((anchor) => anchor.name)).toEqual([]);
      expect(found.some((anchor) => holds(anchor))).toBe(true);
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
