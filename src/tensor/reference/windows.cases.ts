/**
 * @file Cases for pooling over windows: random maps, kernels, strides and paddings, each axis on its own.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PoolGeometry } from '../kernels.js';
import {
  type Device,
  eighths,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const side = fc
  .record({
    extent: fc.integer({ min: 1, max: 11 }),
    kernel: fc.integer({ min: 1, max: 4 }),
    stride: fc.integer({ min: 1, max: 3 }),
    before: fc.integer({ min: 0, max: 3 }),
    after: fc.integer({ min: 0, max: 3 }),
  })
  .map((each) => ({
    ...each,
    out: Math.floor((each.extent + each.before + each.after - each.kernel) / each.stride) + 1,
  }))
  .filter(({ kernel, before, after, out }) => before < kernel && after < kernel && out > 0);

const geometries = fc
  .record({
    batch: fc.integer({ min: 1, max: 3 }),
    rows: side,
    columns: side,
    channels: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(33, 64, 70, 130)),
  })
  .map(({ batch, rows, columns, channels }): PoolGeometry => ({
    batch,
    inHeight: rows.extent,
    inWidth: columns.extent,
    channels,
    outHeight: rows.out,
    outWidth: columns.out,
    kernelHeight: rows.kernel,
    kernelWidth: columns.kernel,
    strideHeight: rows.stride,
    strideWidth: columns.stride,
    padTop: rows.before,
    padLeft: columns.before,
  }))
  .filter((g) => g.batch * g.inHeight * g.inWidth * g.channels < 12_000);

const inputs = (g: PoolGeometry): number => g.batch * g.inHeight * g.inWidth * g.channels;
const outputs = (g: PoolGeometry): number => g.batch * g.outHeight * g.outWidth * g.channels;

/** The places of x in the window of output `at`, in row-major order. */
function placesOf(g: PoolGeometry, at: number): number[] {
  const c = at % g.channels;
  const w = Math.floor(at / g.channels) % g.outWidth;
  const h = Math.floor(at / (g.channels * g.outWidth)) % g.outHeight;
  const n = Math.floor(at / (g.channels * g.outWidth * g.outHeight));
  const places: number[] = [];
  for (let row = h * g.strideHeight - g.padTop; row < h * g.strideHeight - g.padTop + g.kernelHeight; row++)
    for (
      let column = w * g.strideWidth - g.padLeft;
      column < w * g.strideWidth - g.padLeft + g.kernelWidth;
      column++
    )
      if (row >= 0 && row < g.inHeight && column >= 0 && column < g.inWidth)
        places.push(((n * g.inHeight + row) * g.inWidth + column) * g.channels + c);
  return places;
}

export function describeWindows(device: Device): void {
  const maxOf = (on: Device, g: PoolGeometry, x: Float32Array): Float32Array =>
    withBuffers(on, (buffers) => {
      const y = buffers.output(outputs(g));
      on.kernels.maxPool(g, buffers.input(x), y);
      return y;
    });
  const maxSlopes = (on: Device, g: PoolGeometry, x: Float32Array, dy: Float32Array): Float32Array =>
    withBuffers(on, (buffers) => {
      const dx = buffers.output(inputs(g));
      on.kernels.maxPoolGradient(g, buffers.input(x), buffers.input(maxOf(on, g, x)), buffers.input(dy), dx);
      return dx;
    });
  const meanOf = (on: Device, g: PoolGeometry, counted: boolean, x: Float32Array): Float32Array =>
    withBuffers(on, (buffers) => {
      const y = buffers.output(outputs(g));
      on.kernels.averagePool(g, counted, buffers.input(x), y);
      return y;
    });
  const meanSlopes = (on: Device, g: PoolGeometry, counted: boolean, dy: Float32Array): Float32Array =>
    withBuffers(on, (buffers) => {
      const dx = buffers.output(inputs(g));
      on.kernels.averagePoolGradient(g, counted, buffers.input(dy), dx);
      return dx;
    });

  describe('pooling over windows', () => {
    it('the maximum and its gradient are their definitions, ties to the first', () => {
      forAll(fc.tuple(geometries, seeds), ([g, seed]) => {
        const x = eighths(inputs(g), seed).map((value) => Math.round(value));
        const dy = normals(outputs(g), 'dy', seed);
        const firsts = Array.from({ length: outputs(g) }, (_, at) =>
          placesOf(g, at).reduce((best, place) => (x[place]! > x[best]! ? place : best)),
        );
        expectEqual(
          'y',
          maxOf(device, g, x),
          firsts.map((place) => x[place]!),
        );
        const uses = new Map<number, number[]>();
        firsts.forEach((place, at) => uses.set(place, [...(uses.get(place) ?? []), at]));
        const dx = tabulate(inputs(g), (place, add) => {
          for (const at of uses.get(place) ?? []) add(dy[at]!);
        });
        expectDefinition('dx', device, (on) => maxSlopes(on, g, x, dy), dx);
      });
    });

    it('the mean and its gradient are their definitions, padding counted or not', () => {
      forAll(fc.tuple(geometries, fc.boolean(), seeds), ([g, counted, seed]) => {
        const [x, dy] = [normals(inputs(g), 'x', seed), normals(outputs(g), 'dy', seed)];
        const windows = Array.from({ length: outputs(g) }, (_, at) => placesOf(g, at));
        const count = (at: number): number =>
          counted ? g.kernelHeight * g.kernelWidth : windows[at]!.length;
        const y = tabulate(outputs(g), (at, add) => {
          for (const place of windows[at]!) add(x[place]! / count(at));
        });
        const uses = new Map<number, number[]>();
        windows.forEach((window, at) =>
          window.forEach((place) => uses.set(place, [...(uses.get(place) ?? []), at])),
        );
        const dx = tabulate(inputs(g), (place, add) => {
          for (const at of uses.get(place) ?? []) add(dy[at]! / count(at));
        });
        expectDefinition('y', device, (on) => meanOf(on, g, counted, x), y);
        expectDefinition('dx', device, (on) => meanSlopes(on, g, counted, dy), dx);
      });
    });

    it('a window of the whole map is global pooling, one of a single value is the map', () => {
      const whole: PoolGeometry = {
        batch: 2,
        inHeight: 3,
        inWidth: 5,
        channels: 19,
        outHeight: 1,
        outWidth: 1,
        kernelHeight: 3,
        kernelWidth: 5,
        strideHeight: 1,
        strideWidth: 1,
        padTop: 0,
        padLeft: 0,
      };
      const x = eighths(inputs(whole), 'whole');
      const pooled = withBuffers(device, (buffers) => {
        const y = buffers.output(38);
        device.kernels.globalAveragePool(2, 15, 19, buffers.input(x), y);
        return y;
      });
      meanOf(device, whole, true, x).forEach((value, at) => expect(value).toBeCloseTo(pooled[at]!, 5));
      const single = { ...whole, outHeight: 3, outWidth: 5, kernelHeight: 1, kernelWidth: 1 };
      expectEqual('max', maxOf(device, single, x), x);
      expectEqual('mean', meanOf(device, single, true, x), x);
      expectEqual('max gradient', maxSlopes(device, single, x, x), x);
      expectEqual('mean gradient', meanSlopes(device, single, true, x), x);
    });

    it.each([NaN, Infinity, -Infinity])('%s reaches the windows it lies in, and no other', (bad) => {
      const g: PoolGeometry = {
        batch: 2,
        inHeight: 6,
        inWidth: 6,
        channels: 18,
        outHeight: 3,
        outWidth: 3,
        kernelHeight: 3,
        kernelWidth: 3,
        strideHeight: 2,
        strideWidth: 2,
        padTop: 1,
        padLeft: 1,
      };
      const x = new Float32Array(inputs(g)).fill(1);
      const place = ((6 + 3) * 6 + 3) * 18 + 17;
      x[place] = bad;
      const most = maxOf(device, g, x);
      const mean = meanOf(device, g, true, x);
      most.forEach((value, at) => {
        const inside = placesOf(g, at).includes(place);
        expect(value).toBe(inside ? Math.max(bad, 1) : 1);
        expect(Number.isFinite(mean[at])).toBe(!inside);
      });
      const dx = maxSlopes(device, g, x, new Float32Array(outputs(g)).fill(1));
      if (bad === -Infinity) expect(dx[place]).toBe(0);
      else expect(dx[place]).toBe(most.filter((value) => !Number.isFinite(value)).length);
    });

    it('maps of minus infinities pass their gradient to the first place', () => {
      const g: PoolGeometry = {
        batch: 1,
        inHeight: 2,
        inWidth: 2,
        channels: 1,
        outHeight: 1,
        outWidth: 1,
        kernelHeight: 2,
        kernelWidth: 2,
        strideHeight: 2,
        strideWidth: 2,
        padTop: 0,
        padLeft: 0,
      };
      const x = new Float32Array(4).fill(-Infinity);
      expectEqual('y', maxOf(device, g, x), [-Infinity]);
      expectEqual('dx', maxSlopes(device, g, x, Float32Array.of(3)), [3, 0, 0, 0]);
    });
  });
}
