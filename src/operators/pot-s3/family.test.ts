import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { normals } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { deviationOf } from '../statistics.js';
import { differences, effectiveOne, histogram, planesOf, slopesOfOne, tuples } from '../stored.cases.js';
import { potS3 } from './family.js';

describe('pot.s3', () => {
  it('knows seven values: zero with eight patterns of sixteen, +-1 with two each, +-2 and +-4 with one', () => {
    const counts = histogram(potS3.effectiveWeights(planesOf(tuples([-0.2, 0.2], 4))));
    expect([...counts]).toEqual([
      [-4, 1],
      [-2, 1],
      [-1, 2],
      [0, 8],
      [1, 2],
      [2, 1],
      [4, 1],
    ]);
    expect(Math.ceil(Math.log2(counts.size))).toBe(potS3.operandBits.weight);
  });

  it('takes zeros as +1 for the sign and as 0 for the rest', () => {
    expect(effectiveOne(potS3, 0, 1, 0, 0)).toBe(1);
    expect(effectiveOne(potS3, 0, 0, 1, 1)).toBe(0);
    expect(effectiveOne(potS3, -1, 0, 1, 1)).toBe(0);
    expect(effectiveOne(potS3, -1, 1, 0, 1)).toBe(-1);
  });

  it('sends back the derivative of s v 2^(t1 (t2 + 1)), the bits taken as they are', () => {
    const continuous = (...[s, v, t1, t2]: readonly number[]): number => s! * v! * 2 ** (t1! * (t2! + 1));
    for (const [s, ...bits] of tuples([-1, 1], 4)) {
      const expected = differences(continuous, s!, ...bits.map((t) => Math.max(t, 0)));
      slopesOfOne(potS3, 0.3 * s!, ...bits).forEach((slope, i) => expect(slope).toBeCloseTo(expected[i]!, 6));
    }
  });

  it('starts at low variance, with half of the weights zero', () => {
    const geometry = { inChannels: 32, outChannels: 64, kernel: 3, stride: 1, padding: 1, groups: 1 };
    const stored = potS3.initialWeights(geometry, Random.stream('s3'));
    expect(deviationOf(stored) / 1e-3).toBeCloseTo(1, 1);
    const weights = potS3.effectiveWeights(stored);
    const counts = histogram(weights.map(Math.abs));
    for (const [level, share] of [
      [0, 1 / 2],
      [1, 1 / 4],
      [2, 1 / 8],
      [4, 1 / 8],
    ] as const) {
      const spread = Math.sqrt(weights.length * share * (1 - share));
      expect(Math.abs(counts.get(level)! - weights.length * share)).toBeLessThan(5 * spread);
    }
  });

  it('draws sparsity values below zero up by 1e-5, whatever the weight decay, and nothing else', () => {
    const stored = normals(40, 's3 penalty');
    for (const weightDecay of [0, 0.1]) {
      const gradient = new Float32Array(40);
      potS3.penalty!(stored, weightDecay, gradient);
      expect(gradient).toEqual(
        stored.map((value, i) => (i >= 10 && i < 20 && value < 0 ? -Math.fround(1e-5) : 0)),
      );
    }
  });

  it('rounds a shared tensor to 0, 1, 2, 4 in units of half its deviation', () => {
    const values = normals(4000, 's3 shared').map((v) => 0.2 * v);
    const shared = Tensor.persistent([1, 1, 40, 100], values);
    const stored = tidy(() => potS3.sharing.apply(shared, []));
    const unit = deviationOf(values) / 2;
    potS3.effectiveWeights(stored.data).forEach((weight, i) => {
      const magnitude = Math.abs(values[i]!) / unit;
      const level = magnitude < 0.5 ? 0 : 2 ** Math.min(2, Math.max(0, Math.round(Math.log2(magnitude))));
      expect(Math.abs(weight)).toBe(level);
      if (level > 0) expect(Math.sign(weight)).toBe(Math.sign(values[i]!));
    });
    for (const tensor of [shared, stored]) tensor.dispose();
  });
});
