import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectedExcess, normalCdf, normalDensity, normalQuantile } from './normal-distribution.js';

/** Integral by Simpson's rule. */
function integral(f: (x: number) => number, from: number, to: number, steps = 4000): number {
  const width = (to - from) / steps;
  let sum = f(from) + f(to);
  for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * f(from + i * width);
  return (sum * width) / 3;
}

describe('the normal distribution', () => {
  it('has the tabulated values', () => {
    expect(normalCdf(0)).toBe(0.5);
    expect(normalCdf(1)).toBeCloseTo(0.8413447460685429, 14);
    expect(normalCdf(-1.959963984540054)).toBeCloseTo(0.025, 15);
    expect(normalCdf(-10) / 7.619853024160527e-24).toBeCloseTo(1, 12);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
    expect([normalQuantile(0), normalQuantile(1), normalQuantile(2)]).toEqual([-Infinity, Infinity, NaN]);
  });

  it('is the integral of its density, without a step where the formulas meet', () => {
    for (const z of [-6, -3, -2.5001, -2.4999, -1, 0.3, 2.4999, 2.5001, 5])
      expect(normalCdf(z)).toBeCloseTo(integral(normalDensity, -12, z), 11);
    expect(normalCdf(-2.5 - 1e-12) / normalCdf(-2.5)).toBeCloseTo(1, 10);
  });

  it('has a quantile that undoes it', () => {
    fc.assert(
      fc.property(fc.double({ min: -6, max: 6, noNaN: true }), (z) => {
        expect(normalQuantile(normalCdf(z))).toBeCloseTo(z, 6);
      }),
    );
  });
});

describe('the expected excess', () => {
  it('is the integral of its definition', () => {
    for (const [mean, deviation] of [
      [0.3, 1],
      [-2, 0.7],
      [-4.9, 2],
      [-7, 2],
      [5, 0.1],
    ] as const) {
      const excess = (x: number): number =>
        (Math.max(0, x) * normalDensity((x - mean) / deviation)) / deviation;
      const expected = integral(excess, 0, Math.max(mean, 0) + 12 * deviation, 40_000);
      expect(expectedExcess(mean, deviation) / expected).toBeCloseTo(1, 6);
    }
  });

  it('is the mean without doubt, and rises with the mean and with the doubt, far out too', () => {
    expect(expectedExcess(2, 0)).toBe(2);
    expect(expectedExcess(-2, 0)).toBe(0);
    fc.assert(
      fc.property(
        fc.double({ min: -15, max: 1.5, noNaN: true }),
        fc.double({ min: 0.5, max: 3, noNaN: true }),
        (mean, deviation) => {
          const at = expectedExcess(mean, deviation);
          expect(at).toBeGreaterThan(0);
          expect(expectedExcess(mean + 0.01, deviation)).toBeGreaterThan(at);
          expect(expectedExcess(mean, deviation * 1.01)).toBeGreaterThan(at);
        },
      ),
    );
  });
});
