/**
 * @file Cases for the elementwise ops, at every length around the widths of vectors and at lengths that are split among
 * threads.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type GuardedBuffers,
  type Device,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const lengths = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 200 }) },
  { weight: 1, arbitrary: fc.integer({ min: 20_000, max: 90_000 }) },
);
const lists = fc.tuple(lengths, seeds);

export function describeElementwise(device: Device): void {
  const { kernels } = device;
  const use = <T>(run: (buffers: GuardedBuffers) => T): T => withBuffers(device, run);

  describe('elementwise ops', () => {
    it('allocate gives zeroed buffers of their own', () => {
      for (const length of [0, 1, 5, 16, 1000, 70_001]) {
        const a = kernels.allocate(length);
        const b = kernels.allocate(length).fill(1);
        expect(a).toBeInstanceOf(Float32Array);
        expect(a.length).toBe(length);
        expect(b.length).toBe(length);
        expectEqual('buffer', a, new Float32Array(length));
        expectEqual('buffer after use of another', kernels.allocate(length), new Float32Array(length));
      }
    });

    it('relu keeps what is positive', () => {
      forAll(lists, ([length, seed]) => {
        const x = normals(length, seed);
        const y = use((buffers) => {
          const out = buffers.output(length);
          kernels.relu(buffers.input(x), out);
          return out;
        });
        expectEqual(
          'y',
          y,
          Array.from(x, (value) => (value > 0 ? value : 0)),
        );
      });
    });

    it('relu gradient passes where y is positive, in place too', () => {
      forAll(lists, ([length, seed]) => {
        const y = normals(length, 'y', seed).map((value) => Math.max(0, value));
        const dy = normals(length, 'dy', seed);
        const expected = Array.from(dy, (slope, at) => (y[at]! > 0 ? slope : 0));
        const apart = use((buffers) => {
          const dx = buffers.output(length);
          kernels.reluGradient(buffers.input(y), buffers.input(dy), dx);
          return dx;
        });
        const inPlace = use((buffers) => {
          const dx = buffers.updated(dy);
          kernels.reluGradient(buffers.input(y), dx, dx);
          return dx;
        });
        expectEqual('dx', apart, expected);
        expectEqual('dx in place', inPlace, expected);
      });
    });

    it('add is exact, cut at zero when asked, in place too', () => {
      forAll(fc.tuple(lists, fc.boolean()), ([[length, seed], cut]) => {
        const a = normals(length, 'a', seed);
        const b = normals(length, 'b', seed);
        const expected = Float32Array.from(a, (value, at) => {
          const sum = value + b[at]!;
          return cut && sum < 0 ? 0 : sum;
        });
        const apart = use((buffers) => {
          const y = buffers.output(length);
          kernels.add(cut, buffers.input(a), buffers.input(b), y);
          return y;
        });
        const inPlace = use((buffers) => {
          const y = buffers.updated(a);
          kernels.add(cut, y, buffers.input(b), y);
          return y;
        });
        expectEqual('y', apart, expected);
        expectEqual('y in place', inPlace, expected);
      });
    });

    it('axpy adds a multiple', () => {
      forAll(lists, ([length, seed]) => {
        const x = normals(length, 'x', seed);
        const before = normals(length, 'y', seed);
        const expected = tabulate(length, (at, add) => {
          add(before[at]!);
          add(-0.375 * x[at]!);
        });
        const run = (on: Device): Float32Array =>
          withBuffers(on, (buffers) => {
            const y = buffers.updated(before);
            on.kernels.axpy(-0.375, buffers.input(x), y);
            return y;
          });
        expectDefinition('y', device, run, expected);
      });
    });
  });
}
