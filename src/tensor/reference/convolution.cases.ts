/**
 * @file Cases for convolution and the adder layer alike: their definitions on random shapes and on usual layers,
 * and the convolution gradients by finite differences.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ConvGeometry } from '../kernels.js';
import {
  centralDifference,
  describeGeometry,
  type Device,
  expectDefinition,
  forAll,
  geometries,
  normals,
  type Numbers,
  seeds,
  spread,
  usualLayers,
  withBuffers,
} from './support.cases.js';
import {
  adder,
  convolution,
  forwardSums,
  inputGradientSums,
  type Operator,
  powerDistance,
  weightGradientSums,
} from './definitions.cases.js';
import { inputLength, outputLength, weightLength } from './taps.js';

/** One convolution-like operator as the contract spells it. */
interface OperatorCalls {
  readonly name: string;
  readonly operator: Operator;
  forward(device: Device, g: ConvGeometry, x: Float32Array, w: Float32Array): Float32Array;
  byInput(device: Device, g: ConvGeometry, x: Float32Array, w: Float32Array, dy: Float32Array): Float32Array;
  byWeight(device: Device, g: ConvGeometry, x: Float32Array, w: Float32Array, dy: Float32Array): Float32Array;
}

export const convolutionCalls: OperatorCalls = {
  name: 'convolution',
  operator: convolution,
  forward: (device, g, x, w) =>
    withBuffers(device, (buffers) => {
      const y = buffers.output(outputLength(g));
      device.kernels.conv2dForward(g, buffers.input(x), buffers.input(w), y);
      return y;
    }),
  byInput: (device, g, _, w, dy) =>
    withBuffers(device, (buffers) => {
      const dx = buffers.output(inputLength(g));
      device.kernels.conv2dInputGradient(g, buffers.input(dy), buffers.input(w), dx);
      return dx;
    }),
  byWeight: (device, g, x, _, dy) =>
    withBuffers(device, (buffers) => {
      const dw = buffers.output(weightLength(g));
      device.kernels.conv2dWeightGradient(g, buffers.input(x), buffers.input(dy), dw);
      return dw;
    }),
};

export const adderCalls: OperatorCalls = {
  name: 'adder layer',
  operator: adder,
  forward: (device, g, x, w) =>
    withBuffers(device, (buffers) => {
      const y = buffers.output(outputLength(g));
      device.kernels.l1Forward(g, buffers.input(x), buffers.input(w), y);
      return y;
    }),
  byInput: (device, g, x, w, dy) =>
    withBuffers(device, (buffers) => {
      const dx = buffers.output(inputLength(g));
      device.kernels.l1InputGradient(g, buffers.input(x), buffers.input(w), buffers.input(dy), dx);
      return dx;
    }),
  byWeight: (device, g, x, w, dy) =>
    withBuffers(device, (buffers) => {
      const dw = buffers.output(weightLength(g));
      device.kernels.l1WeightGradient(g, buffers.input(x), buffers.input(w), buffers.input(dy), dw);
      return dw;
    }),
};

/** The adder layer of another norm. */
export const normCalls = (exponent: number): OperatorCalls => ({
  name: `adder layer of the norm ${exponent}`,
  operator: powerDistance(exponent),
  forward: (device, g, x, w) =>
    withBuffers(device, (buffers) => {
      const y = buffers.output(outputLength(g));
      device.kernels.lpForward(g, exponent, buffers.input(x), buffers.input(w), y);
      return y;
    }),
  byInput: (device, g, x, w, dy) =>
    withBuffers(device, (buffers) => {
      const dx = buffers.output(inputLength(g));
      device.kernels.lpInputGradient(g, exponent, buffers.input(x), buffers.input(w), buffers.input(dy), dx);
      return dx;
    }),
  byWeight: (device, g, x, w, dy) =>
    withBuffers(device, (buffers) => {
      const dw = buffers.output(weightLength(g));
      device.kernels.lpWeightGradient(g, exponent, buffers.input(x), buffers.input(w), buffers.input(dy), dw);
      return dw;
    }),
});

/** Every operator; of the norms, one between and the two ends. */
export const allCalls: readonly OperatorCalls[] = [
  convolutionCalls,
  adderCalls,
  ...[1.3, 1, 2].map(normCalls),
];

/** Normal x, w and dy for a geometry. */
export function layerData(
  g: ConvGeometry,
  seed: number,
): { readonly x: Float32Array; readonly w: Float32Array; readonly dy: Float32Array } {
  return {
    x: normals(inputLength(g), 'x', seed),
    w: normals(weightLength(g), 'w', seed),
    dy: normals(outputLength(g), 'dy', seed),
  };
}

const shapes = fc.tuple(geometries(400_000), seeds);

export function describeConvolutions(device: Device): void {
  for (const calls of allCalls) {
    describe(calls.name, () => {
      const forwardHolds = (g: ConvGeometry, seed: number): void => {
        const { x, w } = layerData(g, seed);
        const expected = forwardSums(g, calls.operator.forward, x, w);
        expectDefinition(`y of ${describeGeometry(g)}`, device, (on) => calls.forward(on, g, x, w), expected);
      };
      const inputGradientHolds = (g: ConvGeometry, seed: number): void => {
        const { x, w, dy } = layerData(g, seed);
        const expected = inputGradientSums(g, calls.operator.byInput, x, w, dy);
        expectDefinition(
          `dx of ${describeGeometry(g)}`,
          device,
          (on) => calls.byInput(on, g, x, w, dy),
          expected,
        );
      };
      const weightGradientHolds = (g: ConvGeometry, seed: number): void => {
        const { x, w, dy } = layerData(g, seed);
        const expected = weightGradientSums(g, calls.operator.byWeight, x, w, dy);
        expectDefinition(
          `dw of ${describeGeometry(g)}`,
          device,
          (on) => calls.byWeight(on, g, x, w, dy),
          expected,
        );
      };

      it('forward is its definition on random shapes', () => {
        forAll(shapes, ([g, seed]) => forwardHolds(g, seed));
      });

      it('input gradient is its definition on random shapes', () => {
        forAll(shapes, ([g, seed]) => inputGradientHolds(g, seed));
      });

      it('weight gradient is its definition on random shapes', () => {
        forAll(shapes, ([g, seed]) => weightGradientHolds(g, seed));
      });

      it.each(usualLayers.map((g) => [describeGeometry(g), g] as const))('all three on %s', (_, g) => {
        forwardHolds(g, 7);
        inputGradientHolds(g, 7);
        weightGradientHolds(g, 7);
      });
    });
  }

  describe('convolution gradients by finite differences', () => {
    // The loss sum(dy * y) is linear in x and in w, so that a central difference is exact up to rounding.
    const loss = (g: ConvGeometry, x: Numbers, w: Numbers, dy: Numbers): number => {
      const y = forwardSums(g, convolution.forward, x, w).values;
      return y.reduce((sum, value, i) => sum + value * dy[i]!, 0);
    };

    it('of the input and of the weights', () => {
      forAll(fc.tuple(geometries(3_000), seeds), ([g, seed]) => {
        const { x, w, dy } = layerData(g, seed);
        const dx = convolutionCalls.byInput(device, g, x, w, dy);
        const dw = convolutionCalls.byWeight(device, g, x, w, dy);
        const scale = dy.reduce((sum, value) => sum + Math.abs(value), 0) + 1;
        for (const at of spread(x.length)) {
          const slope = centralDifference(x, at, 0.5, (moved) => loss(g, moved, w, dy));
          expect(Math.abs(dx[at]! - slope)).toBeLessThanOrEqual(2e-6 * scale);
        }
        for (const at of spread(w.length)) {
          const slope = centralDifference(w, at, 0.5, (moved) => loss(g, x, moved, dy));
          expect(Math.abs(dw[at]! - slope)).toBeLessThanOrEqual(2e-6 * scale);
        }
      });
    });
  });
}
