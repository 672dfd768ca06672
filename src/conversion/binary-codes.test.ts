import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { binaryValue, fitBinaryLevels, levelsOf, nearestLevel } from './binary-codes.js';
import { inputsPerTable, lookUp, lutGemv, tableOfSums } from './lut-gemv.js';
import { additivePowers, Rounding } from './powers.js';

const groups = fc.array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: 2, maxLength: 60 });

function normals(count: number, label: string): Float64Array {
  const random = Random.stream(label);
  return Float64Array.from({ length: count }, () => random.normal());
}

/** Squared error of a fit. */
function errorOf(weights: ArrayLike<number>, levels: ReturnType<typeof levelsOf>): number {
  return Array.from(weights).reduce((sum, w) => sum + (w - levels.values[nearestLevel(levels, w)]!) ** 2, 0);
}

describe('binary codes', () => {
  it('with one code the scale is the mean magnitude, the optimum', () => {
    fc.assert(
      fc.property(groups, (w) => {
        const mean = w.reduce((sum, value) => sum + Math.abs(value), 0) / w.length;
        const { scales } = fitBinaryLevels(w, { codes: 1 });
        expect(scales[0]).toBeCloseTo(mean, 12);
        const best = errorOf(w, levelsOf(scales));
        for (const factor of [0.9, 0.99, 1.01, 1.1])
          expect(errorOf(w, levelsOf([factor * mean]))).toBeGreaterThanOrEqual(best - 1e-12);
      }),
    );
  });

  it('recovers the balanced code of scales 4, 2, 1 exactly', () => {
    const w = Array.from({ length: 64 }, (_, code) => binaryValue([4, 2, 1], code % 8));
    const levels = fitBinaryLevels(w, { codes: 3 });
    expect([...levels.scales]).toEqual([4, 2, 1]);
    expect(errorOf(w, levels)).toBe(0);
  });

  it('never gets worse from step to step without rounding', () => {
    fc.assert(
      fc.property(groups, fc.integer({ min: 1, max: 4 }), (w, codes) => {
        const errors: number[] = [];
        fitBinaryLevels(w, { codes, onError: (error) => errors.push(error) });
        const whole = w.reduce((sum, value) => sum + value * value, 0);
        errors
          .slice(1)
          .forEach((error, i) => expect(error).toBeLessThanOrEqual(errors[i]! + 1e-9 * (1 + whole)));
      }),
    );
  });

  it('with rounded scales returns the best it has seen', () => {
    fc.assert(
      fc.property(
        groups,
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (w, codes, terms) => {
          const errors: number[] = [];
          const round = (scale: number): number => additivePowers(scale, terms, Rounding.Log);
          const levels = fitBinaryLevels(w, { codes, round, onError: (error) => errors.push(error) });
          expect(errorOf(w, levels)).toBeCloseTo(Math.min(...errors), 9);
          for (const scale of levels.scales) expect(round(scale)).toBe(scale);
        },
      ),
    );
  });

  it('nearestLevel finds what a look at all levels finds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { minLength: 1, maxLength: 5 }),
        fc.double({ min: -12, max: 12, noNaN: true }),
        (scales, value) => {
          const levels = levelsOf(scales);
          const least = Math.min(...levels.values.map((level) => Math.abs(level - value)));
          const found = nearestLevel(levels, value);
          expect(Math.abs(levels.values[found]! - value)).toBeCloseTo(least, 12);
          expect(binaryValue(levels.scales, levels.codes[found]!)).toBe(levels.values[found]);
        },
      ),
    );
  });

  it('loses of normal weights what the paper’s rule loses: little more with scales of two powers than with float ones', () => {
    const group = 64;
    const w = normals(64 * group, 'normal');
    const variance = w.reduce((sum, value) => sum + value * value, 0);
    const relative = (terms: number): number => {
      const round = (scale: number): number => additivePowers(scale, terms, Rounding.Log);
      let error = 0;
      for (let at = 0; at < w.length; at += group) {
        const own = w.subarray(at, at + group);
        error += errorOf(own, fitBinaryLevels(own, { codes: 3, ...(terms > 0 && { round }) }));
      }
      return error / variance;
    };
    const [float, one, two, three] = [0, 1, 2, 3].map(relative) as [number, number, number, number];
    expect(float).toBeCloseTo(0.0334, 2);
    expect(one).toBeCloseTo(0.0413, 2);
    expect(two / float).toBeLessThan(1.04);
    expect(three / float).toBeLessThan(1.01);
  });
});

describe('products by look-up', () => {
  const eight = fc.array(fc.integer({ min: -128, max: 127 }), { minLength: 8, maxLength: 8 });

  it('a table holds the sum under every key, and a flipped key its negative', () => {
    fc.assert(
      fc.property(eight, (x) => {
        const table = tableOfSums(x);
        expect(table).toHaveLength(128);
        for (let key = 0; key < 256; key++) {
          const sum = x.reduce((total, value, i) => total + ((key >> i) & 1 ? value : -value), 0);
          expect(lookUp(table, key) === sum).toBe(true);
          expect(lookUp(table, 255 - key) === -sum).toBe(true);
        }
      }),
    );
  });

  it('equals the product with the weights that the codes stand for, to the bit on integers', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(8, 16, 64),
        fc.nat(),
        (rows, columns, codes, group, seed) => {
          const random = Random.stream(seed, 'lut');
          const count = Math.ceil(columns / group);
          const w = {
            ...{ rows, columns, codes, group },
            scales: Float64Array.from({ length: rows * count * codes }, () => 2 ** -random.integer(6)),
            signs: Uint8Array.from({ length: rows * columns }, () => random.integer(2 ** codes)),
          };
          const x = Float64Array.from({ length: columns }, () => random.integer(256) - 128);
          const expected = Array.from({ length: rows }, (_, row) =>
            x.reduce((sum, value, column) => {
              const at = (row * count + Math.floor(column / group)) * codes;
              return (
                sum + value * binaryValue(w.scales.subarray(at, at + codes), w.signs[row * columns + column]!)
              );
            }, 0),
          );
          expect([...lutGemv(w, x)]).toEqual(expected);
        },
      ),
    );
  });

  it('refuses groups that a table would straddle', () => {
    const w = {
      rows: 1,
      columns: 9,
      codes: 1,
      group: 9,
      scales: Float64Array.of(1),
      signs: new Uint8Array(9),
    };
    expect(() => lutGemv(w, new Float64Array(9))).toThrow(`multiple of ${inputsPerTable}`);
  });
});
