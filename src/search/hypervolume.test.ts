import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dominates } from './dominance.js';
import { boxOf, compareFronts, hypervolume } from './hypervolume.js';

// Small integers make ties frequent, also with the reference and beyond it.
const pointsOf = (dimensions: number) =>
  fc.array(fc.array(fc.integer({ min: 0, max: 7 }), { minLength: dimensions, maxLength: dimensions }), {
    maxLength: 7,
  });

/** Volume of the union of the boxes between each point and the reference: inclusion and exclusion of all subsets. */
function byInclusionExclusion(points: readonly (readonly number[])[], reference: readonly number[]): number {
  let volume = 0;
  for (let subset = 1; subset < 1 << points.length; subset++) {
    const members = points.filter((_, at) => subset & (1 << at));
    const common = reference.reduce(
      (product, limit, at) => product * Math.max(0, limit - Math.max(...members.map((point) => point[at]!))),
      1,
    );
    volume += members.length % 2 ? common : -common;
  }
  return volume;
}

describe('the hypervolume', () => {
  it.each([1, 2, 3, 4])('of %i objectives is that of the union of boxes', (dimensions) => {
    const reference = Array.from({ length: dimensions }, () => 6);
    fc.assert(
      fc.property(pointsOf(dimensions), (points) => {
        expect(hypervolume(points, reference)).toBeCloseTo(byInclusionExclusion(points, reference), 9);
      }),
    );
  });

  it.each([2, 3])(
    'of %i objectives never falls with another point, and rises only with one that is not dominated',
    (d) => {
      const reference = Array.from({ length: d }, () => 8);
      fc.assert(
        fc.property(
          pointsOf(d),
          fc.array(fc.integer({ min: 0, max: 7 }), { minLength: d, maxLength: d }),
          (points, point) => {
            const [before, after] = [
              hypervolume(points, reference),
              hypervolume([...points, point], reference),
            ];
            const beaten = points.some((other) => dominates(other, point) || other.join() === point.join());
            if (beaten) expect(after).toBe(before);
            else expect(after).toBeGreaterThan(before);
          },
        ),
      );
    },
  );

  it('has the closed forms of a staircase and of nothing', () => {
    const staircase = Array.from({ length: 10 }, (_, i) => [i, 9 - i]);
    expect(hypervolume(staircase, [10, 10])).toBe(55);
    expect(hypervolume([], [1, 1])).toBe(0);
    expect(hypervolume([[1, 0]], [1, 1])).toBe(0);
    // 2000 points on the quarter circle: its area within a step.
    const circle = Array.from({ length: 2000 }, (_, i) => {
      const angle = (Math.PI / 2) * ((i + 0.5) / 2000);
      return [1 - Math.cos(angle), 1 - Math.sin(angle)];
    });
    expect(hypervolume(circle, [1, 1])).toBeCloseTo(Math.PI / 4, 3);
  });

  it('refuses points of another space', () => {
    expect(() => hypervolume([[1, 2, 3]], [4, 4])).toThrow(
      /over 2 objectives has no room for the point \(1, 2, 3\)/,
    );
    expect(() => hypervolume([[1, Number.NaN]], [4, 4])).toThrow(/NaN/);
  });
});

describe('a comparison of fronts', () => {
  it('takes all under one reference point, a tenth beyond the worst', () => {
    const { ideal, reference, together, fronts } = compareFronts({
      hybrid: [
        [0, 10],
        [1, 5],
      ],
      conv: [
        [1, 10],
        [2, 0],
      ],
      beaten: [[2, 10]],
    });
    expect(ideal).toEqual([0, 0]);
    expect(reference).toEqual([2.2, 11]);
    expect(fronts.map(({ name, points }) => [name, points])).toEqual([
      ['hybrid', 2],
      ['conv', 2],
      ['beaten', 1],
    ]);
    const [hybrid, conv, beaten] = fronts.map((front) => front.hypervolume) as [number, number, number];
    expect(hybrid).toBeCloseTo(2.2 * 1 + 1.2 * 5, 12);
    expect(conv).toBeCloseTo(1.2 * 1 + 0.2 * 10, 12);
    expect(beaten).toBeCloseTo(0.2, 12);
    expect(together).toBeCloseTo(2.2 + 1.2 * 5 + 0.2 * 5, 12);
    expect(fronts[0]!.share).toBeCloseTo(hybrid / (2.2 * 11), 12);
    expect(fronts.map(({ onlyHere }) => onlyHere)).toEqual([
      expect.closeTo(1 - conv / together, 12),
      expect.closeTo(1 - hybrid / together, 12),
      0,
    ]);
  });

  it('takes a reference point that is given, and needs a point', () => {
    expect(compareFronts({ one: [[0, 0]] }, [2, 3]).fronts[0]!.hypervolume).toBe(6);
    expect(() => compareFronts({ none: [] })).toThrow(/no point/);
    expect(boxOf([[5, 0]]).reference).toEqual([5.5, 1]);
  });
});
