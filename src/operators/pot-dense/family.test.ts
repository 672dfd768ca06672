import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { normals } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { OperatorFamily } from '../contract.js';
import { differences, effectiveOne, histogram, planesOf, slopesOfOne, tuples } from '../stored.cases.js';
import { deviationOf } from '../statistics.js';
import { potDense, potDense2, potDense4 } from './family.js';

const geometry = { inChannels: 32, outChannels: 64, kernel: 3, stride: 1, padding: 1, groups: 1 };
const widths: readonly (readonly [number, OperatorFamily])[] = [
  [2, potDense2],
  [3, potDense],
  [4, potDense4],
];

describe.each(widths)('DenseShift of %d bits', (bits, family) => {
  const largest = 2 ** (bits - 1) - 1;
  const levels = Array.from({ length: largest + 1 }, (_, p) => 2 ** p);

  it('knows the 2^n values +-2^P and no zero; P comes as often as the recursion says', () => {
    const patterns = tuples([-0.3, 0.3], largest);
    const signed = [-1, 1].flatMap((sign) => patterns.map((pattern) => [sign, ...pattern]));
    const counts = histogram(family.effectiveWeights(planesOf(signed)));
    expect([...counts.keys()]).toEqual([...levels.map((v) => -v).reverse(), ...levels]);
    expect(Math.log2(counts.size)).toBe(family.operandBits.weight);
    // P = p takes the last p bits set and the one before them clear; P = T all of them.
    levels.forEach((level, p) => expect(counts.get(level)).toBe(2 ** Math.max(0, largest - p - 1)));
  });

  it('takes zeros as +1 for the sign and as 0 for the bits, and is odd in the sign', () => {
    const none = new Array<number>(largest).fill(0);
    expect([0, -0].map((s) => effectiveOne(family, s, ...none))).toEqual([1, 1]);
    for (const pattern of tuples([-1, 0, 1], Math.min(largest, 3))) {
      const padded = [...none.slice(pattern.length), ...pattern];
      expect(effectiveOne(family, -2, ...padded)).toBe(-effectiveOne(family, 2, ...padded));
    }
  });

  it('sends back the derivative of s sqrt(S + 1), the bits taken as they are', () => {
    const surrogate = (...[s, ...t]: readonly number[]): number =>
      s! * Math.sqrt(t.reduce((before, bit) => bit * (before + 1), 0) + 1);
    for (const [s, ...pattern] of tuples([-1, 1], 1 + largest)) {
      const expected = differences(surrogate, s!, ...pattern.map((t) => Math.max(t, 0)));
      slopesOfOne(family, 0.4 * s!, ...pattern).forEach((slope, i) =>
        expect(slope).toBeCloseTo(expected[i]!, 6),
      );
    }
  });

  it('starts at low variance: 2^-(P+1) of the weights have exponent P, half of them each sign', () => {
    const stored = family.initialWeights(geometry, Random.stream('dense', bits));
    expect(deviationOf(stored) / 1e-3).toBeCloseTo(1, 1);
    const weights = family.effectiveWeights(stored);
    const counts = histogram(weights.map(Math.abs));
    levels.forEach((level, p) => {
      const share = 2 ** -Math.min(p + 1, largest);
      const spread = Math.sqrt(weights.length * share * (1 - share));
      expect(Math.abs((counts.get(level) ?? 0) - weights.length * share)).toBeLessThan(5 * spread);
    });
    const positive = weights.filter((w) => w > 0).length;
    expect(Math.abs(positive - weights.length / 2)).toBeLessThan(5 * Math.sqrt(weights.length / 4));
  });

  it('rounds a shared tensor to its levels on the logarithmic scale, the largest at two deviations', () => {
    const values = normals(4000, 'dense shared').map((v) => 0.03 * v);
    const shared = Tensor.persistent([1, 1, 40, 100], values);
    const stored = tidy(() => family.sharing.apply(shared, []));
    const unit = (2 * deviationOf(values)) / 2 ** largest;
    family.effectiveWeights(stored.data).forEach((weight, i) => {
      const exponent = Math.round(Math.log2(Math.abs(values[i]!) / unit));
      expect(weight).toBe(Math.sign(values[i]!) * 2 ** Math.min(largest, Math.max(0, exponent)));
    });
    for (const tensor of [shared, stored]) tensor.dispose();
  });

  it('finds shared values for weights that were trained alone, up to their common scale', () => {
    const stored = family.initialWeights(geometry, Random.stream('alone', bits));
    const weights = family.effectiveWeights(stored);
    const shared = family.sharing.invert(stored, [], 1);
    const unit = 2 ** (1 - largest);
    const off = [...shared].filter(
      (value, i) =>
        Math.abs(Math.log2(value / (unit * weights[i]!))) > 0.5 + 1e-6 && Math.abs(weights[i]!) > 1,
    );
    expect(off).toEqual([]);
    expect([...shared].every((value, i) => Math.sign(value) === Math.sign(weights[i]!))).toBe(true);
  });
});

describe('pot.dense', () => {
  it('follows the truth table of S_3 in t_1, t_2, t_3', () => {
    const table = tuples([0, 1], 3).map((t) => Math.log2(effectiveOne(potDense, 1, ...t)));
    //                     000 001 010 011 100 101 110 111
    expect(table).toEqual([0, 1, 0, 2, 0, 1, 0, 3]);
  });

  it('multiplies by adding to the exponent field, but for zeros, denormals and overflow', () => {
    const random = Random.stream('bits');
    const words = new Int32Array(1_000_000).map(() => random.integer(2 ** 32) | 0);
    const floats = new Float32Array(words.buffer);
    const product = new Float32Array(1);
    const bitsOfProduct = new Int32Array(product.buffer);
    let [tried, wrong, special] = [0, 0, 0];
    for (let i = 0; i < words.length; i++) {
      const p = i % 4;
      const field = (words[i]! >>> 23) & 255;
      product[0] = floats[i]! * effectiveOne4[p]!;
      const same = bitsOfProduct[0] === ((words[i]! + (p << 23)) | 0);
      if (field === 0 || field + p >= 255) special += same ? 0 : 1;
      else {
        tried++;
        wrong += same ? 0 : 1;
      }
    }
    expect(tried).toBeGreaterThan(900_000);
    expect(wrong).toBe(0);
    expect(special).toBeGreaterThan(0);
  });
});

/** 1, 2, 4, 8 as the family computes them. */
const effectiveOne4 = [
  [0, 0, 0],
  [0, 0, 1],
  [0, 1, 1],
  [1, 1, 1],
].map((t) => effectiveOne(potDense, 1, ...t));
