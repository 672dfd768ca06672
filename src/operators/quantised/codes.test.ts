import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inputCodes, signedCodes, startingStep, unsignedCodes } from './codes.js';
import { roundInto } from './step.js';

const widths = Array.from({ length: 15 }, (_, i) => i + 2);

/** E (v - rounded v)^2 of normal values by a sum over a fine grid, the positive half alone where codes have no sign. */
function expectedError(step: number, codes: ReturnType<typeof signedCodes>): number {
  const [points, reach] = [40_001, 8];
  const values = Float32Array.from(
    { length: points },
    (_, i) => ((codes.least < 0 ? 2 * i - points + 1 : i) / points) * reach,
  );
  const on = new Float32Array(points);
  roundInto(values, step, codes, on);
  let [sum, mass] = [0, 0];
  values.forEach((v, i) => {
    const density = Math.exp(-0.5 * v * v);
    sum += density * (v - on[i]!) ** 2;
    mass += density;
  });
  return sum / mass;
}

describe('codes', () => {
  it('are as many as the bits can tell apart, zero among them', () => {
    for (const bits of widths) {
      for (const { least, most } of [signedCodes(bits), unsignedCodes(bits)])
        expect([most - least + 1, least <= 0]).toEqual([2 ** bits, true]);
      expect(inputCodes(bits, true)).toEqual(unsignedCodes(bits));
      expect(inputCodes(bits, false)).toEqual(signedCodes(bits));
    }
  });
});

describe('rounding', () => {
  const numbers = fc.float32Array({ noNaN: true, min: -1e6, max: 1e6, minLength: 1 });
  const steps = fc.double({ min: 1e-4, max: 10, noNaN: true }).map(Math.fround);

  it('gives whole numbers of steps in the range, the nearest there is, and keeps them', () => {
    fc.assert(
      fc.property(numbers, steps, fc.constantFrom(...widths), fc.boolean(), (x, step, bits, sign) => {
        const codes = sign ? signedCodes(bits) : unsignedCodes(bits);
        const [y, again] = [new Float32Array(x.length), new Float32Array(x.length)];
        roundInto(x, step, codes, y);
        roundInto(y, step, codes, again);
        expect(again).toEqual(y);
        x.forEach((v, i) => {
          const code = Math.round(y[i]! / step);
          expect(y[i]).toBe(Math.fround(code * step) + 0);
          expect(code).toBeGreaterThanOrEqual(codes.least);
          expect(code).toBeLessThanOrEqual(codes.most);
          const inside = Math.min(codes.most * step, Math.max(codes.least * step, v));
          expect(Math.abs(y[i]! - inside)).toBeLessThanOrEqual(step * (0.5 + codes.most * 1e-6));
        });
      }),
    );
  });

  it('takes halves to the even code, as ONNX does, and leaves NaN', () => {
    const x = Float32Array.of(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.49, NaN, Infinity, -Infinity);
    const y = new Float32Array(x.length);
    roundInto(x, 1, signedCodes(4), y);
    expect([...y].map((value) => value + 0)).toEqual([0, 2, 2, 0, -2, -2, 3, NaN, 7, -8]);
  });
});

describe('the step that values of deviation 1 start with', () => {
  it('has nearly the least expected error of all, with a sign and without', () => {
    for (const bits of [3, 4, 6, 8])
      for (const codes of [signedCodes(bits), unsignedCodes(bits)]) {
        const start = startingStep(codes.most);
        const factors = Array.from({ length: 41 }, (_, i) => 0.6 + 0.02 * i);
        const least = Math.min(...factors.map((factor) => expectedError(factor * start, codes)));
        expect(expectedError(start, codes)).toBeLessThan(1.04 * least);
        expect(expectedError(1.5 * start, codes)).toBeGreaterThan(1.3 * least);
      }
  });

  it('falls with every bit, to nearly half', () => {
    for (const bits of widths.slice(1)) {
      const ratio = startingStep(signedCodes(bits).most) / startingStep(signedCodes(bits - 1).most);
      expect(ratio).toBeLessThan(bits === 3 ? 0.65 : 0.6);
      expect(ratio).toBeGreaterThan(0.4);
    }
  });
});
