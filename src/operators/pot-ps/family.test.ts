import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { differences, effectiveOne, histogram, slopesOfOne } from '../stored.cases.js';
import { potQ } from '../pot-q/family.js';
import type { OperatorFamily } from '../contract.js';
import { potPs, potPsCompat } from './family.js';

const rounded = (p: number, s: number): number => effectiveOne(potPs, p, s);
const geometry = { inChannels: 16, outChannels: 32, kernel: 3, stride: 1, padding: 1, groups: 1 };

describe('pot.ps', () => {
  it('knows 31 values: zero and the signed powers 2^-14 to 2^0', () => {
    const exponents = Array.from({ length: 401 }, (_, i) => -18 + i / 20);
    const stored = exponents.flatMap((p) => [-1.7, -1, -0.6, -0.4, 0, 0.4, 0.6, 1, 2].map((s) => [p, s]));
    const values = [...histogram(stored.map(([p, s]) => rounded(p!, s!))).keys()];
    const powers = Array.from({ length: 15 }, (_, e) => 2 ** -e);
    expect(values).toEqual([...powers.map((p) => -p), 0, ...powers.reverse()]);
    expect(Math.ceil(Math.log2(values.length))).toBe(potPs.operandBits.weight);
  });

  it('rounds halves to even, and has a dead zone of half around the sign', () => {
    expect([-0.5, -1.5, -2.5, -3.5].map((p) => rounded(p, 1))).toEqual([1, 0.25, 0.25, 0.0625]);
    expect([-0.51, -0.5, -0, 0, 0.5, 0.51].map((s) => rounded(-1, s))).toEqual([-0.5, 0, 0, 0, 0, 0.5]);
  });

  it('rounds what a shared value gives in the log domain, as pot.q does, and is idempotent', () => {
    const shared = (value: number): number => {
      const at = Tensor.persistent([1, 1, 1, 1], [value]);
      const stored = tidy(() => potPs.sharing.apply(at, []));
      const [weight] = potPs.effectiveWeights(stored.data);
      for (const tensor of [at, stored]) tensor.dispose();
      return weight!;
    };
    fc.assert(
      fc.property(fc.float({ min: -2, max: 2, noNaN: true }), (value) => {
        const q = shared(value);
        expect(shared(q)).toBe(q);
        const border = Math.abs(Math.log2(Math.abs(value)) % 1);
        if (Math.abs(value) >= 2 ** -14 && Math.abs(border - 0.5) > 1e-5)
          expect(q).toBe(effectiveOne(potQ, value));
      }),
      { numRuns: 500 },
    );
    expect(shared(0)).toBe(0);
  });

  it('has the derivative of sign 2^P by P at whole exponents, and 1 by s whatever the power', () => {
    for (const sign of [-1, 1])
      for (let p = -14; p <= 0; p++) {
        const [expected] = differences((exponent) => sign * 2 ** exponent!, p);
        const [dp, ds] = slopesOfOne(potPs, p + 0.3, sign);
        expect(dp! / expected!).toBeCloseTo(1, 5);
        expect(ds).toBe(1);
      }
    expect(slopesOfOne(potPs, -3, 0.2)).toEqual([0, 1]);
  });

  it('starts with half of the weights at zero and the exponents between -10 and -1', () => {
    const stored = potPs.initialWeights(geometry, Random.stream('pot.ps'));
    const count = stored.length / 2;
    expect(Math.min(...stored.subarray(0, count))).toBeGreaterThanOrEqual(-10);
    expect(Math.max(...stored.subarray(0, count))).toBeLessThanOrEqual(-1);
    const zeros = histogram(potPs.effectiveWeights(stored)).get(0)!;
    expect(Math.abs(zeros - count / 2)).toBeLessThan(5 * Math.sqrt(count / 4));
  });

  it('projects exponents into [-14, 0] and leaves signs alone: none is rounded in place', () => {
    const stored = Float32Array.of(-20, -14, -3.3, 0, 2, 0.2, -0.2, 1.7, -5, 0.6);
    potPs.project!(stored);
    expect([...stored]).toEqual([...Float32Array.of(-14, -14, -3.3, 0, 0, 0.2, -0.2, 1.7, -5, 0.6)]);
  });

  it('decays weights and not exponents: the penalty is the gradient of decay / 2 sum w^2', () => {
    expect(potPs.decay).toBe(false);
    const stored = normals(40, 'penalty').map((v, i) => (i < 20 ? -4 + 2 * v : v));
    const before = normals(40, 'before');
    const gradient = before.slice();
    potPs.penalty!(stored, 0.01, gradient);
    const w = potPs.effectiveWeights(stored);
    const expected = before.map((g, i) => g + 0.01 * w[i % 20]! * (i < 20 ? w[i]! * Math.LN2 : 1));
    expect(relativeError(gradient, expected)).toBeLessThan(1e-6);
    potPs.penalty!(stored, 0, gradient);
    expect(relativeError(gradient, expected)).toBeLessThan(1e-6);
  });
});

describe('pot.ps.compat', () => {
  const geometry = { inChannels: 16, outChannels: 16, kernel: 3, stride: 1, padding: 1, groups: 1 };

  it('makes signs of a threshold of 0.3, in place, at the start and after every step', () => {
    const stored = potPsCompat.initialWeights(geometry, Random.stream('compat'));
    const signs = stored.slice(stored.length / 2);
    expect(new Set(signs)).toEqual(new Set([-1, 0, 1]));
    const zeros = signs.filter((s) => s === 0).length / signs.length;
    expect(Math.abs(zeros - 0.3)).toBeLessThan(5 * Math.sqrt((0.3 * 0.7) / signs.length));
    const moved = Float32Array.of(-3, -3, -3, -3, 0.31, -0.31, 0.29, 0.9);
    potPsCompat.project!(moved);
    expect([...moved.subarray(4)].map((s) => s + 0)).toEqual([1, -1, 0, 1]);
  });

  it('so has its signs frozen where steps are small; those of pot.ps move', () => {
    const flipped = (family: OperatorFamily): number => {
      const stored = family.initialWeights(geometry, Random.stream('frozen signs'));
      const before = family.effectiveWeights(stored).map(Math.sign);
      const drift = stored.length / 2;
      for (let step = 0; step < 300; step++) {
        for (let i = drift; i < stored.length; i++) stored[i] = stored[i]! + (i % 2 === 0 ? 2e-3 : -2e-3);
        family.project!(stored);
      }
      return family.effectiveWeights(stored).filter((w, i) => Math.sign(w) !== before[i]).length;
    };
    expect(flipped(potPsCompat)).toBe(0);
    expect(flipped(potPs)).toBeGreaterThan(500);
  });
});
