import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Tradeoff, paretoFront } from './pareto.js';

/** The definition, word for word, O(n^2). */
function oracle(points: readonly Tradeoff[]): readonly number[] {
  const dominates = (a: Tradeoff, b: Tradeoff): boolean =>
    a.cost <= b.cost && a.value >= b.value && (a.cost < b.cost || a.value > b.value);
  return points.map((_, at) => at).filter((at) => !points.some((other) => dominates(other, points[at]!)));
}

test('the front is what the definition says, also with ties and equal points', () => {
  const coordinate = fc.oneof(
    fc.integer({ min: 0, max: 6 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ cost: coordinate, value: coordinate }), { maxLength: 60 }), (points) => {
      const front = paretoFront(points);
      expect([...front].sort((a, b) => a - b)).toEqual(oracle(points));
      const costs = front.map((at) => points[at]!.cost);
      expect(costs).toEqual([...costs].sort((a, b) => a - b));
    }),
    { numRuns: 500 },
  );
});

test('points that are not finite take no part', () => {
  const points = [
    { cost: Number.NaN, value: 9 },
    { cost: 1, value: 0.5 },
    { cost: 0, value: Number.NaN },
    { cost: 2, value: Number.POSITIVE_INFINITY },
  ];
  expect(paretoFront(points)).toEqual([1]);
  expect(paretoFront([])).toEqual([]);
});
