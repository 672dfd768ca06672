/**
 * @file Cases for the passes over lists of parameters: optimiser steps, scaling, the sum of squares. The lists mix
 * lengths around the widths of vectors, empty tensors, and lengths that are split among threads.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AdamWOptions } from '../kernels.js';
import {
  type Device,
  expectDefinition,
  forAll,
  normals,
  seeds,
  type Sums,
  tabulate,
  withBuffers,
} from './support.cases.js';

const lengths = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 15, arbitrary: fc.integer({ min: 1, max: 200 }) },
  { weight: 1, arbitrary: fc.integer({ min: 20_000, max: 60_000 }) },
);
const lists = fc.record({ lengths: fc.array(lengths, { minLength: 1, maxLength: 9 }), seed: seeds });

/** One buffer of normals for each length. */
function buffersOf(list: { readonly lengths: readonly number[]; readonly seed: number }, name: string) {
  return list.lengths.map((length, at) => normals(length, name, list.seed, at));
}

/** The buffers end to end, for comparisons. */
function joined(buffers: readonly Float32Array[]): Float32Array {
  return Float32Array.from(buffers.flatMap((buffer) => [...buffer]));
}

/** A value of each item, repeated over its elements. */
function spreadOver(lengths: readonly number[], each: readonly number[]): readonly number[] {
  return lengths.flatMap((length, at) => new Array<number>(length).fill(each[at]!));
}

export function describeOptimisers(device: Device): void {
  const { kernels } = device;

  describe('passes over lists of parameters', () => {
    it('scale multiplies every buffer', () => {
      forAll(lists, (list) => {
        const xs = buffersOf(list, 'x');
        const flat = joined(xs);
        const expected = tabulate(flat.length, (at, add) => add(1.7 * flat[at]!));
        const run = (on: Device): Float32Array =>
          withBuffers(on, (buffers) => {
            const scaled = xs.map((x) => buffers.updated(x));
            on.kernels.scale(1.7, ...scaled);
            return joined(scaled);
          });
        expectDefinition('x', device, run, expected);
      });
    });

    it('sum of squares has float64 accuracy and range', () => {
      const sumOf = (xs: readonly Float32Array[]): number =>
        withBuffers(device, (buffers) => kernels.sumOfSquares(...xs.map((x) => buffers.input(x))));
      forAll(lists, (list) => {
        const xs = buffersOf(list, 'x');
        const expected = joined(xs).reduce((sum, value) => sum + value ** 2, 0);
        if (expected === 0) expect(sumOf(xs)).toBe(0);
        else expect(Math.abs(sumOf(xs) / expected - 1)).toBeLessThan(1e-12);
      });
      // Gradients too large for float32 squares are still finite gradients.
      const large = Math.fround(1e30);
      const huge = sumOf([new Float32Array(100).fill(large), new Float32Array(3).fill(large)]);
      expect(Math.abs(huge / (103 * large ** 2) - 1)).toBeLessThan(1e-12);
      expect(kernels.sumOfSquares(kernels.allocate(0))).toBe(0);
      expect(kernels.sumOfSquares()).toBe(0);
    });

    it('a step of gradient descent is its definition, with Nesterov momentum too', () => {
      const steps = fc.record({
        rate: fc.constantFrom(0, 0.1, 0.05),
        momentum: fc.constantFrom(0, 0.9),
        nesterov: fc.boolean(),
        decays: fc.array(fc.constantFrom(0, 5e-4), { minLength: 9, maxLength: 9 }),
        scales: fc.array(fc.constantFrom(1, 0.25), { minLength: 9, maxLength: 9 }),
      });
      forAll(fc.tuple(lists, steps), ([list, { rate, momentum, nesterov, decays, scales }]) => {
        const [weight, gradient, velocity] = ['weight', 'gradient', 'velocity'].map((name) =>
          buffersOf(list, name),
        ) as [Float32Array[], Float32Array[], Float32Array[]];
        const run = (on: Device): [Float32Array, Float32Array] =>
          withBuffers(on, (buffers) => {
            const items = weight.map((w, at) => ({
              weight: buffers.updated(w),
              gradient: buffers.input(gradient[at]!),
              velocity: buffers.updated(velocity[at]!),
              weightDecay: decays[at]!,
              gradientScale: scales[at]!,
            }));
            on.kernels.sgdSteps(rate, momentum, nesterov, items);
            return [joined(items.map((item) => item.weight)), joined(items.map((item) => item.velocity))];
          });
        const [w, g, v] = [weight, gradient, velocity].map(joined) as [
          Float32Array,
          Float32Array,
          Float32Array,
        ];
        const decay = spreadOver(list.lengths, decays);
        const scaling = spreadOver(list.lengths, scales);
        const slopes = tabulate(w.length, (at, add) => {
          add(scaling[at]! * g[at]!);
          add(decay[at]! * w[at]!);
        });
        const velocities = tabulate(w.length, (at, add) => {
          add(momentum * v[at]!);
          add(slopes.values[at]!, slopes.magnitudes[at]!);
        });
        const weights = tabulate(w.length, (at, add) => {
          add(w[at]!);
          const part = nesterov ? momentum : 1;
          add(-rate * part * velocities.values[at]!, rate * velocities.magnitudes[at]!);
          if (nesterov) add(-rate * slopes.values[at]!, rate * slopes.magnitudes[at]!);
        });
        expectDefinition('weight', device, (on) => run(on)[0], weights);
        expectDefinition('velocity', device, (on) => run(on)[1], velocities);
      });
    });

    it('a step of AdamW is its definition', () => {
      const steps = fc.record({
        rate: fc.constantFrom(0, 0.1, 0.001),
        options: fc.constantFrom<AdamWOptions>(
          { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
          { beta1: 0, beta2: 0.5, epsilon: 1e-3 },
        ),
        decays: fc.array(fc.constantFrom(0, 0.05), { minLength: 9, maxLength: 9 }),
        scales: fc.array(fc.constantFrom(1, 0.25), { minLength: 9, maxLength: 9 }),
        counts: fc.array(fc.constantFrom(1, 2, 1000, 10_000_000), { minLength: 9, maxLength: 9 }),
      });
      forAll(fc.tuple(lists, steps), ([list, { rate, options, decays, scales, counts }]) => {
        const { beta1, beta2, epsilon } = options;
        const [weight, gradient, mean] = ['weight', 'gradient', 'mean'].map((name) =>
          buffersOf(list, name),
        ) as [Float32Array[], Float32Array[], Float32Array[]];
        const square = buffersOf(list, 'square').map((values) => values.map((value) => value ** 2));
        const run = (on: Device): { w: Float32Array; m: Float32Array; q: Float32Array } =>
          withBuffers(on, (buffers) => {
            const items = weight.map((w, at) => ({
              weight: buffers.updated(w),
              gradient: buffers.input(gradient[at]!),
              mean: buffers.updated(mean[at]!),
              square: buffers.updated(square[at]!),
              weightDecay: decays[at]!,
              gradientScale: scales[at]!,
              step: counts[at]!,
            }));
            on.kernels.adamWSteps(rate, options, items);
            return {
              w: joined(items.map((item) => item.weight)),
              m: joined(items.map((item) => item.mean)),
              q: joined(items.map((item) => item.square)),
            };
          });
        const [w, g, m, q] = [weight, gradient, mean, square].map(joined) as [
          Float32Array,
          Float32Array,
          Float32Array,
          Float32Array,
        ];
        const decay = spreadOver(list.lengths, decays);
        const scaling = spreadOver(list.lengths, scales);
        const count = spreadOver(list.lengths, counts);
        const means: Sums = tabulate(w.length, (at, add) => {
          add(beta1 * m[at]!);
          add((1 - beta1) * scaling[at]! * g[at]!);
        });
        const squares: Sums = tabulate(w.length, (at, add) => {
          add(beta2 * q[at]!);
          add((1 - beta2) * (scaling[at]! * g[at]!) ** 2);
        });
        const weights = tabulate(w.length, (at, add) => {
          add(w[at]!);
          add(-rate * decay[at]! * w[at]!);
          const size = Math.sqrt(squares.values[at]! / (1 - beta2 ** count[at]!)) + epsilon;
          const unit = rate / (1 - beta1 ** count[at]!) / size;
          add(-unit * means.values[at]!, unit * means.magnitudes[at]!);
        });
        expectDefinition('mean', device, (on) => run(on).m, means);
        expectDefinition('square', device, (on) => run(on).q, squares);
        expectDefinition('weight', device, (on) => run(on).w, weights);
      });
    });
  });
}
