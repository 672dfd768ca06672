import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  constrainedDominates,
  crowdedComparison,
  crowdingDistances,
  dominates,
  nonDominated,
  type Rated,
  sortIntoFronts,
  survivors,
} from './dominance.js';

const value = fc.integer({ min: 0, max: 5 });
const objectives = fc.array(value, { minLength: 3, maxLength: 3 });
const rated: fc.Arbitrary<Rated> = fc.record({ objectives, violation: fc.integer({ min: 0, max: 2 }) });
const population = fc.array(rated, { minLength: 1, maxLength: 20 });
const asIs = (each: Rated): Rated => each;

describe('domination', () => {
  it('is a strict partial order, under constraints too', () => {
    fc.assert(
      fc.property(rated, rated, rated, (a, b, c) => {
        expect(constrainedDominates(a, a)).toBe(false);
        expect(constrainedDominates(a, b) && constrainedDominates(b, a)).toBe(false);
        if (constrainedDominates(a, b) && constrainedDominates(b, c))
          expect(constrainedDominates(a, c)).toBe(true);
      }),
    );
  });

  it('puts feasible before infeasible, less violation before more, and objectives only among the feasible', () => {
    const good = { objectives: [0, 0] };
    const bad = { objectives: [9, 9] };
    expect(constrainedDominates(good, bad)).toBe(true);
    expect(constrainedDominates(bad, { ...good, violation: 0.1 })).toBe(true);
    expect(constrainedDominates({ ...bad, violation: 0.1 }, { ...good, violation: 0.2 })).toBe(true);
    expect(constrainedDominates({ ...good, violation: 1 }, { ...bad, violation: 1 })).toBe(false);
    expect(dominates([1, 1], [1, 1])).toBe(false);
  });
});

describe('the Pareto set', () => {
  it('is what the definition says, the first of equals, in the order given', () => {
    fc.assert(
      fc.property(fc.array(objectives, { maxLength: 30 }), (points) => {
        const expected = points.filter(
          (point, at) =>
            !points.some((other) => dominates(other, point)) &&
            points.findIndex((other) => other.join() === point.join()) === at,
        );
        expect(nonDominated(points)).toEqual(expected);
      }),
    );
  });
});

describe('fronts', () => {
  it('are what is left when the fronts before are taken away', () => {
    fc.assert(
      fc.property(population, (items) => {
        let rest = items;
        for (const front of sortIntoFronts(items, asIs)) {
          const first = rest.filter((item) => !rest.some((other) => constrainedDominates(other, item)));
          expect(front).toEqual(first);
          rest = rest.filter((item) => !first.includes(item));
        }
        expect(rest).toEqual([]);
      }),
    );
  });
});

describe('crowding', () => {
  it('sums the gaps between neighbours over the range of each objective', () => {
    const points = [
      [0, 10],
      [1, 6],
      [4, 5],
      [10, 0],
    ];
    expect(crowdingDistances(points)).toEqual([
      Infinity,
      expect.closeTo(0.4 + 0.5, 12),
      expect.closeTo(0.9 + 0.6, 12),
      Infinity,
    ]);
  });

  it('takes no notice of an objective in which all are level, and gives twins nothing', () => {
    const points = [
      [0, 3, 2],
      [1, 3, 1],
      [1, 3, 1],
      [2, 3, 0],
    ];
    expect(crowdingDistances(points)).toEqual([Infinity, 2, 0, Infinity]);
    expect(crowdingDistances([[1, 1]])).toEqual([0]);
    expect(crowdingDistances([])).toEqual([]);
  });
});

describe('survivors', () => {
  it('are whole fronts, and of the one that is cut the least crowded', () => {
    fc.assert(
      fc.property(population, fc.integer({ min: 1, max: 20 }), (items, count) => {
        const kept = survivors(items, asIs, count);
        expect(kept).toHaveLength(Math.min(count, items.length));
        const fronts = sortIntoFronts(items, asIs);
        kept.forEach(({ item, rank }, at) => {
          expect(fronts[rank]).toContain(item);
          if (at > 0) expect(crowdedComparison(kept[at - 1]!, kept[at]!)).toBeLessThanOrEqual(0);
        });
        const cut = kept.at(-1)!;
        for (const [rank, front] of fronts.entries())
          if (rank < cut.rank)
            for (const item of front) expect(kept.map((each) => each.item)).toContain(item);
        const left = (fronts[cut.rank] ?? []).filter((item) => !kept.some((each) => each.item === item));
        const crowding = crowdingDistances(fronts[cut.rank]!.map((item) => item.objectives));
        for (const item of left)
          expect(crowding[fronts[cut.rank]!.indexOf(item)]).toBeLessThanOrEqual(cut.crowding);
      }),
    );
  });
});
