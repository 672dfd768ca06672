import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { Random } from '../base/random.js';
import type { LayerGeometry } from '../operators/contract.js';
import {
  clampedGrid,
  clampWeights,
  distanceAccumulatorBits,
  groupFilters,
  integerDistances,
  sharedCodes,
  sharedRange,
  symmetricGrid,
  type SharedGrid,
} from './adder.js';
import { convertLayer } from './convert-layer.js';
import { codeOf, codesOf, powerOfTwoAbove, signedGrid, type Grid } from './grid.js';
import { parseMethod, type DistancesMethod } from './methods.js';
import { gridOfFilter, RecordKind, storedWeights, type DistancesRecord } from './record.js';

const numbers = (least: number, most: number, count: number) =>
  fc.array(fc.float({ min: Math.fround(least), max: Math.fround(most), noNaN: true }), {
    minLength: count,
    maxLength: count,
  });

/** -sum |x - w| in float64 over one window. */
function distance(x: ArrayLike<number>, w: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum -= Math.abs(x[i]! - w[i]!);
  return sum;
}

/** One window, one filter. */
function oneWindow(length: number): LayerGeometry {
  return { inChannels: length, outChannels: 1, kernel: 1, stride: 1, padding: 0, groups: 1 };
}

function decoded(codes: ArrayLike<number>, { scale, zero }: Grid): number[] {
  return Array.from(codes, (code) => scale * (code - zero));
}

describe('one scale for both operands', () => {
  it('the range is that of the larger operand', () => {
    expect(symmetricGrid({ least: -3, largest: 3 }, 5, 8, false).scale).toBe(Math.fround(5 / 127));
    expect(symmetricGrid({ least: 0, largest: 9 }, 5, 8, false).scale).toBe(Math.fround(9 / 127));
    expect(symmetricGrid({ least: 0, largest: 9 }, 5, 4, false).scale).toBe(Math.fround(9 / 7));
    expect(symmetricGrid({ least: 0, largest: 9 }, 5, 8, true).scale).toBe(2 ** -3);
  });

  it('scales that are powers of two are the next above', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), (scale) => {
        const power = powerOfTwoAbove(scale);
        expect(Number.isInteger(Math.log2(power))).toBe(true);
        expect(power).toBeGreaterThanOrEqual(scale);
        expect(power / 2).toBeLessThan(scale);
      }),
    );
  });

  it('with a power of two the integers are the floats on the grid, to the bit', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(8, 6, 4),
        fc.integer({ min: 1, max: 40 }).chain((d) => fc.tuple(numbers(-4, 4, d), numbers(-9, 9, d))),
        (bits, [x, w]) => {
          const grid = symmetricGrid({ least: -4, largest: 4 }, 9, bits, true);
          const input = { codes: codesOf(x, grid), batch: 1, height: 1, width: 1 };
          const [sum] = integerDistances(input, sharedCodes(w, grid), oneWindow(x.length), grid);
          const onGrid = distance(decoded(codesOf(x, grid), grid), decoded(sharedCodes(w, grid), grid));
          expect(sum! * grid.scale).toBe(onGrid === 0 ? sum! * grid.scale : onGrid);
        },
      ),
    );
  });

  it('is off by at most one step per term: |error| <= D s', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(8, 6, 4),
        fc.integer({ min: 1, max: 40 }).chain((d) => fc.tuple(numbers(-4, 4, d), numbers(-9, 9, d))),
        (bits, [x, w]) => {
          const grid = symmetricGrid({ least: -4, largest: 4 }, 9, bits, false);
          const input = { codes: codesOf(x, grid), batch: 1, height: 1, width: 1 };
          const [sum] = integerDistances(input, sharedCodes(w, grid), oneWindow(x.length), grid);
          expect(Math.abs(sum! * grid.scale - distance(x, w))).toBeLessThanOrEqual(
            x.length * grid.scale * (1 + 1e-5),
          );
        },
      ),
    );
  });

  it('an accumulator of 9 + ceil(log2 D) bits holds the widest sum of bytes, one less does not', () => {
    expect(distanceAccumulatorBits(8, 1)).toBe(9);
    expect(distanceAccumulatorBits(8, 576)).toBe(19);
    const grid = symmetricGrid({ least: -128, largest: 127 }, 0, 8, false);
    for (const terms of [1, 2, 3, 64, 65]) {
      const input = { codes: new Int32Array(terms).fill(-128), batch: 1, height: 1, width: 1 };
      const weights = new Int8Array(terms).fill(127);
      // -128 - 127 = -255 needs 9 bits, and wraps in 8.
      const [sum] = integerDistances(input, weights, oneWindow(terms), grid);
      expect(sum).toBe(-255 * terms);
      const bits = distanceAccumulatorBits(8, terms);
      expect(sum).toBeGreaterThanOrEqual(-(2 ** (bits - 1)));
    }
    expect(-255 * 64).toBeLessThan(-(2 ** (distanceAccumulatorBits(8, 64) - 2)));
  });

  it('two scales have no common factor: no sum of integer distances orders these as the distances are', () => {
    // x = 3 and 1 against w = 3: the true distances are 0 and 2. With s_x = 1 and s_w = 1.5 the codes of x are 3 and 1,
    // that of w is 2, and both integer distances are 1.
    const [sx, sw] = [1, 1.5];
    const integers = [3, 1].map((x) => Math.abs(Math.round(x / sx) - Math.round(3 / sw)));
    expect(integers).toEqual([1, 1]);
    expect([3, 1].map((x) => Math.abs(x - 3))).toEqual([0, 2]);
    // With one scale they are in order at any width that tells the values apart.
    const grid = symmetricGrid({ least: -3, largest: 3 }, 3, 4, false);
    const codes = [3, 1].map((x) => Math.abs(codeOf(x, grid) - codeOf(3, grid)));
    expect(codes[0]).toBe(0);
    expect(codes[1]! * grid.scale).toBeCloseTo(2, 0);
  });

  it('no option and no type leads to two scales', () => {
    for (const modifier of ['scale2', 'group8', 'xscale', 'weightscale', 'scales2', 'perchannel'])
      expect(() => parseMethod(`add.int8+${modifier}`)).toThrow(/does not go with|unknown modifier/);
    // Exactly one grid per group of filters, and it is a grid of both operands.
    expectTypeOf<DistancesRecord['groups'][number]['grid']>().toEqualTypeOf<SharedGrid>();
    expectTypeOf<DistancesRecord>().not.toHaveProperty('scales');
    expectTypeOf<DistancesRecord>().not.toHaveProperty('activation');
    const own = signedGrid(0.5, 8);
    const input = { codes: new Int32Array(1), batch: 1, height: 1, width: 1 };
    // @ts-expect-error a grid of one operand is none of both
    integerDistances(input, new Int8Array(1), oneWindow(1), own);
    // @ts-expect-error neither are weights coded by it
    sharedCodes([1], own);
    expectTypeOf(integerDistances).parameters.toHaveProperty('length').toEqualTypeOf<4>();
  });
});

describe('the lossless clamp', () => {
  it('is exact for inputs of the range, padding zeros included, on either side', () => {
    fc.assert(
      fc.property(
        fc.constantFrom([0, 4] as const, [-2, 4] as const, [-3, 0] as const),
        fc.integer({ min: 1, max: 30 }).chain((d) => fc.tuple(numbers(0, 1, d), numbers(-20, 20, d))),
        ([low, high], [shares, w]) => {
          // Every third input is a zero of the padding.
          const x = shares.map((share, i) => (i % 3 === 0 ? 0 : low + share * (high - low)));
          const { weights, bias } = clampWeights(w, 1, { low, high });
          for (const weight of weights) expect(weight >= low && weight <= high).toBe(true);
          expect(distance(x, weights) + bias[0]!).toBeCloseTo(distance(x, w), 9);
        },
      ),
    );
  });

  it('behind a ReLU every negative weight becomes zero and a bias', () => {
    const { weights, bias } = clampWeights([-3, 1, 7, -0.5], 2, { low: 0, high: 4 });
    expect([...weights]).toEqual([0, 1, 4, 0]);
    expect([...bias]).toEqual([-6, -0.5]);
  });

  it('needs zero in the range where padding is read: without it the sum is off', () => {
    const { weights, bias } = clampWeights([5], 1, { low: 1, high: 4 });
    expect(distance([0], weights) + bias[0]!).toBe(distance([0], [5]));
    const below = clampWeights([0.5], 1, { low: 1, high: 4 });
    expect(distance([0], below.weights) + below.bias[0]!).not.toBe(distance([0], [0.5]));
    // So a grid always begins at zero or below.
    expect(sharedRange(clampedGrid({ least: 0, largest: 6 }, 4, false)).low).toBe(0);
    expect(sharedRange(clampedGrid({ least: -1, largest: 6 }, 4, false)).low).toBeLessThanOrEqual(-1);
  });

  it('its grid covers the inputs with all its codes', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 5, noNaN: true }),
        fc.double({ min: 0.01, max: 9, noNaN: true }),
        fc.constantFrom(8, 4),
        fc.boolean(),
        (below, above, bits, powerOfTwo) => {
          const range = { least: -below, largest: Math.max(below, above) };
          const grid = clampedGrid(range, bits, powerOfTwo);
          const { low, high } = sharedRange(grid);
          expect(low).toBeLessThanOrEqual(-below + grid.scale);
          expect(high).toBeGreaterThanOrEqual(range.largest - grid.scale * 1.0001);
          expect(codeOf(0, grid)).toBe(grid.zero);
        },
      ),
    );
  });
});

describe('groups of filters', () => {
  const filters = 6;
  const random = Random.stream('groups');
  const weights = Float32Array.from(
    { length: 18 * filters },
    (_, i) => (1 + (i % filters)) * random.normal(),
  );
  const layer = {
    name: 'l',
    weights,
    geometry: { inChannels: 2, outChannels: filters, kernel: 3, stride: 1, padding: 1, groups: 1 },
  };
  const range = { least: 0, largest: 0.5, percentile: () => 0.5 };
  const convert = (name: string): DistancesRecord => {
    const record = convertLayer(layer, parseMethod(name) as DistancesMethod, () => ({ range }));
    if (record.kind !== RecordKind.Distances) throw new Error('another kind');
    return record;
  };
  const largestOf = (filter: number): number =>
    Math.max(...weights.filter((_, i) => i % filters === filter).map(Math.abs));

  it('are disjoint, cover the filters, and part them by their largest weights', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), (count) => {
        const groups = groupFilters(weights, filters, count);
        expect(groups).toHaveLength(Math.min(count, filters));
        expect(groups.flat().sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
        groups.slice(1).forEach((group, i) => {
          expect(Math.min(...group.map(largestOf))).toBeGreaterThanOrEqual(
            Math.max(...groups[i]!.map(largestOf)),
          );
        });
      }),
    );
  });

  it('as many as filters give every filter its own scale', () => {
    for (const name of ['add.int4+groups6', 'add.int4+groups99', 'add.int4+groupsall']) {
      const grids = gridOfFilter(convert(name));
      for (let f = 0; f < filters; f++)
        expect(grids[f]!.scale).toBe(Math.fround(Math.max(0.5, largestOf(f)) / 7));
    }
  });

  it('bring every weight within half a step of its own group', () => {
    const record = convert('add.int4+groups3');
    const grids = gridOfFilter(record);
    storedWeights(record).forEach((value, i) =>
      expect(Math.abs(value - weights[i]!)).toBeLessThanOrEqual(0.501 * grids[i % filters]!.scale),
    );
  });
});
