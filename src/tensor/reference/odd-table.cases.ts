/**
 * @file Cases for maps by a tabulated odd function.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OddTable } from '../kernels.js';
import {
  type Device,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

/** A curved function of any number of points, one too. */
function tableOf(points: number, pointsPerUnit: number): OddTable {
  const f = (i: number): number => Math.sinh(i / pointsPerUnit) + 0.5 * (i / pointsPerUnit);
  return {
    pointsPerUnit,
    values: Float32Array.from({ length: points }, (_, i) => f(i)),
    slopes: Float32Array.from({ length: points }, (_, i) => (f(i + 1) - f(i)) * pointsPerUnit),
  };
}

export function describeOddTables(device: Device): void {
  const map = (on: Device, f: OddTable, scales: readonly [number, number], x: Float32Array): Float32Array =>
    withBuffers(on, (buffers) => {
      const y = buffers.output(x.length);
      const held = { ...f, values: buffers.input(f.values), slopes: buffers.input(f.slopes) };
      on.kernels.oddTable(held, ...scales, buffers.input(x), y);
      return y;
    });
  const gradient = (
    on: Device,
    f: OddTable,
    scales: readonly [number, number],
    x: Float32Array,
    dy: Float32Array,
  ) =>
    withBuffers(on, (buffers) => {
      const dx = buffers.output(x.length);
      const held = { ...f, values: buffers.input(f.values), slopes: buffers.input(f.slopes) };
      const sum = on.kernels.oddTableGradient(held, ...scales, buffers.input(x), buffers.input(dy), dx);
      return { dx, sum: Float32Array.of(sum) };
    });

  describe('odd tables', () => {
    it('map and gradient are their definition, inside the table and beyond', () => {
      const lengths = fc.oneof(fc.integer({ min: 1, max: 90 }), fc.constantFrom(16_384, 40_001));
      const tables = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 3, 16));
      forAll(
        fc.tuple(lengths, tables, seeds),
        ([length, [points, pointsPerUnit], seed]) => {
          const f = tableOf(points, pointsPerUnit);
          const [inputScale, outputScale] = [0.7, -1.3];
          const x = normals(length, 'x', seed).map((v) => 2 * v);
          const dy = normals(length, 'dy', seed);
          const cell = (at: number): readonly [number, number, number] => {
            const magnitude = Math.abs(inputScale * x[at]!);
            const point = Math.min(Math.floor(magnitude * pointsPerUnit), points - 1);
            const slope = f.slopes[point]!;
            return [f.values[point]! + slope * (magnitude - point / pointsPerUnit), slope, magnitude];
          };
          // Next to a grid point rounding may take either cell: there both lines meet, but not the slopes.
          const clear = (at: number): boolean => {
            const position = Math.abs(inputScale * x[at]!) * pointsPerUnit;
            return Math.abs(position - Math.round(position)) > 1e-4 || position > points;
          };
          x.forEach((value, at) => {
            if (!clear(at)) x[at] = value + 0.01;
          });
          const scales = [inputScale, outputScale] as const;
          const size = (at: number): number => Math.abs(cell(at)[0]) + cell(at)[1] * cell(at)[2];
          const y = tabulate(length, (at, add) =>
            add(outputScale * Math.sign(x[at]!) * cell(at)[0], Math.abs(outputScale) * size(at)),
          );
          expectDefinition('y', device, (on) => map(on, f, scales, x), y);
          const dx = tabulate(length, (at, add) => add(outputScale * inputScale * cell(at)[1] * dy[at]!));
          expectDefinition('dx', device, (on) => gradient(on, f, scales, x, dy).dx, dx);
          const sum = tabulate(1, (_, add) => {
            for (let at = 0; at < length; at++)
              add(Math.sign(x[at]!) * cell(at)[0] * dy[at]!, size(at) * Math.abs(dy[at]!));
          });
          expectDefinition('sum', device, (on) => gradient(on, f, scales, x, dy).sum, sum);
        },
        60,
      );
    });

    it('signs are kept, zeros stay zero, infinity is far out, NaN stays', () => {
      const f = tableOf(8, 4);
      const x = Float32Array.of(0, -0, Infinity, -Infinity, NaN, 1, -1);
      const y = map(device, f, [1, 2], x);
      expectEqual('y', y, [0, -0, Infinity, -Infinity, NaN, y[5]!, -y[5]!]);
      const ones = new Float32Array(x.length).fill(1);
      const { dx, sum } = gradient(device, f, [1, 2], x, ones);
      expectEqual('dx at NaN', dx.subarray(4, 5), [NaN]);
      expect(sum[0]).toBeNaN();
    });
  });
}
