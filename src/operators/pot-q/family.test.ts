import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { normals } from '../../tensor/float64.cases.js';
import { fanIn } from '../initialisation.js';
import { potQ, potQNearest } from './family.js';

const geometry = { inChannels: 16, outChannels: 32, kernel: 3, stride: 1, padding: 1, groups: 1 };
const rounded = (w: number): number => potQ.effectiveWeights(Float32Array.of(w))[0] as number;

describe('pot.q', () => {
  it('knows 32 values, the signed powers 2^-15 to 2^0, and no zero but for an exact zero', () => {
    const weights = Float32Array.from(
      { length: 200_001 },
      (_, i) => Math.sign(i - 1e5) * 2 ** (((i - 1e5) / 1e5) * 20),
    );
    const wide = Float32Array.from(weights, (w, i) => (i % 2 === 0 ? w : w === 0 ? 0 : 1 / w));
    const values = new Set(potQ.effectiveWeights(wide.filter((w) => w !== 0)));
    const powers = Array.from({ length: 16 }, (_, e) => 2 ** -e);
    expect([...values].sort((a, b) => a - b)).toEqual([...powers.map((p) => -p), ...powers.reverse()]);
    expect(rounded(0)).toBe(0);
    expect(Math.log2(values.size)).toBe(potQ.operandBits.weight);
  });

  it('is idempotent, odd and monotone, and errs by at most sqrt(2) - 1 inside its range', () => {
    const inRange = fc.double({ min: 2 ** -15, max: 1, noNaN: true }).map(Math.fround);
    fc.assert(
      fc.property(inRange, inRange, (a, b) => {
        const q = rounded(a);
        expect(rounded(q)).toBe(q);
        expect(rounded(-a)).toBe(-q);
        if (a <= b) expect(q).toBeLessThanOrEqual(rounded(b));
        expect(Math.abs(q - a) / a).toBeLessThanOrEqual(Math.SQRT2 - 1 + 1e-6);
      }),
      { numRuns: 500 },
    );
  });

  it('rounds in the log domain: the border between 2^-1 and 2^0 is at 1 / sqrt(2), not at 3 / 4', () => {
    expect(rounded(0.708)).toBe(1);
    expect(rounded(0.706)).toBe(0.5);
    expect(rounded(-0.75)).toBe(-1);
  });

  it('starts uniform within 1 / sqrt(fan-in)', () => {
    const bound = 1 / Math.sqrt(fanIn(geometry));
    const weights = potQ.initialWeights(geometry, Random.stream('pot.q'));
    expect(Math.max(...weights.map(Math.abs))).toBeLessThanOrEqual(Math.fround(bound));
    const quarters = [0, 0, 0, 0];
    for (const w of weights) quarters[Math.min(3, Math.floor((w / bound + 1) * 2))]!++;
    for (const count of quarters)
      expect(Math.abs(count - weights.length / 4)).toBeLessThan(5 * Math.sqrt((weights.length * 3) / 16));
  });

  it('projects into [2^-15, 1], keeping signs and exact zeros', () => {
    const weights = Float32Array.of(3, -3, 1e-7, -1e-7, 0, 0.3, -0.3, 2 ** -15);
    potQ.project?.(weights);
    expect([...weights]).toEqual([
      1,
      -1,
      2 ** -15,
      -(2 ** -15),
      0,
      Math.fround(0.3),
      Math.fround(-0.3),
      2 ** -15,
    ]);
  });
});

describe('pot.q.nearest', () => {
  it('has its borders at 1.5 2^k, half way between the values, and errs by at most a third', () => {
    const just = (value: number, by: number): number => Math.fround(value * (1 + by * 2 ** -23));
    for (const k of [-14, -7, -2, -1]) {
      const border = 1.5 * 2 ** k;
      const rounded = potQNearest.effectiveWeights(
        Float32Array.of(just(border, -2), border, -just(border, -2)),
      );
      expect([...rounded]).toEqual([2 ** k, 2 ** (k + 1), -(2 ** k)]);
    }
    const inRange = normals(4000, 'nearest').map((w) => Math.sign(w) * 2 ** -Math.min(14, Math.abs(4 * w)));
    const powers = potQNearest.effectiveWeights(inRange);
    powers.forEach((power, i) => {
      expect(Math.abs(power / inRange[i]! - 1)).toBeLessThanOrEqual(1 / 3 + 1e-6);
    });
    expect(potQNearest.effectiveWeights(powers)).toEqual(powers);
  });

  it('rounds otherwise than pot.q between sqrt(2) and 1.5 times a power, and there alone', () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => 0.25 + (0.25 * i) / 1000);
    const [nearest, logarithm] = [potQNearest, potQ].map((family) => family.effectiveWeights(values)) as [
      Float32Array,
      Float32Array,
    ];
    values.forEach((value, i) => {
      const between = value > 0.25 * Math.SQRT2 && value < 0.375;
      expect(nearest[i] !== logarithm[i], `${value}`).toBe(between);
    });
  });
});
