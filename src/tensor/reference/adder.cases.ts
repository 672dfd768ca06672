/**
 * @file Closed forms of the adder layer: what must hold whatever the kernel does inside.
 *
 * Most use data of which every sum is exact in float32, and then allow no error at all.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Device,
  eighths,
  expectEqual,
  forAll,
  geometries,
  layer,
  normals,
  seeds,
} from './support.cases.js';
import { adderCalls, convolutionCalls, layerData } from './convolution.cases.js';
import type { ConvGeometry } from '../kernels.js';
import { inputLength, outputLength, weightLength } from './taps.js';

const shapes = fc.tuple(geometries(100_000), seeds);

export function describeAdderClosedForms(device: Device): void {
  const { forward, byInput, byWeight } = adderCalls;

  describe('adder layer, closed forms', () => {
    it('moving x and w by the same amount changes nothing where there is no padding', () => {
      forAll(fc.tuple(shapes, fc.integer({ min: -20, max: 20 })), ([[padded, seed], eighthsMoved]) => {
        const g = withoutPadding(padded);
        const x = eighths(inputLength(g), 'x', seed);
        const w = eighths(weightLength(g), 'w', seed);
        const moved = (values: Float32Array): Float32Array => values.map((value) => value + eighthsMoved / 8);
        expectEqual('y', forward(device, g, moved(x), moved(w)), forward(device, g, x, w));
      });
    });

    it('scaling x and w by a positive factor scales y', () => {
      forAll(fc.tuple(shapes, fc.constantFrom(0.25, 0.5, 2, 3, 8)), ([[g, seed], factor]) => {
        const x = eighths(inputLength(g), 'x', seed);
        const w = eighths(weightLength(g), 'w', seed);
        const scaled = (values: Float32Array): Float32Array => values.map((value) => value * factor);
        expectEqual('y', forward(device, g, scaled(x), scaled(w)), scaled(forward(device, g, x, w)));
      });
    });

    it('is never positive, and zero only where x equals w', () => {
      forAll(shapes, ([g, seed]) => {
        const { x, w } = layerData(g, seed);
        expect(forward(device, g, x, w).every((y) => y < 0)).toBe(true);
      });
      const g = layer({ size: 3, inChannels: 21, outChannels: 19, kernel: 3, padding: 0 });
      const same = forward(
        device,
        g,
        new Float32Array(9 * 21).fill(1.7),
        new Float32Array(9 * 21 * 19).fill(1.7),
      );
      expectEqual('y', same, new Float32Array(19));
    });

    it('a tap in the padding adds -|w|', () => {
      // One pixel under a padded 3x3 window: eight of the nine taps see zeros.
      const g = layer({ size: 1, inChannels: 18, outChannels: 37, kernel: 3 });
      const x = eighths(inputLength(g), 'x');
      const w = eighths(weightLength(g), 'w');
      const expected = new Float32Array(37);
      w.forEach((weight, at) => {
        const tap = Math.floor(at / (18 * 37));
        const input = tap === 4 ? x[Math.floor(at / 37) % 18]! : 0;
        expected[at % 37]! -= Math.abs(input - weight);
      });
      expectEqual('y', forward(device, g, x, w), expected);
    });

    it('the weight gradient is that of the convolution less w * sum(dy)', () => {
      forAll(shapes, ([g, seed]) => {
        const x = eighths(inputLength(g), 'x', seed);
        const w = eighths(weightLength(g), 'w', seed);
        const dy = eighths(outputLength(g), 'dy', seed);
        const sums = new Float64Array(g.outChannels);
        dy.forEach((slope, at) => (sums[at % g.outChannels]! += slope));
        const products = convolutionCalls.byWeight(device, g, x, w, dy);
        const expected = products.map((value, at) => value - w[at]! * sums[at % g.outChannels]!);
        expectEqual('dw', byWeight(device, g, x, w, dy), expected);
      });
    });

    it('|dx| is at most the sum of |dy| over the outputs that read the input', () => {
      forAll(shapes, ([g, seed]) => {
        const { x, w, dy } = layerData(g, seed);
        const slopes = dy.map((slope) => Math.abs(slope));
        const bound = convolutionCalls.byInput(device, g, x, new Float32Array(w.length).fill(1), slopes);
        const dx = byInput(device, g, x, w, dy);
        expect(dx.every((value, at) => Math.abs(value) <= bound[at]! * (1 + 1e-5))).toBe(true);
      });
    });

    it('far weights pull with the whole slope, near ones in proportion', () => {
      const g = layer({ batch: 2, size: 5, inChannels: 9, outChannels: 33, kernel: 1 });
      const x = eighths(inputLength(g), 'x');
      const dy = eighths(outputLength(g), 'dy');
      const pull = (distance: number): Float32Array => {
        // One input value throughout, so that the distance to every weight is the same.
        const flat = new Float32Array(x.length).fill(0.5);
        return byInput(device, g, flat, new Float32Array(weightLength(g)).fill(0.5 + distance), dy);
      };
      for (const [distance, clamped] of [
        [7, 1],
        [1, 1],
        [0.25, 0.25],
        [0, 0],
        [-0.5, -0.5],
        [-1, -1],
        [-300, -1],
      ] as const) {
        const expected = new Float32Array(x.length);
        dy.forEach((slope, at) => {
          const position = Math.floor(at / 33);
          for (let c = 0; c < 9; c++) expected[position * 9 + c]! += slope * clamped;
        });
        expectEqual(`dx at distance ${distance}`, pull(distance), expected);
      }
    });

    it('with stride 2 every input that a window reads receives its gradient', () => {
      // Weights far above the inputs make each term dy = 1, so dx counts windows times output channels. The
      // published CUDA kernel tested its bounds before dividing by the stride and left 75 % of the inputs at zero.
      const outChannels = 20;
      for (const size of [13, 14]) {
        const g = layer({ batch: 2, size, inChannels: 17, outChannels, kernel: 3, stride: 2 });
        const x = normals(inputLength(g), 'x', size);
        const w = new Float32Array(weightLength(g)).fill(100);
        const dx = byInput(device, g, x, w, new Float32Array(outputLength(g)).fill(1));
        // With one row of padding, output i reads inputs 2i - 1, 2i, 2i + 1.
        const windows = (at: number): number => (at % 2 === 1 && (at + 1) / 2 < g.outHeight ? 2 : 1);
        const expected = dx.map((_, at) => {
          const position = Math.floor(at / 17);
          return windows(position % size) * windows(Math.floor(position / size) % size) * outChannels;
        });
        expectEqual(`dx at size ${size}`, dx, expected);
        expect(dx.every((value) => value > 0)).toBe(true);
      }
    });

    it('on normal data y has mean -D sqrt(2/pi) s and variance D (1 - 2/pi) s^2, s^2 = sx^2 + sw^2', () => {
      const [rows, depth, filters, inputStd, weightStd] = [300, 64, 300, 1.5, 0.8];
      const g = layer({ batch: rows, size: 1, inChannels: depth, outChannels: filters, kernel: 1 });
      const x = normals(inputLength(g), 'moments x').map((value) => value * inputStd);
      const w = normals(weightLength(g), 'moments w').map((value) => value * weightStd);
      const y = forward(device, g, x, w);
      const mean = y.reduce((sum, value) => sum + value, 0) / y.length;
      const variance = y.reduce((sum, value) => sum + (value - mean) ** 2, 0) / y.length;
      const squaredStd = inputStd ** 2 + weightStd ** 2;
      const expectedMean = -depth * Math.sqrt((2 / Math.PI) * squaredStd);
      const expectedVariance = depth * (1 - 2 / Math.PI) * squaredStd;
      // Rows share weights and filters share inputs, so 300 of each leave a per cent of chance in the mean.
      expect(Math.abs(mean / expectedMean - 1)).toBeLessThan(0.01);
      expect(Math.abs(variance / expectedVariance - 1)).toBeLessThan(0.08);
    });
  });
}

/** The same channels and kernel, the map grown where the kernel would not fit, no padding. */
function withoutPadding(g: ConvGeometry): ConvGeometry {
  const inHeight = Math.max(g.inHeight, g.kernelHeight);
  const inWidth = Math.max(g.inWidth, g.kernelWidth);
  return {
    ...g,
    inHeight,
    inWidth,
    padTop: 0,
    padLeft: 0,
    outHeight: Math.floor((inHeight - g.kernelHeight) / g.stride) + 1,
    outWidth: Math.floor((inWidth - g.kernelWidth) / g.stride) + 1,
  };
}
