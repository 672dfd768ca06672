import { describe, expect, it } from 'vitest';
import { deviationOf, holds, type Anchor } from './anchor.js';
import { paperAnchors } from './paper.js';

describe('the published figures', () => {
  const anchors = paperAnchors();

  it('are all met to their printed digits', () => {
    const missed = anchors.filter((anchor) => holds(anchor) !== true);
    expect(missed.map(({ name, ours, published }) => ({ name, ours, published }))).toEqual([]);
    expect(anchors.length).toBe(144);
  });

  it('have distinct names, a source, a unit and a bound that could be missed', () => {
    expect(new Set(anchors.map(({ name }) => name)).size).toBe(anchors.length);
    for (const { name, source, unit, bound } of anchors) {
      expect([name, source, unit].every((text) => text.length > 0)).toBe(true);
      expect(bound).toBeLessThan(0.1);
    }
    expect(anchors.filter(({ bound }) => bound! < 1e-3).length).toBeGreaterThan(110);
  });
});

describe('an anchor', () => {
  const anchor: Anchor = { name: 'a', source: 's', ours: 1.02, published: 1, unit: 'mJ' };

  it('deviates relatively, and absolutely from nothing', () => {
    expect(deviationOf(anchor)).toBeCloseTo(0.02, 12);
    expect(deviationOf({ ours: 3, published: -4 })).toBe(1.75);
    expect(deviationOf({ ours: 0.5, published: 0 })).toBe(0.5);
  });

  it('holds within its bound, and says nothing without one', () => {
    expect(holds(anchor)).toBeUndefined();
    expect(holds({ ...anchor, bound: 0.021 })).toBe(true);
    expect(holds({ ...anchor, bound: 0.019 })).toBe(false);
    expect(holds({ ...anchor, ours: 0.98, bound: 0.019 })).toBe(false);
    expect(holds({ ...anchor, ours: Number.NaN, bound: 0.5 })).toBe(false);
  });
});
