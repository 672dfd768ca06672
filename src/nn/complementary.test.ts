import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { normals } from '../tensor/float64.cases.js';
import { markWinners } from './k-winners.js';
import { collision, complementaryMask, pack, packedDots, packingSets, randomMask } from './complementary.js';

const sizes = fc.record({
  filters: fc.integer({ min: 1, max: 12 }),
  length: fc.integer({ min: 1, max: 40 }),
  part: fc.double({ min: 0.05, max: 1, noNaN: true }),
  seed: fc.nat(),
});

describe('masks', () => {
  it.each([
    ['random', randomMask],
    ['complementary', complementaryMask],
  ])('%s: every filter has its number of weights, and the seed decides where', (_, make) => {
    fc.assert(
      fc.property(sizes, ({ filters, length, part, seed }) => {
        const count = Math.max(1, Math.round(part * length));
        const made = make(filters, length, count, Random.stream(seed));
        for (let f = 0; f < filters; f++)
          expect(made.mask.subarray(f * length, (f + 1) * length).filter((v) => v === 1).length).toBe(count);
        expect(make(filters, length, count, Random.stream(seed))).toEqual(made);
      }),
    );
    for (const count of [0, 9, 1.5]) expect(() => make(2, 8, count, Random.stream(1))).toThrow(OptionError);
  });

  it('complementary ones do not meet within a set, which random ones are likely to', () => {
    const made = complementaryMask(8, 64, 16, Random.stream('c'));
    for (const set of [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ])
      expect(collision(made, set)).toBeUndefined();
    const random = randomMask(4, 64, 16, Random.stream('r'));
    const met = collision(random, [0, 1, 2, 3])!;
    for (const filter of met.filters) expect(random.mask[filter * 64 + met.place]).toBe(1);
    expect(() => pack(random, new Float32Array(256), [0, 1, 2, 3])).toThrow(
      new RegExp(`filters ${met.filters.join(' and ')} both have a weight at place ${met.place}`),
    );
  });
});

describe('packed filters', () => {
  it('give the K sparse dot products for the products of one dense one', () => {
    const [filters, length, each] = [8, 64, 16];
    const sparse = complementaryMask(filters, length, each, Random.stream('p'));
    const weights = normals(filters * length, 'w');
    const x = normals(length, 'x');
    const sets = packingSets(sparse);
    expect(sets).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ]);
    const sums = new Float64Array(filters);
    const products = packedDots(
      sets.map((set) => pack(sparse, weights, set)),
      x,
      sums,
    );
    for (let f = 0; f < filters; f++) {
      let dot = 0;
      for (let i = 0; i < length; i++) dot += sparse.mask[f * length + i]! * weights[f * length + i]! * x[i]!;
      expect(sums[f]).toBeCloseTo(dot, 5);
    }
    // D a set, where K dense filters would take K D.
    expect(products).toBe(2 * length);
  });

  it('with k winners for inputs visit exactly their k places', () => {
    const [length, k] = [64, 5];
    const sparse = complementaryMask(8, length, 16, Random.stream('k'));
    const weights = normals(8 * length, 'w');
    const x = normals(length, 'x').map(Math.abs);
    const marks = new Float32Array(length);
    markWinners(x, length, k, marks);
    const active = x.map((v, i) => v * marks[i]!);
    const sets = packingSets(sparse).map((set) => pack(sparse, weights, set));
    expect(packedDots(sets, active, new Float64Array(8))).toBe(k * sets.length);
  });

  it('greedy sets hold every filter once and none that meet', () => {
    fc.assert(
      fc.property(sizes, ({ filters, length, part, seed }) => {
        const sparse = randomMask(
          filters,
          length,
          Math.max(1, Math.round(part * length)),
          Random.stream(seed),
        );
        const sets = packingSets(sparse);
        expect(sets.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: filters }, (_, i) => i));
        for (const set of sets) expect(collision(sparse, set)).toBeUndefined();
      }),
    );
  });
});
