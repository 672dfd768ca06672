/**
 * @file Cases for the softmax of rows and its logarithm, with their gradients.
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

/** y of each row of x, as the device computes it. */
export function softmaxRows(device: Device, columns: number, logarithm: boolean, x: Numbers): Float32Array {
  return withBuffers(device, (buffers) => {
    const y = buffers.output(x.length);
    device.kernels.softmax(x.length / columns, columns, logarithm, buffers.input(x), y);
    return y;
  });
}

/** dx of each row. */
export function softmaxRowGradients(
  device: Device,
  columns: number,
  logarithm: boolean,
  y: Numbers,
  dy: Numbers,
): Float32Array {
  return withBuffers(device, (buffers) => {
    const dx = buffers.output(y.length);
    const rows = y.length / columns;
    device.kernels.softmaxGradient(rows, columns, logarithm, buffers.input(y), buffers.input(dy), dx);
    return dx;
  });
}

/** One row from the definition; no care for overflow, so for moderate values only. */
function rowSoftmax(row: Numbers, logarithm: boolean): number[] {
  const powers = Array.from(row, Math.exp);
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => (logarithm ? Math.log(power / total) : power / total));
}

const matrices = fc.tuple(
  fc.integer({ min: 1, max: 40 }),
  fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 300 })),
  fc.boolean(),
  seeds,
);

export function describeSoftmax(device: Device): void {
  describe('softmax', () => {
    const chosen = (values: Float32Array, at: number, columns: number): Float32Array => {
      const from = Math.floor(at / columns) * columns;
      return values.subarray(from, from + columns);
    };

    it('is its definition on random rows', () => {
      forAll(matrices, ([rows, columns, logarithm, seed]) => {
        const x = normals(rows * columns, 'x', seed).map((value) => 3 * value);
        const expected = tabulate(x.length, (at, add) => {
          const value = rowSoftmax(chosen(x, at, columns), logarithm)[at % columns]!;
          // A difference to the largest is as exact as float32 holds it.
          add(value, logarithm ? 30 : value * 10);
        });
        expectDefinition('y', device, (on) => softmaxRows(on, columns, logarithm, x), expected);
      });
    });

    it('gradient is its definition on random rows', () => {
      forAll(matrices, ([rows, columns, logarithm, seed]) => {
        const x = normals(rows * columns, 'x', seed);
        const y = softmaxRows(device, columns, logarithm, x);
        const dy = normals(rows * columns, 'dy', seed);
        const expected = tabulate(x.length, (at, add) => {
          const [values, slopes] = [chosen(y, at, columns), chosen(dy, at, columns)];
          const [value, slope] = [y[at]!, dy[at]!];
          add(logarithm ? slope : value * slope);
          values.forEach((other, c) => {
            const weight = logarithm ? Math.exp(value) : value * other;
            add(-weight * slopes[c]!);
          });
        });
        const run = (on: Device): Float32Array => softmaxRowGradients(on, columns, logarithm, y, dy);
        expectDefinition('dx', device, run, expected);
      });
    });

    it.each([false, true])(
      'gradient is the finite difference of the definition, logarithm %s',
      (logarithm) => {
        const columns = 37;
        const [x, dy] = [normals(columns, 'x'), normals(columns, 'dy')];
        const loss = (moved: Numbers): number =>
          rowSoftmax(moved, logarithm).reduce((sum, y, c) => sum + y * dy[c]!, 0);
        const dx = softmaxRowGradients(
          device,
          columns,
          logarithm,
          softmaxRows(device, columns, logarithm, x),
          dy,
        );
        dx.forEach((slope, at) => {
          expect(Math.abs(slope - centralDifference(x, at, 1e-5, loss))).toBeLessThan(4e-6);
        });
      },
    );

    it('the exponential is right to 3 units in the last place down to where it vanishes', () => {
      // Of two values 0 and x the second has the weight e^x / (1 + e^x).
      const steps = Array.from({ length: 20_000 }, (_, i) => Math.fround((-86.5 * i) / 19_999));
      const rows = steps.flatMap((x) => [0, x]);
      const y = softmaxRows(device, 2, false, rows);
      const units = steps.map((x, i) => {
        const expected = 1 / (1 + Math.exp(-x));
        return Math.abs(y[2 * i + 1]! - expected) / 2 ** (Math.floor(Math.log2(expected)) - 23);
      });
      expect(units.reduce((most, unit) => Math.max(most, unit), 0)).toBeLessThan(3);
      expectEqual('y', softmaxRows(device, 2, false, [0, -110, -1e30, 7, 3e38, -3e38]), [1, 0, 0, 1, 1, 0]);
    });

    it('equal values share alike, at any height', () => {
      for (const columns of [1, 2, 10, 100])
        for (const height of [0, -1000, 1e30]) {
          const x = new Float32Array(columns).fill(height);
          softmaxRows(device, columns, false, x).forEach((y) => expect(y).toBeCloseTo(1 / columns, 6));
          softmaxRows(device, columns, true, x).forEach((y) => expect(y).toBeCloseTo(-Math.log(columns), 5));
        }
    });

    it('weights sum to one, slopes to zero', () => {
      const columns = 301;
      const x = normals(5 * columns, 'x').map((value) => 20 * value);
      const y = softmaxRows(device, columns, false, x);
      const dx = softmaxRowGradients(device, columns, false, y, normals(x.length, 'dy'));
      for (let row = 0; row < 5; row++) {
        const sum = (of: Float32Array): number =>
          of.subarray(row * columns, (row + 1) * columns).reduce((total, value) => total + value, 0);
        expect(Math.abs(sum(y) - 1)).toBeLessThan(1e-5);
        expect(Math.abs(sum(dx))).toBeLessThan(1e-5);
      }
    });
  });
}
