import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  additivePowers,
  decodePower,
  encodePower,
  floorLog2,
  nearestExponent,
  powerGridFor,
  Rounding,
  signBit,
  termBits,
} from './powers.js';

const magnitudes = fc.double({ min: 2 ** -30, max: 2 ** 30, noNaN: true });
const roundings = fc.constantFrom(Rounding.Value, Rounding.Log);

/** Largest and mean relative error over one octave, which stands for all. */
function octaveErrors(terms: number, rounding: Rounding): { readonly most: number; readonly mean: number } {
  const count = 200_000;
  let [most, sum] = [0, 0];
  for (let i = 0; i < count; i++) {
    const x = 2 ** (i / count);
    const error = Math.abs(additivePowers(x, terms, rounding) - x) / x;
    most = Math.max(most, error);
    sum += error;
  }
  return { most, mean: sum / count };
}

describe('powers of two', () => {
  it('floorLog2 is exact on either side of every power', () => {
    for (let e = -60; e <= 60; e++) {
      expect(floorLog2(2 ** e)).toBe(e);
      expect(floorLog2(2 ** e * (1 - Number.EPSILON))).toBe(e - 1);
      expect(floorLog2(2 ** e * (1 + Number.EPSILON))).toBe(e);
    }
  });

  it('the boundary is 1.5 2^k by value and sqrt(2) 2^k by logarithm', () => {
    for (const k of [-7, 0, 5]) {
      expect(nearestExponent(1.4999 * 2 ** k, Rounding.Value)).toBe(k);
      expect(nearestExponent(1.5001 * 2 ** k, Rounding.Value)).toBe(k + 1);
      expect(nearestExponent(1.4142 * 2 ** k, Rounding.Log)).toBe(k);
      expect(nearestExponent(1.4143 * 2 ** k, Rounding.Log)).toBe(k + 1);
    }
  });

  it('one term is off by at most 33.3 % by value and 41.4 % by logarithm, and both are reached', () => {
    expect(octaveErrors(1, Rounding.Value).most).toBeCloseTo(1 / 3, 4);
    expect(octaveErrors(1, Rounding.Log).most).toBeCloseTo(Math.SQRT2 - 1, 4);
  });

  it.each([
    [1, 41.4, 17],
    [2, 10.8, 2.9],
    [3, 2.7, 0.47],
  ])('%i terms: the errors of ShiftAddLLM, at most %f %%, on average %f %%', (terms, most, mean) => {
    const errors = octaveErrors(terms, Rounding.Log);
    expect(100 * errors.most).toBeCloseTo(most, 0);
    expect(errors.most * 100).toBeLessThan(most + 0.1);
    expect(Math.abs(100 * errors.mean - mean)).toBeLessThan(0.05 * mean + 0.02);
  });

  it('by value no power of two is nearer', () => {
    fc.assert(
      fc.property(magnitudes, (x) => {
        const e = nearestExponent(x, Rounding.Value);
        for (const other of [e - 1, e + 1])
          expect(Math.abs(2 ** e - x)).toBeLessThanOrEqual(Math.abs(2 ** other - x));
      }),
    );
  });

  it('is odd, scales with powers of two, and no term more makes it worse', () => {
    fc.assert(
      fc.property(magnitudes, fc.integer({ min: 1, max: 4 }), roundings, (x, terms, rounding) => {
        const q = additivePowers(x, terms, rounding);
        expect(additivePowers(-x, terms, rounding)).toBe(-q);
        expect(additivePowers(8 * x, terms, rounding)).toBe(8 * q);
        expect(Math.abs(additivePowers(x, terms + 1, rounding) - x)).toBeLessThanOrEqual(Math.abs(q - x));
      }),
    );
  });
});

describe('codes of a layer', () => {
  const weights = fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 1, maxLength: 40 });

  it('decode to what they were encoded as, in 5 bits a term', () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 4 }), roundings, (w, terms, rounding) => {
        const grid = powerGridFor(w, terms, rounding);
        const codes = new Uint8Array(terms);
        for (const value of w) {
          const stored = encodePower(value, grid, codes, 0);
          expect(decodePower(grid, codes, 0)).toBe(stored);
          for (const code of codes) expect(code).toBeLessThan(2 ** termBits);
          // A sign without a term would be a second zero.
          expect(codes).not.toContain(signBit);
        }
      }),
    );
  });

  it('one term is idempotent: q(q(w)) = q(w)', () => {
    fc.assert(
      fc.property(weights, roundings, (w, rounding) => {
        const code = new Uint8Array(1);
        const once = w.map((value) => encodePower(value, powerGridFor(w, 1, rounding), code, 0));
        const twice = once.map((value) => encodePower(value, powerGridFor(once, 1, rounding), code, 0));
        expect(twice).toEqual(once);
      }),
    );
  });

  it('keep the bound of the error down to the smallest power and half of that below it', () => {
    const grid = { terms: 1, rounding: Rounding.Value, top: 0 };
    const lowest = 2 ** -14;
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (x) => {
        const error = Math.abs(encodePower(x, grid, new Uint8Array(1), 0) - x);
        expect(error).toBeLessThanOrEqual(x >= lowest ? x / 3 + 1e-15 : lowest / 2);
      }),
    );
  });
});
