import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { giveWay, inner, projectOnto, projectPairwise } from './projection.js';

const size = 12;
const gradient = fc
  .array(fc.integer({ min: -1000, max: 1000 }), { minLength: size, maxLength: size })
  .filter((values) => values.some((value) => value !== 0))
  .map((values) => Float32Array.from(values, (value) => value / 64));
const norm = (a: Float32Array): number => Math.sqrt(inner(a, a));
/** What rounding to float32 may leave of an inner product of zero. */
const rounding = (a: Float32Array, b: Float32Array): number => 1e-6 * norm(a) * norm(b);

describe('giveWay', () => {
  it('leaves no conflict, takes nothing but what conflicts, and leaves what agrees to the bit', () => {
    fc.assert(
      fc.property(gradient, gradient, (given, reference) => {
        const projected = given.slice();
        giveWay(projected, reference);
        const before = inner(given, reference);
        if (before >= 0) expect(projected).toEqual(given);
        else {
          expect(Math.abs(inner(projected, reference))).toBeLessThanOrEqual(rounding(given, reference));
          // What was taken is a multiple of the reference: the component along it.
          const share = before / inner(reference, reference);
          projected.forEach((value, i) => expect(value + share * reference[i]!).toBeCloseTo(given[i]!, 3));
          expect(norm(projected)).toBeLessThanOrEqual(norm(given) * (1 + 1e-6));
        }
      }),
    );
  });
});

describe('pairwise projection', () => {
  it('of two conflicting gradients makes each orthogonal to the other as it was', () => {
    fc.assert(
      fc.property(gradient, gradient, fc.nat(), (a, b, seed) => {
        const [first, second] = [a.slice(), b.slice()];
        projectPairwise([first, second], Random.stream(seed));
        expect(inner(first, b)).toBeGreaterThanOrEqual(-rounding(a, b));
        expect(inner(second, a)).toBeGreaterThanOrEqual(-rounding(a, b));
        if (inner(a, b) >= 0) expect([first, second]).toEqual([a, b]);
        // ab (cos^2 - 1), and ab is negative.
        else expect(inner(first, second)).toBeGreaterThanOrEqual(-rounding(a, b));
      }),
    );
  });

  it('of three is PCGrad by plain loops, in the order of its stream', () => {
    fc.assert(
      fc.property(fc.array(gradient, { minLength: 3, maxLength: 3 }), fc.nat(), (given, seed) => {
        const random = Random.stream(seed);
        const expected = given.map((g, at) => {
          const held = Float64Array.from(g);
          for (const j of random.shuffle([0, 1, 2].filter((other) => other !== at))) {
            const other = given[j]!;
            const product = held.reduce((sum, v, i) => sum + v * other[i]!, 0);
            const square = other.reduce((sum, v) => sum + v * v, 0);
            if (product < 0) held.forEach((v, i) => (held[i] = v - (product / square) * other[i]!));
          }
          return held;
        });
        const projected = given.map((g) => g.slice());
        projectPairwise(projected, Random.stream(seed));
        projected.forEach((g, at) =>
          g.forEach((value, i) => expect(value).toBeCloseTo(expected[at]![i]!, 2)),
        );
      }),
    );
  });
});

describe('projection onto the multiplications', () => {
  it('keeps them, and leaves no other in conflict with their sum', () => {
    fc.assert(
      fc.property(gradient, gradient, gradient, gradient, (a, b, c, d) => {
        const [c1, d1] = [c.slice(), d.slice()];
        const references = [a.slice(), b.slice()];
        projectOnto(references, [c1, d1]);
        expect(references).toEqual([a, b]);
        const sum = a.map((value, i) => value + b[i]!);
        for (const [now, before] of [
          [c1, c],
          [d1, d],
        ] as const) {
          expect(inner(now, sum)).toBeGreaterThanOrEqual(-rounding(before, sum) - 1e-9);
          if (inner(before, sum) >= 0) expect(now).toEqual(before);
        }
      }),
    );
  });

  it('without one of them changes nothing', () => {
    const [a, b] = [Float32Array.of(1, -2), Float32Array.of(-1, 2)];
    projectOnto([], [a, b]);
    expect([a, b]).toEqual([Float32Array.of(1, -2), Float32Array.of(-1, 2)]);
  });
});
