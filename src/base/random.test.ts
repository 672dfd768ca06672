import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from './random.js';

const draws = (random: Random, count: number): number[] =>
  Array.from({ length: count }, () => random.uint32());

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [saa, sbb, sab] = [0, 0, 0];
  a.forEach((value, i) => {
    const [da, db] = [value - ma, b[i]! - mb];
    saa += da * da;
    sbb += db * db;
    sab += da * db;
  });
  return sab / Math.sqrt(saa * sbb);
}

/** Pearson's statistic of counts against equal expectations. */
function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** Mean plus five standard deviations of a chi-square variable: passed by chance all but about once in 10^5. */
const chiSquareLimit = (categories: number): number => categories - 1 + 5 * Math.sqrt(2 * (categories - 1));

describe('Random.stream', () => {
  it('gives the same numbers for the same labels, others for any other labels', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer(), fc.stringMatching(/^[\w:.-]{0,8}$/)), { maxLength: 4 }),
        fc.array(fc.oneof(fc.integer(), fc.stringMatching(/^[\w:.-]{0,8}$/)), { maxLength: 4 }),
        (labels, others) => {
          const numbers = draws(Random.stream(...labels), 4);
          expect(draws(Random.stream(...labels), 4)).toEqual(numbers);
          const key = (list: readonly unknown[]): string => JSON.stringify(list);
          if (key(labels) !== key(others)) expect(draws(Random.stream(...others), 4)).not.toEqual(numbers);
        },
      ),
    );
  });

  it.each([
    [
      [1, 'loader'],
      [2, 'loader'],
    ],
    [
      [1, 'loader', 3],
      [1, 'loader', 4],
    ],
    [
      ['ab', 'c'],
      ['a', 'bc'],
    ],
    [['1'], [1]],
    [[''], []],
    [
      [1, 'x'],
      ['x', 1],
    ],
    [[0.5], [0.25]],
  ])('keeps %j and %j uncorrelated, at every lag up to 3', (one, other) => {
    const count = 4000;
    const a = draws(Random.stream(...one), count);
    const b = draws(Random.stream(...other), count + 3);
    for (let lag = 0; lag <= 3; lag++)
      expect(Math.abs(correlation(a, b.slice(lag, lag + count)))).toBeLessThan(5 / Math.sqrt(count));
  });

  it('keeps the streams of consecutive seeds uncorrelated in their first numbers', () => {
    const count = 4000;
    const first = (offset: number): number[] =>
      Array.from({ length: count }, (_, seed) => Random.stream(seed + offset, 'first').uniform());
    expect(Math.abs(correlation(first(0), first(1)))).toBeLessThan(5 / Math.sqrt(count));
    const bins = new Array<number>(16).fill(0);
    for (const value of first(0)) bins[Math.floor(value * 16)]!++;
    expect(chiSquare(bins)).toBeLessThan(chiSquareLimit(16));
  });
});

describe('Random state', () => {
  it('resumes anywhere, through JSON', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(50), (seed, skipped) => {
        const random = Random.stream(seed);
        draws(random, skipped);
        const saved = JSON.parse(JSON.stringify(random.state)) as typeof random.state;
        expect(draws(Random.fromState(saved), 20)).toEqual(draws(random, 20));
      }),
    );
  });
});

describe('integer', () => {
  it.each([2, 3, 6, 7, 10, 1000])('is uniform below %i', (bound) => {
    const random = Random.stream('integer', bound);
    const counts = new Array<number>(bound).fill(0);
    for (let i = 0; i < 40 * bound + 20_000; i++) counts[random.integer(bound)]!++;
    expect(chiSquare(counts)).toBeLessThan(chiSquareLimit(bound));
  });

  it('is unbiased where the remainder of 2^32 matters: bound 3 * 2^30', () => {
    // Without rejection the lowest third would come up half of the time.
    const random = Random.stream('rejection');
    const thirds = [0, 0, 0];
    for (let i = 0; i < 30_000; i++) thirds[Math.floor(random.integer(3 * 2 ** 30) / 2 ** 30)]!++;
    expect(chiSquare(thirds)).toBeLessThan(chiSquareLimit(3));
  });

  it('takes the whole range', () => {
    expect(Random.stream(1).integer(2 ** 32)).toBe(Random.stream(1).uint32());
    expect(Random.stream(1).integer(1)).toBe(0);
  });

  it.each([0, -1, 1.5, NaN, 2 ** 32 + 1])('refuses the bound %d instead of drawing for ever', (bound) => {
    expect(() => Random.stream(1).integer(bound)).toThrow(RangeError);
  });

  it('refuses to pick from nothing', () => {
    expect(() => Random.stream(1).pick([])).toThrow(RangeError);
  });
});

describe('uniform and normal', () => {
  it('uniform fills [0, 1) evenly', () => {
    const random = Random.stream('uniform');
    const bins = new Array<number>(64).fill(0);
    for (let i = 0; i < 64_000; i++) bins[Math.floor(random.uniform() * 64)]!++;
    expect(bins.length).toBe(64);
    expect(chiSquare(bins)).toBeLessThan(chiSquareLimit(64));
  });

  it('normal has the moments 0, 1, 0, 3 and no serial correlation', () => {
    const random = Random.stream('normal');
    const count = 100_000;
    const values = Array.from({ length: count }, () => random.normal());
    const moment = (power: number): number => values.reduce((sum, v) => sum + v ** power, 0) / count;
    // Five standard errors; Var(z^k) = (2k - 1)!! - E(z^k)^2.
    expect(Math.abs(moment(1))).toBeLessThan(5 * Math.sqrt(1 / count));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / count));
    expect(Math.abs(moment(3))).toBeLessThan(5 * Math.sqrt(15 / count));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / count));
    expect(Math.abs(correlation(values.slice(1), values.slice(0, -1)))).toBeLessThan(5 / Math.sqrt(count));
    expect(values.every(Number.isFinite)).toBe(true);
  });
});

describe('shuffle', () => {
  it('permutes in place, any length and kind', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 40 }),
        fc.integer(),
        (items, seed) => {
          const list = [...items];
          const shuffled = Random.stream(seed).shuffle(list);
          expect(shuffled).toBe(list);
          expect([...shuffled].sort()).toEqual([...items].sort());
          expect([...Random.stream(seed).shuffle(Int32Array.from(items))]).toEqual(shuffled);
        },
      ),
    );
  });

  it('makes every order of four equally often', () => {
    const random = Random.stream('orders');
    const counts = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const key = random.shuffle([0, 1, 2, 3]).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()])).toBeLessThan(chiSquareLimit(24));
  });
});
