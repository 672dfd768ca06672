/**
 * @file The integers of the elements: their range, their operators, the operands they are tried with.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { Primitive } from '../layer.js';
import {
  elementName,
  elementShape,
  elementShapes,
  operandRange,
  shiftCode,
  sumHeadroomBits,
  sumsOf,
  termOf,
  weightBitsOf,
  type ElementShape,
} from './element.js';
import { packedPair, portValues } from './ports.js';
import { cornerPairs, randomPairs } from './vectors.js';

const shapes = elementShapes([2, 4, 8, 16, 32]);
const bits = fc.integer({ min: 2, max: 32 });
const within = (width: number) => {
  const [min, max] = operandRange(width);
  return fc.bigInt({ min, max });
};

/** Least and greatest value of a sum: those of add elements are never negative. */
function sumRange({ primitive, sumBits }: ElementShape): readonly [bigint, bigint] {
  return primitive === Primitive.Add ? [0n, (1n << BigInt(sumBits)) - 1n] : operandRange(sumBits);
}

describe('the term of a pair', () => {
  it('is the product', () => {
    fc.assert(
      fc.property(
        bits.chain((width) => fc.tuple(fc.constant(width), within(width), within(width))),
        ([width, x, w]) => {
          expect(termOf(elementShape(Primitive.Multiply, width), x, w)).toBe(x * w);
        },
      ),
    );
  });

  it('is the distance', () => {
    fc.assert(
      fc.property(
        bits.chain((width) => fc.tuple(fc.constant(width), within(width), within(width))),
        ([width, x, w]) => {
          const term = termOf(elementShape(Primitive.Add, width), x, w);
          expect(term).toBeGreaterThanOrEqual(0n);
          expect([x - w, w - x]).toContain(term);
        },
      ),
    );
  });

  it('is the power of two, with the sign, unless the weight is zero', () => {
    const shape = elementShape(Primitive.Shift, 8, 3);
    expect(termOf(shape, 5n, shiftCode(3, false, false, 0))).toBe(5n);
    expect(termOf(shape, -5n, shiftCode(3, false, false, 7))).toBe(-640n);
    expect(termOf(shape, -5n, shiftCode(3, true, false, 7))).toBe(640n);
    expect(termOf(shape, -128n, shiftCode(3, true, false, 7))).toBe(128n << 7n);
    expect(termOf(shape, -128n, shiftCode(3, true, true, 7))).toBe(0n);
    expect(weightBitsOf(shape)).toBe(5);
  });
});

describe('an accumulator', () => {
  it.each(shapes.map((shape) => [elementName(shape), shape] as const))(
    'of %s holds 2^12 - 1 of any terms',
    (_, shape) => {
      const terms = cornerPairs(shape).map(({ x, w }) => termOf(shape, x, w));
      const [least, greatest] = terms.reduce<[bigint, bigint]>(
        ([low, high], term): [bigint, bigint] => [term < low ? term : low, term > high ? term : high],
        [0n, 0n] as [bigint, bigint],
      );
      const [min, max] = sumRange(shape);
      const headroom = 1n << BigInt(sumHeadroomBits);
      expect(least * (headroom - 1n)).toBeGreaterThanOrEqual(min);
      expect(greatest * (headroom - 1n)).toBeLessThanOrEqual(max);
      // Of twice as many some would not fit.
      expect(greatest * 2n * headroom > max || least * 2n * headroom < min).toBe(true);
      for (const sum of sumsOf(shape, cornerPairs(shape))) expect(sum >= min && sum <= max).toBe(true);
    },
  );

  it('begins anew where it is told to', () => {
    const pair = (first: boolean, x: bigint, w: bigint) => ({ first, x, w });
    const pairs = [pair(true, 3n, 4n), pair(false, 1n, -1n), pair(true, 2n, 2n), pair(false, -2n, 5n)];
    expect(sumsOf(elementShape(Primitive.Multiply, 4), pairs)).toEqual([12n, 11n, 4n, -6n]);
    expect(sumsOf(elementShape(Primitive.Add, 4), pairs)).toEqual([1n, 3n, 0n, 7n]);
  });
});

describe('operands to try with', () => {
  it('are every pair of 4 bits, and follow the seed', () => {
    const shape = elementShape(Primitive.Multiply, 4);
    const seen = new Set(cornerPairs(shape).map(({ x, w }) => `${x},${w}`));
    expect(seen.size).toBe(256);
    const random = (seed: number) => randomPairs(shape, 100, Random.stream(seed));
    expect(random(1)).toEqual(random(1));
    expect(random(1)).not.toEqual(random(2));
    expect(random(1)[0]!.first).toBe(true);
  });

  it.each(shapes.map((shape) => [elementName(shape), shape] as const))(
    'of %s stay in range and in their ports',
    (_, shape) => {
      const [min, max] = operandRange(shape.bits);
      for (const pair of randomPairs(shape, 300, Random.stream('range'))) {
        expect(pair.x >= min && pair.x <= max).toBe(true);
        const ports = portValues(shape, pair);
        expect(BigInt.asIntN(shape.bits, ports['x']!)).toBe(pair.x);
        expect(ports['first']).toBe(BigInt(pair.first));
        if (shape.primitive === Primitive.Shift)
          expect(
            shiftCode(
              shape.exponentBits!,
              ports['negative'] === 1n,
              ports['zero'] === 1n,
              Number(ports['exponent']),
            ),
          ).toBe(pair.w);
        else expect(BigInt.asIntN(shape.bits, ports['w']!)).toBe(pair.w);
        expect(packedPair(shape, pair)).toBeLessThan(1n << BigInt(1 + shape.bits + weightBitsOf(shape)));
      }
    },
  );

  it('are refused for widths that no element has', () => {
    expect(() => elementShape(Primitive.Add, 33)).toThrow('elements have 2 to 32 bits, not 33');
    expect(() => elementShape(Primitive.Add, 1)).toThrow(RangeError);
    expect(() => elementShape(Primitive.Shift, 8, 5)).toThrow('exponents have 1 to 4 bits, not 5');
  });
});
