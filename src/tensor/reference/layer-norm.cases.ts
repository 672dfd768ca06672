/**
 * @file Cases for layer normalisation: definitions, finite differences, in place, rows that do not know of each other.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NormalisationForm } from '../kernels.js';
import {
  centralDifference,
  type Device,
  expectClose,
  expectEqual,
  forAll,
  normals,
  type Numbers,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const EPSILON = 1e-5;
const matrices = fc.tuple(
  fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 100, max: 300 })),
  fc.oneof(fc.integer({ min: 2, max: 70 }), fc.constantFrom(127, 256, 700)),
  fc.boolean(),
  seeds,
);

interface Data extends NormalisationForm {
  readonly x: Float32Array;
  readonly dy: Float32Array;
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
}

function dataOf(rows: number, channels: number, relu: boolean, seed: number): Data {
  return {
    rows,
    channels,
    relu,
    epsilon: EPSILON,
    x: normals(rows * channels, 'x', seed).map((value, at) => 2 * value + (at % 3)),
    dy: normals(rows * channels, 'dy', seed),
    gamma: normals(channels, 'gamma', seed).map((value) => 1 + 0.3 * value),
    beta: normals(channels, 'beta', seed).map((value) => 0.3 * value),
  };
}

/** The definition in float64, with the moments of each row. */
function definition(d: NormalisationForm, x: Numbers, gamma: Numbers, beta: Numbers) {
  const { rows, channels, relu } = d;
  const [mean, inverseStd] = [new Float64Array(rows), new Float64Array(rows)];
  const y = new Float64Array(rows * channels);
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: channels }, (_, c) => x[r * channels + c]!);
    mean[r] = row.reduce((sum, value) => sum + value, 0) / channels;
    const variance = row.reduce((sum, value) => sum + (value - mean[r]!) ** 2, 0) / channels;
    inverseStd[r] = 1 / Math.sqrt(variance + EPSILON);
    row.forEach((value, c) => {
      const result = gamma[c]! * (value - mean[r]!) * inverseStd[r]! + beta[c]!;
      y[r * channels + c] = relu && result < 0 ? 0 : result;
    });
  }
  return { mean, inverseStd, y };
}

type Three = [Float32Array, Float32Array, Float32Array];

export function describeLayerNorm(device: Device): void {
  const { kernels } = device;
  const forward = (d: Data): { mean: Float32Array; inverseStd: Float32Array; y: Float32Array } =>
    withBuffers(device, (buffers) => {
      const [mean, inverseStd, y] = [d.rows, d.rows, d.x.length].map((length) =>
        buffers.output(length),
      ) as Three;
      const [x, gamma, beta] = [d.x, d.gamma, d.beta].map((each) => buffers.input(each)) as Three;
      kernels.layerNorm(d, x, gamma, beta, mean, inverseStd, y);
      return { mean, inverseStd, y };
    });
  const gradients = (d: Data, how: 'apart' | 'in place' | 'parameters alone') =>
    withBuffers(device, (buffers) => {
      const moments = forward(d);
      const x = buffers.input(d.x);
      const dx = how === 'in place' ? buffers.updated(d.dy) : buffers.output(d.x.length);
      const dy = how === 'in place' ? dx : buffers.input(d.dy);
      const rest = [moments.mean, moments.inverseStd, d.gamma, d.beta].map((each) => buffers.input(each)) as [
        ...Three,
        Float32Array,
      ];
      const [dgamma, dbeta] = [buffers.output(d.channels), buffers.output(d.channels)];
      if (how === 'parameters alone') kernels.layerNormParameterGradient(d, x, dy, ...rest, dgamma, dbeta);
      else kernels.layerNormGradient(d, x, dy, ...rest, dx, dgamma, dbeta);
      return { dx, dgamma, dbeta };
    });

  describe('layer normalisation', () => {
    it('is its definition, moments and all', () => {
      forAll(matrices, ([rows, channels, relu, seed]) => {
        const d = dataOf(rows, channels, relu, seed);
        const exact = definition(d, d.x, d.gamma, d.beta);
        const { mean, inverseStd, y } = forward(d);
        const scaled = (values: Float64Array, size: (at: number) => number) =>
          tabulate(values.length, (at, add) => add(values[at]!, size(at)));
        // A row of two may have hardly any variance, and then the digits of x count for much.
        const spreads = Array.from({ length: rows }, (_, r) => {
          const row = d.x.subarray(r * channels, (r + 1) * channels);
          return 1 + (Math.max(...row.map(Math.abs)) * exact.inverseStd[r]!) ** 2;
        });
        expectClose(
          'mean',
          mean,
          scaled(exact.mean, () => 6),
          1e-6,
        );
        expectClose(
          '1/std',
          inverseStd,
          scaled(exact.inverseStd, (r) => exact.inverseStd[r]! * spreads[r]!),
          1e-6,
        );
        expectClose(
          'y',
          y,
          scaled(exact.y, (at) => 3 * spreads[Math.floor(at / channels)]!),
          2e-6,
        );
      });
    });

    it('gradients are their definition', () => {
      forAll(matrices, ([rows, channels, relu, seed]) => {
        const d = dataOf(rows, channels, relu, seed);
        const { y } = forward(d);
        const moments = forward(d);
        const unit = (at: number): number =>
          (d.x[at]! - moments.mean[Math.floor(at / channels)]!) *
          moments.inverseStd[Math.floor(at / channels)]!;
        const slope = (at: number): number => (relu && !(y[at]! > 0) ? 0 : d.dy[at]!);
        const dgamma = tabulate(channels, (c, add) => {
          for (let at = c; at < d.x.length; at += channels)
            add(slope(at) * unit(at), 3 * Math.abs(d.dy[at]!));
        });
        const dbeta = tabulate(channels, (c, add) => {
          for (let at = c; at < d.x.length; at += channels) add(slope(at), Math.abs(d.dy[at]!));
        });
        const means = Array.from({ length: rows }, (_, r) => {
          let [sum, product] = [0, 0];
          for (let c = 0; c < channels; c++) {
            const g = slope(r * channels + c) * d.gamma[c]!;
            sum += g / channels;
            product += (g * unit(r * channels + c)) / channels;
          }
          return { sum, product };
        });
        const dx = tabulate(d.x.length, (at, add) => {
          const r = Math.floor(at / channels);
          const inverse = moments.inverseStd[r]!;
          const { sum, product } = means[r]!;
          const size = 2 + Math.abs(unit(at)) * 2 + Math.abs(d.dy[at]!);
          add(inverse * (slope(at) * d.gamma[at % channels]! - sum - unit(at) * product), inverse * size);
        });
        const actual = gradients(d, 'apart');
        expectClose('dgamma', actual.dgamma, dgamma, 3e-6);
        expectClose('dbeta', actual.dbeta, dbeta, 3e-6);
        expectClose('dx', actual.dx, dx, 3e-6);
      });
    });

    it.each([false, true])('gradients are finite differences (relu %s)', (relu) => {
      const d = dataOf(4, 7, relu, 21);
      const { dx, dgamma, dbeta } = gradients(d, 'apart');
      const loss = (x: Numbers, gamma: Numbers, beta: Numbers): number =>
        definition(d, x, gamma, beta).y.reduce((sum, value, at) => sum + value * d.dy[at]!, 0);
      const before = definition({ ...d, relu: false }, d.x, d.gamma, d.beta).y;
      expect(before.every((value) => Math.abs(value) > 1e-3)).toBe(true);
      const near = (actual: number, expected: number): void =>
        expect(Math.abs(actual - expected)).toBeLessThan(2e-5);
      dx.forEach((value, at) =>
        near(
          value,
          centralDifference(d.x, at, 1e-5, (x) => loss(x, d.gamma, d.beta)),
        ),
      );
      dgamma.forEach((value, at) =>
        near(
          value,
          centralDifference(d.gamma, at, 1e-5, (gamma) => loss(d.x, gamma, d.beta)),
        ),
      );
      dbeta.forEach((value, at) =>
        near(
          value,
          centralDifference(d.beta, at, 1e-5, (beta) => loss(d.x, d.gamma, beta)),
        ),
      );
    });

    it('gradients may be written over dy, and of the parameters alone are the same, to the bit', () => {
      forAll(matrices, ([rows, channels, relu, seed]) => {
        const d = dataOf(rows, channels, relu, seed);
        const apart = gradients(d, 'apart');
        const inPlace = gradients(d, 'in place');
        const alone = gradients(d, 'parameters alone');
        for (const key of ['dx', 'dgamma', 'dbeta'] as const) expectEqual(key, inPlace[key], apart[key]);
        for (const key of ['dgamma', 'dbeta'] as const) expectEqual(key, alone[key], apart[key]);
      });
    });

    it('a row of equal values is all beta, and a large mean costs no digits', () => {
      const d = { ...dataOf(1, 50, false, 3), x: new Float32Array(50).fill(7.5) };
      expectEqual('y', forward(d).y, d.beta);
      const far = dataOf(3, 300, false, 4);
      const x = far.x.map((value) => value + 1000);
      const exact = definition(far, x, far.gamma, far.beta);
      forward({ ...far, x }).y.forEach((value, at) =>
        expect(Math.abs(value - exact.y[at]!)).toBeLessThan(2e-4),
      );
    });

    it.each([NaN, Infinity, -Infinity])('%s spoils its row and no other', (bad) => {
      const d = dataOf(5, 37, false, 5);
      const x = d.x.slice();
      x[2 * 37 + 36] = bad;
      const { y, mean } = forward({ ...d, x });
      y.forEach((value, at) => expect(Number.isFinite(value)).toBe(Math.floor(at / 37) !== 2));
      expect([...mean].map(Number.isFinite)).toEqual([true, true, false, true, true]);
      const dy = d.dy.slice();
      dy[2 * 37 + 36] = bad;
      const { dx, dgamma, dbeta } = gradients({ ...d, dy }, 'apart');
      dx.forEach((value, at) => expect(Number.isFinite(value)).toBe(Math.floor(at / 37) !== 2));
      for (const result of [dgamma, dbeta])
        result.forEach((value, c) => expect(Number.isFinite(value)).toBe(c !== 36));
    });
  });
}
