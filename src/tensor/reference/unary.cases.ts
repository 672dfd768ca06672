/**
 * @file Cases for the functions of one variable: their accuracy over the whole range of floats, their derivatives by
 * finite differences, NaN and infinity.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { slopeNeedsValue, UnaryKind } from '../kinds.js';
import {
  centralDifference,
  type Device,
  expectEqual,
  forAll,
  normals,
  seeds,
  withBuffers,
} from './support.cases.js';

const kinds = Object.values(UnaryKind);
const [low, high] = [-1.25, 2.5];

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** erf by its series (Abramowitz and Stegun 7.1.5), which float64 carries up to 3 with 12 digits. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; n < 90; n++) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** The upper tail of the normal distribution at x >= 2, by Simpson's rule over its integral. */
function upperTail(x: number): number {
  const [width, steps] = [12, 4000];
  const density = (t: number): number => Math.exp((-t * t) / 2 + (x * x) / 2);
  let sum = density(x) + density(x + width);
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * density(x + (width * i) / steps);
  return (Math.exp((-x * x) / 2) * sum * width) / steps / 3 / Math.sqrt(2 * Math.PI);
}

const normal = (x: number): number =>
  x > 2 ? 1 - upperTail(x) : x < -2 ? upperTail(-x) : 0.5 * (1 + erf(x / Math.SQRT2));

/** The definitions, written anew. */
const definitions: Readonly<Record<UnaryKind, (x: number) => number>> = {
  [UnaryKind.Negate]: (x) => -x,
  [UnaryKind.Absolute]: Math.abs,
  [UnaryKind.Sign]: Math.sign,
  [UnaryKind.Square]: (x) => x ** 2,
  [UnaryKind.SquareRoot]: Math.sqrt,
  [UnaryKind.Exponential]: Math.exp,
  [UnaryKind.Logarithm]: Math.log,
  [UnaryKind.Sigmoid]: sigmoid,
  [UnaryKind.Tanh]: Math.tanh,
  [UnaryKind.Silu]: (x) => x * sigmoid(x),
  [UnaryKind.Gelu]: (x) => x * normal(x),
  [UnaryKind.GeluTanh]: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  [UnaryKind.HardSigmoid]: (x) => (x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5),
  [UnaryKind.HardSwish]: (x) => (x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + 0.5)),
  [UnaryKind.Clamp]: (x) => (x < low ? low : x > high ? high : x),
};

/**
 * Largest error allowed, in units of the last place of the result, and over which arguments. Those of gelu and silu grow
 * with x^2, as that of the exponential's argument does.
 */
const accuracy: Readonly<Partial<Record<UnaryKind, { ulps: number; from: number; to: number }>>> = {
  [UnaryKind.SquareRoot]: { ulps: 0.51, from: 0, to: 3e38 },
  [UnaryKind.Exponential]: { ulps: 1.5, from: -86.6, to: 88.7 },
  [UnaryKind.Logarithm]: { ulps: 3, from: 1e-44, to: 3e38 },
  [UnaryKind.Sigmoid]: { ulps: 3, from: -86, to: 90 },
  [UnaryKind.Tanh]: { ulps: 3, from: -90, to: 90 },
  [UnaryKind.Silu]: { ulps: 4, from: -80, to: 1e30 },
  [UnaryKind.Gelu]: { ulps: 8, from: -4, to: 1e30 },
  [UnaryKind.GeluTanh]: { ulps: 24, from: -3, to: 1e30 },
  [UnaryKind.HardSigmoid]: { ulps: 2, from: -2.9, to: 1e30 },
  [UnaryKind.HardSwish]: { ulps: 3, from: -2.9, to: 1e30 },
};

/** Floats of every magnitude between two bounds, denser where their logarithm is what matters. */
function argumentsBetween(from: number, to: number): Float32Array {
  const values: number[] = [];
  for (let i = 0; i <= 3000; i++) values.push(from + ((to - from) * i) / 3000);
  for (let exponent = -45; exponent < 39; exponent += 0.02)
    for (const sign of [-1, 1]) {
      const value = sign * 10 ** exponent;
      if (value > from && value < to) values.push(value);
    }
  return Float32Array.from(values).filter((value) => value >= from && value <= to);
}

/** The distance of one float from the next at this value; that of the smallest normal one below. */
function unitInLastPlace(value: number): number {
  return 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(value)))) - 23);
}

export function describeUnary(device: Device): void {
  const { kernels } = device;
  const valueOf = (kind: UnaryKind, x: Float32Array): Float32Array =>
    withBuffers(device, (buffers) => {
      const y = buffers.output(x.length);
      kernels.unary(kind, low, high, buffers.input(x), y);
      return y;
    });
  const slopeOf = (kind: UnaryKind, at: Float32Array, dy: Float32Array): Float32Array =>
    withBuffers(device, (buffers) => {
      const dx = buffers.output(at.length);
      kernels.unaryGradient(kind, low, high, buffers.input(at), buffers.input(dy), dx);
      return dx;
    });

  describe('functions of one variable', () => {
    it.each(kinds)('%s is its definition, in place too', (kind) => {
      forAll(fc.tuple(fc.integer({ min: 1, max: 200 }), seeds), ([length, seed]) => {
        const needsPositive = kind === UnaryKind.SquareRoot || kind === UnaryKind.Logarithm;
        const x = normals(length, seed).map((value) => (needsPositive ? Math.abs(value) : 2 * value));
        const y = valueOf(kind, x);
        y.forEach((value, i) => {
          const exact = definitions[kind](x[i]!);
          expect(Math.abs(value - exact)).toBeLessThanOrEqual(4e-7 * Math.max(Math.abs(exact), 0.1));
        });
        const inPlace = withBuffers(device, (buffers) => {
          const both = buffers.updated(x);
          kernels.unary(kind, low, high, both, both);
          return both;
        });
        expectEqual('in place', inPlace, y);
      });
    });

    it('long buffers are split without a seam', () => {
      const x = normals(50_003, 'long');
      const y = valueOf(UnaryKind.Exponential, x);
      x.forEach((value, i) => expect(Math.abs(y[i]! / Math.exp(value) - 1)).toBeLessThan(2e-7));
    });

    it.each(Object.entries(accuracy))('%s has its digits over all its range', (name, { ulps, from, to }) => {
      const kind = name as UnaryKind;
      const x = argumentsBetween(from, to);
      const y = valueOf(kind, x);
      let [worst, at] = [0, NaN];
      y.forEach((value, i) => {
        const exact = definitions[kind](x[i]!);
        const error = Math.abs(value - exact) / unitInLastPlace(exact);
        if (!(error <= worst)) [worst, at] = [error, x[i]!];
      });
      expect(worst, `units in the last place, at ${at}`).toBeLessThan(ulps);
    });

    it('gelu keeps the digits of its tail, and is nowhere far off', () => {
      const x = argumentsBetween(-12, 12);
      const [exact, byTanh] = [UnaryKind.Gelu, UnaryKind.GeluTanh].map((kind) => valueOf(kind, x)) as [
        Float32Array,
        Float32Array,
      ];
      x.forEach((value, i) => {
        const wanted = definitions[UnaryKind.Gelu](value);
        expect(Math.abs(exact[i]! - wanted)).toBeLessThanOrEqual(
          Math.min(2.5e-7 * Math.max(1, Math.abs(value)), 1e-5 * Math.abs(wanted)) + 1e-37,
        );
        expect(Math.abs(byTanh[i]! - wanted)).toBeLessThan(5e-4);
      });
    });

    it.each(kinds)('the derivative of %s is its finite difference, in place too', (kind) => {
      const x = Float32Array.from({ length: 241 }, (_, i) => (i - 120) / 17 + 0.0123).map((value) =>
        kind === UnaryKind.SquareRoot || kind === UnaryKind.Logarithm ? Math.abs(value) + 0.05 : value,
      );
      const dy = normals(x.length, 'dy');
      const at = slopeNeedsValue(kind) ? Float32Array.from(x, (value) => definitions[kind](value)) : x;
      const dx = slopeOf(kind, at, dy);
      dx.forEach((slope, i) => {
        const difference = centralDifference([x[i]!], 0, 1e-4, ([moved]) => definitions[kind](moved!));
        const allowed = 1e-6 * (1 + Math.abs(difference * dy[i]!));
        expect(Math.abs(slope - dy[i]! * difference), `at ${x[i]}`).toBeLessThan(allowed);
      });
      const inPlace = withBuffers(device, (buffers) => {
        const both = buffers.updated(dy);
        kernels.unaryGradient(kind, low, high, buffers.input(at), both, both);
        return both;
      });
      expectEqual('in place', inPlace, dx);
    });

    it('clamp passes the gradient at its bounds', () => {
      const x = Float32Array.of(low, high, -1.26, 2.51, 0);
      expectEqual('dx', slopeOf(UnaryKind.Clamp, x, new Float32Array(5).fill(2)), [2, 2, 0, 0, 2]);
    });

    it('zero, infinity and NaN', () => {
      const x = Float32Array.of(0, Infinity, -Infinity, NaN);
      const wanted: Readonly<Record<UnaryKind, readonly number[]>> = {
        [UnaryKind.Negate]: [0, -Infinity, Infinity, NaN],
        [UnaryKind.Absolute]: [0, Infinity, Infinity, NaN],
        [UnaryKind.Sign]: [0, 1, -1, NaN],
        [UnaryKind.Square]: [0, Infinity, Infinity, NaN],
        [UnaryKind.SquareRoot]: [0, Infinity, NaN, NaN],
        [UnaryKind.Exponential]: [1, Infinity, 0, NaN],
        [UnaryKind.Logarithm]: [-Infinity, Infinity, NaN, NaN],
        [UnaryKind.Sigmoid]: [0.5, 1, 0, NaN],
        [UnaryKind.Tanh]: [0, 1, -1, NaN],
        [UnaryKind.Silu]: [0, Infinity, 0, NaN],
        [UnaryKind.Gelu]: [0, Infinity, 0, NaN],
        [UnaryKind.GeluTanh]: [0, Infinity, 0, NaN],
        [UnaryKind.HardSigmoid]: [0.5, 1, 0, NaN],
        [UnaryKind.HardSwish]: [0, Infinity, 0, NaN],
        [UnaryKind.Clamp]: [0, high, low, NaN],
      };
      for (const kind of kinds) expectEqual(kind, valueOf(kind, x), wanted[kind]);
      expectEqual('exp', valueOf(UnaryKind.Exponential, Float32Array.of(89, 1e30, -200)), [
        Infinity,
        Infinity,
        0,
      ]);
      expectEqual('log', valueOf(UnaryKind.Logarithm, Float32Array.of(-1, -1e-30)), [NaN, NaN]);
    });

    it.each(kinds)('a NaN slope through %s stays where it is, and no other becomes one', (kind) => {
      for (const at of [0, 17, 36]) {
        const dy = new Float32Array(37).fill(1);
        dy[at] = NaN;
        const dx = slopeOf(kind, new Float32Array(37).fill(0.7), dy);
        dx.forEach((slope, i) => expect(Number.isNaN(slope)).toBe(i === at && kind !== UnaryKind.Sign));
      }
    });

    it('slopes far out are those of the straight parts', () => {
      const x = Float32Array.of(-1e30, 1e30, -Infinity, Infinity);
      for (const kind of [UnaryKind.Silu, UnaryKind.Gelu, UnaryKind.GeluTanh, UnaryKind.HardSwish])
        expectEqual(kind, slopeOf(kind, x, new Float32Array(4).fill(3)), [0, 3, 0, 3]);
    });
  });
}
