/**
 * @file Cases for the ops over rows of channels: batch normalisation and global average pooling.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  centralDifference,
  type Device,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  type Numbers,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const matrices = fc.tuple(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 1, max: 70 }), seeds);

/** Batch-normalisation data with the statistics as a device would hold them. */
interface NormalisationData {
  readonly rows: number;
  readonly channels: number;
  readonly relu: boolean;
  readonly epsilon: number;
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly dy: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
}

/** x, dy, mean, variance, gamma, beta. */
type GradientInputs = [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];

const EPSILON = 1e-5;

function normalisationData(rows: number, channels: number, relu: boolean, seed: number): NormalisationData {
  const x = normals(rows * channels, 'x', seed).map((value, at) => 2 * value + (at % 3));
  const gamma = normals(channels, 'gamma', seed).map((value) => 1 + 0.3 * value);
  const beta = normals(channels, 'beta', seed).map((value) => 0.3 * value);
  const { mean, variance } = statistics(rows, channels, x);
  return {
    rows,
    channels,
    relu,
    epsilon: EPSILON,
    x,
    y: Float32Array.from(normalised(rows, channels, relu, x, gamma, beta)),
    dy: normals(rows * channels, 'dy', seed),
    mean: Float32Array.from(mean),
    variance: Float32Array.from(variance),
    gamma,
    beta,
  };
}

/** Channel c of x, as a list. */
function column(rows: number, channels: number, x: Numbers, c: number): number[] {
  return Array.from({ length: rows }, (_, r) => x[r * channels + c]!);
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function statistics(
  rows: number,
  channels: number,
  x: Numbers,
): { readonly mean: number[]; readonly variance: number[]; readonly inverseStd: number[] } {
  const columns = Array.from({ length: channels }, (_, c) => column(rows, channels, x, c));
  const mean = columns.map(average);
  const variance = columns.map((values, c) => average(values.map((value) => (value - mean[c]!) ** 2)));
  return { mean, variance, inverseStd: variance.map((value) => 1 / Math.sqrt(value + EPSILON)) };
}

/** The whole layer in float64: statistics, normalisation, affine map, activation. */
function normalised(
  rows: number,
  channels: number,
  relu: boolean,
  x: Numbers,
  gamma: Numbers,
  beta: Numbers,
): Float64Array {
  const { mean, inverseStd } = statistics(rows, channels, x);
  return Float64Array.from(x, (value, at) => {
    const c = at % channels;
    const y = gamma[c]! * (value - mean[c]!) * inverseStd[c]! + beta[c]!;
    return relu && y < 0 ? 0 : y;
  });
}

function normalisationGradients(
  device: Device,
  d: NormalisationData,
): { readonly dx: Float32Array; readonly dgamma: Float32Array; readonly dbeta: Float32Array } {
  return withBuffers(device, (buffers) => {
    const dx = buffers.output(d.x.length);
    const dgamma = buffers.output(d.channels);
    const dbeta = buffers.output(d.channels);
    device.kernels.batchNormGradient(
      d,
      buffers.input(d.x),
      buffers.input(d.dy),
      buffers.input(d.mean),
      buffers.input(d.variance),
      buffers.input(d.gamma),
      buffers.input(d.beta),
      dx,
      dgamma,
      dbeta,
    );
    return { dx, dgamma, dbeta };
  });
}

export function describeRowOps(device: Device): void {
  describe('batch normalisation', () => {
    const forward = (
      on: Device,
      d: NormalisationData,
    ): { readonly mean: Float32Array; readonly variance: Float32Array; readonly y: Float32Array } =>
      withBuffers(on, (buffers) => {
        const [mean, variance] = [buffers.output(d.channels), buffers.output(d.channels)];
        const y = buffers.output(d.x.length);
        const [x, gamma, beta] = [buffers.input(d.x), buffers.input(d.gamma), buffers.input(d.beta)];
        on.kernels.batchNorm(d, x, gamma, beta, mean, variance, y);
        return { mean, variance, y };
      });

    it('is its definition, moments and all', () => {
      forAll(fc.tuple(matrices, fc.boolean()), ([[rows, channels, seed], relu]) => {
        const d = normalisationData(rows, channels, relu, seed);
        const { x, gamma, beta } = d;
        const mean = tabulate(channels, (c, add) => {
          for (const value of column(rows, channels, x, c)) add(value / rows);
        });
        const variance = tabulate(channels, (c, add) => {
          for (const value of column(rows, channels, x, c)) {
            add((value - mean.values[c]!) ** 2 / rows, value ** 2 / rows);
          }
        });
        const exact = normalised(rows, channels, relu, x, gamma, beta);
        const y = tabulate(x.length, (at, add) => {
          const c = at % channels;
          const scale = Math.abs(gamma[c]!) / Math.sqrt(variance.values[c]! + EPSILON);
          // An error of the variance moves y by its half, in proportion; where rows are few that is more than y's own.
          const spread = variance.magnitudes[c]! / (variance.values[c]! + EPSILON);
          const size = scale * (Math.abs(x[at]!) + mean.magnitudes[c]!) * (1 + spread) + Math.abs(beta[c]!);
          add(exact[at]!, size);
        });
        expectDefinition('mean', device, (on) => forward(on, d).mean, mean);
        expectDefinition('variance', device, (on) => forward(on, d).variance, variance);
        expectDefinition('y', device, (on) => forward(on, d).y, y);
      });
    });

    it('a large mean costs no digits of the variance, and a constant channel has none', () => {
      const [rows, channels] = [2048, 19];
      const x = normals(rows * channels, 'offset').map((value, at) =>
        at % channels === 4 ? 1234.5 : value + 1000,
      );
      const { mean, variance } = forward(device, { ...normalisationData(rows, channels, false, 1), x });
      const expected = statistics(rows, channels, x);
      for (let c = 0; c < channels; c++) {
        expect(Math.abs(mean[c]! - expected.mean[c]!)).toBeLessThan(2e-4);
        if (c === 4) expect(variance[c]).toBe(0);
        else expect(Math.abs(variance[c]! / expected.variance[c]! - 1)).toBeLessThan(1e-4);
      }
    });

    it('rows that begin far from the mean cost no digits either', () => {
      const [rows, channels] = [3000, 21];
      const x = normals(rows * channels, 'outliers').map((value, at) =>
        at < 3 * channels ? value + 100 : value,
      );
      const { mean, variance } = forward(device, { ...normalisationData(rows, channels, false, 2), x });
      const expected = statistics(rows, channels, x);
      for (let c = 0; c < channels; c++) {
        expect(Math.abs(mean[c]! - expected.mean[c]!)).toBeLessThan(1e-5);
        expect(Math.abs(variance[c]! / expected.variance[c]! - 1)).toBeLessThan(1e-4);
      }
    });

    it('the gradient passes where the written y is positive, whatever rounding made of it', () => {
      const [rows, channels] = [500, 37];
      // Values on a grid and zero shifts put many units exactly on, or a rounding away from, the edge.
      const base = normalisationData(rows, channels, true, 4);
      const grid = (value: number): number => Math.fround(0.7 * Math.round(value / 0.7));
      const x = base.x.map(grid);
      const moments = forward(device, { ...base, x, beta: new Float32Array(channels) });
      const beta = moments.mean.map((mean, c) => {
        const scale = base.gamma[c]! / Math.sqrt(moments.variance[c]! + EPSILON);
        return (mean - grid(mean)) * scale;
      });
      const d = { ...base, x, beta, ...moments };
      const { y, mean, variance } = forward(device, d);
      expect(y.filter((value) => value > 0 && value < 1e-5).length).toBeGreaterThan(0);
      const { dbeta } = normalisationGradients(device, {
        ...d,
        mean,
        variance,
        dy: new Float32Array(x.length).fill(1),
      });
      const positive = Array.from(dbeta, (_, c) => column(rows, channels, y, c).filter((v) => v > 0).length);
      expectEqual('dbeta', dbeta, positive);
    });

    it('affine map is its definition, in place too', () => {
      forAll(fc.tuple(matrices, fc.boolean()), ([[rows, channels, seed], relu]) => {
        const x = normals(rows * channels, 'x', seed);
        const scale = normals(channels, 'scale', seed);
        const shift = normals(channels, 'shift', seed);
        const expected = tabulate(x.length, (at, add) => {
          const c = at % channels;
          const y = x[at]! * scale[c]! + shift[c]!;
          const size = Math.abs(x[at]! * scale[c]!) + Math.abs(shift[c]!);
          add(relu && y < 0 ? 0 : y, size);
        });
        const apart = (on: Device): Float32Array =>
          withBuffers(on, (buffers) => {
            const y = buffers.output(x.length);
            const [s, t] = [buffers.input(scale), buffers.input(shift)];
            on.kernels.channelAffine(rows, channels, relu, buffers.input(x), s, t, y);
            return y;
          });
        const inPlace = withBuffers(device, (buffers) => {
          const y = buffers.updated(x);
          device.kernels.channelAffine(
            rows,
            channels,
            relu,
            y,
            buffers.input(scale),
            buffers.input(shift),
            y,
          );
          return y;
        });
        expectDefinition('y', device, apart, expected);
        expectEqual('y in place', inPlace, apart(device));
      });
    });

    it('gradient is its definition', () => {
      forAll(fc.tuple(matrices, fc.boolean()), ([[rows, channels, seed], relu]) => {
        const d = normalisationData(rows, channels, relu, seed);
        const slope = (at: number): number => (relu && d.y[at]! <= 0 ? 0 : d.dy[at]!);
        const inverseStd = Array.from(d.variance, (value) => 1 / Math.sqrt(value + EPSILON));
        const unit = (at: number): number => (d.x[at]! - d.mean[at % channels]!) * inverseStd[at % channels]!;
        const unitSize = (at: number): number =>
          (Math.abs(d.x[at]!) + Math.abs(d.mean[at % channels]!)) * inverseStd[at % channels]!;
        const dbeta = tabulate(channels, (c, add) => {
          for (let r = 0; r < rows; r++) add(slope(r * channels + c));
        });
        const dgamma = tabulate(channels, (c, add) => {
          for (let at = c; at < d.x.length; at += channels) {
            add(slope(at) * unit(at), Math.abs(slope(at)) * unitSize(at));
          }
        });
        const dx = tabulate(d.x.length, (at, add) => {
          const c = at % channels;
          const factor = d.gamma[c]! * inverseStd[c]!;
          add(factor * slope(at));
          add((-factor * dbeta.values[c]!) / rows, (Math.abs(factor) * dbeta.magnitudes[c]!) / rows);
          add(
            (-factor * unit(at) * dgamma.values[c]!) / rows,
            (Math.abs(factor) * unitSize(at) * dgamma.magnitudes[c]!) / rows,
          );
        });
        expectDefinition('dx', device, (on) => normalisationGradients(on, d).dx, dx);
        expectDefinition('dgamma', device, (on) => normalisationGradients(on, d).dgamma, dgamma);
        expectDefinition('dbeta', device, (on) => normalisationGradients(on, d).dbeta, dbeta);
      });
    });

    it('gradients of the parameters alone are the same, to the bit', () => {
      forAll(fc.tuple(matrices, fc.boolean()), ([[rows, channels, seed], relu]) => {
        const d = normalisationData(rows, channels, relu, seed);
        const alone = withBuffers(device, (buffers) => {
          const inputs = [d.x, d.dy, d.mean, d.variance, d.gamma, d.beta].map((each) =>
            buffers.input(each),
          ) as GradientInputs;
          const [dgamma, dbeta] = [buffers.output(channels), buffers.output(channels)];
          device.kernels.batchNormParameterGradient(d, ...inputs, dgamma, dbeta);
          return { dgamma, dbeta };
        });
        const all = normalisationGradients(device, d);
        for (const key of ['dgamma', 'dbeta'] as const) expectEqual(key, alone[key], all[key]);
      });
    });

    it('gradient may be written over dy, to the bit', () => {
      forAll(fc.tuple(matrices, fc.boolean()), ([[rows, channels, seed], relu]) => {
        const d = normalisationData(rows, channels, relu, seed);
        const inPlace = withBuffers(device, (buffers) => {
          const dx = buffers.updated(d.dy);
          const [x, ...rest] = [d.x, d.mean, d.variance, d.gamma, d.beta].map((each) =>
            buffers.input(each),
          ) as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];
          const [dgamma, dbeta] = [buffers.output(channels), buffers.output(channels)];
          device.kernels.batchNormGradient(d, x, dx, ...rest, dx, dgamma, dbeta);
          return { dx, dgamma, dbeta };
        });
        const apart = normalisationGradients(device, d);
        for (const key of ['dx', 'dgamma', 'dbeta'] as const) expectEqual(key, inPlace[key], apart[key]);
      });
    });

    it.each([false, true])('gradient is the finite difference of the layer (relu %s)', (relu) => {
      const [rows, channels] = [23, 5];
      const d = normalisationData(rows, channels, relu, 12);
      const { dx, dgamma, dbeta } = normalisationGradients(device, d);
      const loss = (x: Numbers, gamma: Numbers, beta: Numbers): number =>
        normalised(rows, channels, relu, x, gamma, beta).reduce((sum, y, at) => sum + y * d.dy[at]!, 0);
      const step = 1e-5;
      const near = (actual: number, expected: number): void => {
        expect(Math.abs(actual - expected)).toBeLessThan(2e-5);
      };
      // No unit may cross zero within the step.
      const before = normalised(rows, channels, false, d.x, d.gamma, d.beta);
      expect(before.every((y) => Math.abs(y) > 10 * step)).toBe(true);
      for (let at = 0; at < d.x.length; at++) {
        near(
          dx[at]!,
          centralDifference(d.x, at, step, (x) => loss(x, d.gamma, d.beta)),
        );
      }
      for (let c = 0; c < channels; c++) {
        near(
          dgamma[c]!,
          centralDifference(d.gamma, c, step, (gamma) => loss(d.x, gamma, d.beta)),
        );
        near(
          dbeta[c]!,
          centralDifference(d.beta, c, step, (beta) => loss(d.x, d.gamma, beta)),
        );
      }
    });
  });

  describe('global average pooling', () => {
    const maps = fc.tuple(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 70 }),
      seeds,
    );

    it('is the mean over positions', () => {
      forAll(maps, ([batch, positions, channels, seed]) => {
        const x = normals(batch * positions * channels, seed);
        const expected = tabulate(batch * channels, (at, add) => {
          const [n, c] = [Math.floor(at / channels), at % channels];
          for (let p = 0; p < positions; p++)
            add(x[n * positions * channels + p * channels + c]! / positions);
        });
        const run = (on: Device): Float32Array =>
          withBuffers(on, (buffers) => {
            const y = buffers.output(batch * channels);
            on.kernels.globalAveragePool(batch, positions, channels, buffers.input(x), y);
            return y;
          });
        expectDefinition('y', device, run, expected);
      });
    });

    it('gives each position its share of the gradient', () => {
      forAll(maps, ([batch, positions, channels, seed]) => {
        const dy = normals(batch * channels, seed);
        const expected = tabulate(batch * positions * channels, (at, add) => {
          const n = Math.floor(at / (positions * channels));
          add(dy[n * channels + (at % channels)]! / positions);
        });
        const run = (on: Device): Float32Array =>
          withBuffers(on, (buffers) => {
            const dx = buffers.output(batch * positions * channels);
            on.kernels.globalAveragePoolGradient(batch, positions, channels, buffers.input(dy), dx);
            return dx;
          });
        expectDefinition('dx', device, run, expected);
      });
    });
  });
}
