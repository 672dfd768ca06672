/**
 * @file The area that a budget limits: closed forms, whole elements, and what it does not depend on.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  arithmeticPrimitives,
  Primitive,
  type ArithmeticPrimitive,
  type LayerDescription,
} from '../layer.js';
import { loadProfile } from '../profile.js';
import { arrayArea, proportionalCounts } from './array-area.js';
import { elementAreaUm2, loadGateProfile, smallestElement } from './profile.js';

const gates = loadGateProfile();
const int8 = loadProfile('fair-int8');
const elements = 168;

const layer = (primitive: Primitive, channels: number, size = 8): LayerDescription => ({
  name: `${primitive} ${channels}`,
  primitive,
  fullyConnected: false,
  batch: 1,
  inHeight: size,
  inWidth: size,
  inChannels: channels,
  kernel: 3,
  outHeight: size,
  outWidth: size,
  outChannels: channels,
  stride: 1,
  groups: 1,
  operandBits: { weight: primitive === Primitive.Shift ? 5 : 32, activation: 32, partialSum: 32 },
});
const um2 = (primitive: ArithmeticPrimitive, bits: number): number =>
  elementAreaUm2(gates, smallestElement(gates, primitive, bits, primitive === Primitive.Shift ? 5 : bits));

describe('the area of an array', () => {
  it('of one kind is that of all its elements', () => {
    for (const primitive of arithmeticPrimitives)
      expect(arrayArea([layer(primitive, 16), layer(primitive, 8)], int8).areaMm2).toBeCloseTo(
        (elements * um2(primitive, 8)) / 1e6,
        12,
      );
    expect(arrayArea([layer(Primitive.Add, 16)], loadProfile('fair')).areaMm2).toBeCloseTo(
      (elements * um2(Primitive.Add, 32)) / 1e6,
      12,
    );
  });

  it('is divided in proportion to the operations', () => {
    // 16^2 and 16^2 + 16^2 channel pairs: a third and two thirds.
    const { parts, areaMm2 } = arrayArea(
      [layer(Primitive.Multiply, 16), layer(Primitive.Add, 16), layer(Primitive.Add, 16)],
      int8,
    );
    expect(parts.map((part) => part.elements)).toEqual([56, 112]);
    expect(areaMm2).toBeCloseTo((56 * um2(Primitive.Multiply, 8) + 112 * um2(Primitive.Add, 8)) / 1e6, 12);
  });

  it('does not depend on the size of the network, and grows with every multiplication in it', () => {
    const mixed = (size: number) => [layer(Primitive.Multiply, 16, size), layer(Primitive.Shift, 16, size)];
    expect(arrayArea(mixed(4), int8)).toMatchObject({ areaMm2: arrayArea(mixed(16), int8).areaMm2 });
    const areas = [0, 1, 2, 3, 4].map(
      (multiplying) =>
        arrayArea(
          [0, 1, 2, 3].map((i) => layer(i < multiplying ? Primitive.Multiply : Primitive.Add, 8)),
          int8,
        ).areaMm2,
    );
    expect(areas).toEqual([...areas].sort((a, b) => a - b));
    expect(new Set(areas).size).toBe(5);
  });

  it('takes the widest operands of a kind, and follows the gate profile that it is given', () => {
    const narrow = { weight: 4, activation: 4, partialSum: 32 };
    const own = [{ ...layer(Primitive.Add, 8), operandBits: narrow }];
    expect(arrayArea(own, int8).parts[0]!.element.bits).toBe(4);
    expect(arrayArea([...own, layer(Primitive.Add, 8)], int8).parts[0]!.element.bits).toBe(8);
    const doubled = {
      ...gates,
      nand2AreaUm2: { ...gates.nand2AreaUm2, value: 2 * gates.nand2AreaUm2.value },
    };
    expect(arrayArea(own, int8, doubled).areaMm2).toBeCloseTo(2 * arrayArea(own, int8).areaMm2, 12);
  });
});

describe('whole numbers in proportion', () => {
  it('add up to the total, are at least 1, and miss the exact share by less than 1 where no one is forced', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1e9 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 3, max: 5000 }),
        (weights, total) => {
          const counts = proportionalCounts(weights, total);
          expect(counts.reduce((sum, count) => sum + count, 0)).toBe(total);
          const sum = weights.reduce((all, weight) => all + weight, 0);
          const exact = weights.map((weight) => (weight / sum) * total);
          const forced = exact.some((share) => share < 1);
          counts.forEach((count, i) => {
            expect(count).toBeGreaterThanOrEqual(1);
            if (!forced) expect(Math.abs(count - exact[i]!)).toBeLessThan(1 + 1e-9);
          });
        },
      ),
    );
  });

  it('are never fewer than one each', () => {
    expect(proportionalCounts([1, 1, 1], 2)).toEqual([1, 1, 1]);
    expect(proportionalCounts([1e9, 1], 4)).toEqual([3, 1]);
  });
});
