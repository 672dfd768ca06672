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
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly dy: Float32Array;
  readonly mean: Float32Array;
  readonly inverseStd: Float32Array;
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
}

const EPSILON = 1e-5;

function normalisationData(rows: number, channels: number, relu: boolean, seed: number): NormalisationData {
  const x = normals(rows * channels, 'x', seed).map((value, at) => 2 * value + (at % 3));
  const gamma = normals(channels, 'gamma', seed).map((value) => 1 + 0.3 * value);
  const beta = normals(channels, 'beta', seed).map((value) => 0.3 * value);
  const { mean, inverseStd } = statistics(rows, channels, x);
  return {
    rows,
    channels,
    relu,
    x,
    y: Float32Array.from(normalised(rows, channels, relu, x, gamma, beta)),
    dy: normals(rows * channels, 'dy', seed),
    mean: Float32Array.from(mean),
    inverseStd: Float32Array.from(inverseStd),
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
      d.rows,
      d.channels,
      d.relu,
      buffers.input(d.x),
      buffers.input(d.y),
      buffers.input(d.dy),
      buffers.input(d.mean),
      buffers.input(d.inverseStd),
      buffers.input(d.gamma),
      dx,
      dgamma,
      dbeta,
    );
    return { dx, dgamma, dbeta };
  });
}

export function describeRowOps(device: Device): void {
  describe('batch normalisation', () => {
    const moments = (
      on: Device,
      rows: number,
      channels: number,
      x: Float32Array,
    ): [Float32Array, Float32Array] =>
      withBuffers(on, (buffers) => {
        const mean = buffers.output(channels);
        const variance = buffers.output(channels);
        on.kernels.channelMoments(rows, channels, buffers.input(x), mean, variance);
        return [mean, variance];
      });

    it('moments are their definition', () => {
      forAll(matrices, ([rows, channels, seed]) => {
        const x = normals(rows * channels, seed).map((value, at) => 2 * value + (at % 3));
        const mean = tabulate(channels, (c, add) => {
          for (const value of column(rows, channels, x, c)) add(value / rows);
        });
        const variance = tabulate(channels, (c, add) => {
          for (const value of column(rows, channels, x, c)) {
            add((value - mean.values[c]!) ** 2 / rows, value ** 2 / rows);
          }
        });
        expectDefinition('mean', device, (on) => moments(on, rows, channels, x)[0], mean);
        expectDefinition('variance', device, (on) => moments(on, rows, channels, x)[1], variance);
      });
    });

    it('a large mean costs no digits of the variance, and a constant channel has none', () => {
      const [rows, channels] = [2048, 19];
      const x = normals(rows * channels, 'offset').map((value, at) =>
        at % channels === 4 ? 1234.5 : value + 1000,
      );
      const [mean, variance] = moments(device, rows, channels, x);
      const expected = statistics(rows, channels, x);
      for (let c = 0; c < channels; c++) {
        expect(Math.abs(mean[c]! - expected.mean[c]!)).toBeLessThan(2e-4);
        if (c === 4) expect(variance[c]).toBe(0);
        else expect(Math.abs(variance[c]! / expected.variance[c]! - 1)).toBeLessThan(1e-4);
      }
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
        const unit = (at: number): number =>
          (d.x[at]! - d.mean[at % channels]!) * d.inverseStd[at % channels]!;
        const unitSize = (at: number): number =>
          (Math.abs(d.x[at]!) + Math.abs(d.mean[at % channels]!)) * d.inverseStd[at % channels]!;
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
          const factor = d.gamma[c]! * d.inverseStd[c]!;
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
          const [x, y, dy] = [buffers.input(d.x), buffers.input(d.y), buffers.input(d.dy)];
          const [mean, inverseStd] = [buffers.input(d.mean), buffers.input(d.inverseStd)];
          const [dgamma, dbeta] = [buffers.output(channels), buffers.output(channels)];
          const { kernels } = device;
          kernels.batchNormParameterGradient(rows, channels, relu, x, y, dy, mean, inverseStd, dgamma, dbeta);
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
          const [x, y, mean] = [buffers.input(d.x), buffers.input(d.y), buffers.input(d.mean)];
          const [inverseStd, gamma] = [buffers.input(d.inverseStd), buffers.input(d.gamma)];
          const [dgamma, dbeta] = [buffers.output(channels), buffers.output(channels)];
          device.kernels.batchNormGradient(
            rows,
            channels,
            relu,
            x,
            y,
            dx,
            mean,
            inverseStd,
            gamma,
            dx,
            dgamma,
            dbeta,
          );
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
