import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paretoFront } from './pareto.js';

// Small integers make ties frequent.
const point = fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 12 }));
type Point = readonly [cost: number, accuracy: number];
const front = (points: readonly Point[]): Point[] =>
  paretoFront(
    points,
    ([cost]) => cost,
    ([, accuracy]) => accuracy,
  );

describe('the Pareto front', () => {
  it('is what the definition says, in order of cost', () => {
    fc.assert(
      fc.property(fc.array(point, { maxLength: 40 }), (points) => {
        const undominated = points.filter(
          ([cost, accuracy], at) =>
            !points.some(
              ([otherCost, otherAccuracy], otherAt) =>
                otherCost <= cost &&
                otherAccuracy >= accuracy &&
                (otherCost < cost || otherAccuracy > accuracy || otherAt < at),
            ),
        );
        expect(front(points)).toEqual(undominated.sort((a, b) => a[0] - b[0]));
      }),
    );
  });

  it('keeps the first of equal points, and leaves out what is not a number', () => {
    const [first, second]: Point[] = [
      [1, 1],
      [1, 1],
    ];
    expect(front([first!, second!])[0]).toBe(first);
    expect(front([first!, second!])).toHaveLength(1);
    expect(front([[Number.NaN, 2], [1, Number.NaN], first!])).toEqual([first]);
    expect(front([])).toEqual([]);
    expect(front([[Infinity, 3], first!])).toEqual([first, [Infinity, 3]]);
  });
});
