/**
 * @file Cases for the power-of-two rounding of shift layers: the set of values, the boundaries to the last bit.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Device, expectEqual, forAll, type Numbers, withBuffers } from './support.cases.js';

const floatsBelow = (limit: number): fc.Arbitrary<number> =>
  fc.float({ min: -limit, max: limit, noDefaultInfinity: true, noNaN: true });

export function describePowerOfTwo(device: Device): void {
  const round = (weights: Numbers, minExponent = -15, maxExponent = 0): Float32Array =>
    withBuffers(device, (buffers) => {
      const q = buffers.output(weights.length);
      device.kernels.powerOfTwo(minExponent, maxExponent, buffers.input(weights), q);
      return q;
    });

  describe('powers of two', () => {
    it('five bits give 32 values: both signs of 2^-15 to 2^0', () => {
      const weights: number[] = [];
      for (let exponent = -20; exponent <= 4; exponent += 0.01) {
        weights.push(2 ** exponent, -(2 ** exponent));
      }
      const values = [...new Set(round(weights))].sort((a, b) => a - b);
      const powers = Array.from({ length: 16 }, (_, k) => 2 ** (k - 15));
      expect(values).toEqual([...powers.map((power) => -power).reverse(), ...powers]);
    });

    it('rounds the logarithm and clamps it, for any range of exponents', () => {
      const ranges = fc.tuple(fc.integer({ min: -126, max: 127 }), fc.integer({ min: -126, max: 127 }));
      const weights = fc.array(fc.oneof(floatsBelow(2), floatsBelow(Math.fround(3e38))), {
        minLength: 1,
        maxLength: 70,
      });
      forAll(
        fc.tuple(ranges, weights),
        ([range, drawn]) => {
          const [low, high] = [Math.min(...range), Math.max(...range)];
          // Boundaries and zero have cases of their own; here the logarithm need not be trusted to the last bit.
          const clear = drawn.filter((w) => Math.abs((Math.log2(Math.abs(w)) % 1) ** 2 - 0.25) > 1e-5);
          const expected = clear.map((w) => {
            const exponent = Math.round(Math.log2(Math.abs(w)));
            return Math.sign(w) * 2 ** Math.min(high, Math.max(low, exponent));
          });
          expectEqual('q', round(clear, low, high), expected);
        },
        200,
      );
    });

    it('the boundary is sqrt(2) 2^k, to the last bit', () => {
      const bits = new Uint32Array(Float32Array.of(Math.SQRT2).buffer)[0]!;
      const [below, above] = new Float32Array(Uint32Array.of(bits, bits + 1).buffer);
      expect(below! < Math.SQRT2 && above! > Math.SQRT2).toBe(true);
      for (let k = -126; k < 127; k++) {
        const power = 2 ** k;
        const weights = [power, below! * power, above! * power, -below! * power, -above! * power];
        const expected = [power, power, 2 * power, -power, -2 * power];
        expectEqual(`q next to sqrt(2) 2^${k}`, round(weights, -126, 127), expected);
      }
    });

    it('rounding twice is rounding once, and the relative error is at most sqrt(2) - 1', () => {
      forAll(fc.array(floatsBelow(1), { minLength: 1, maxLength: 100 }), (drawn) => {
        const once = round(drawn);
        expectEqual('q of q', round(once), once);
        once.forEach((q, at) => {
          const w = Math.fround(drawn[at]!);
          const representable = Math.abs(w) >= 2 ** -15;
          if (representable) expect(Math.abs(q / w - 1)).toBeLessThanOrEqual(Math.SQRT2 - 1 + 1e-7);
        });
      });
    });

    it('signs are kept, zeros stay zero, the smallest floats clamp, infinity clamps, NaN stays', () => {
      const smallest = 2 ** -149;
      const weights = [0, -0, 1, -1, smallest, -smallest, 3e38, -3e38, Infinity, -Infinity, NaN, 0.4];
      const expected = [0, 0, 1, -1, 2 ** -15, -(2 ** -15), 1, -1, 1, -1, NaN, 0.5];
      expectEqual('q', round(weights), expected);
      // Vector bodies and tails alike.
      const many = Array.from({ length: 67 }, (_, at) => weights[at % weights.length]!);
      expectEqual(
        'q',
        round(many),
        many.map((_, at) => expected[at % expected.length]!),
      );
    });
  });
}
