/**
 * @file Cases for the label-smoothed cross-entropy and its gradient.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  centralDifference,
  type Device,
  expectClose,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  type Numbers,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

export function describeLoss(device: Device): void {
  describe('label-smoothed cross-entropy', () => {
    const run = (
      on: Device,
      classes: number,
      smoothing: number,
      logits: Float32Array,
      labels: Int32Array,
    ): { readonly losses: Float32Array; readonly dlogits: Float32Array } =>
      withBuffers(on, (buffers) => {
        const losses = buffers.output(labels.length);
        const dlogits = buffers.output(logits.length);
        on.kernels.softmaxCrossEntropy(
          labels.length,
          classes,
          smoothing,
          buffers.input(logits),
          labels,
          losses,
          dlogits,
        );
        return { losses, dlogits };
      });

    /** -sum q log p of one row, from the definition; no care for overflow, so for moderate logits only. */
    const rowLoss = (row: Numbers, label: number, smoothing: number): number => {
      const powers = Array.from(row, Math.exp);
      const total = powers.reduce((sum, power) => sum + power, 0);
      return powers.reduce((loss, power, c) => {
        const wanted = smoothing / row.length + (c === label ? 1 - smoothing : 0);
        return loss - wanted * Math.log(power / total);
      }, 0);
    };

    const batches = fc.record({
      batch: fc.integer({ min: 1, max: 9 }),
      classes: fc.integer({ min: 1, max: 130 }),
      smoothing: fc.constantFrom(0, 0.1, 0.5, 1),
      seed: seeds,
    });

    it('losses and gradient are their definition', () => {
      forAll(batches, ({ batch, classes, smoothing, seed }) => {
        const logits = normals(batch * classes, seed).map((value) => 3 * value);
        const labels = Int32Array.from({ length: batch }, (_, n) => (seed + 7 * n) % classes);
        const row = (n: number): Float32Array => logits.slice(n * classes, (n + 1) * classes);
        const losses = tabulate(batch, (n, add) => {
          const loss = rowLoss(row(n), labels[n]!, smoothing);
          add(loss, loss + Math.max(...row(n).map(Math.abs)));
        });
        const dlogits = tabulate(batch * classes, (at, add) => {
          const [n, c] = [Math.floor(at / classes), at % classes];
          const total = row(n).reduce((sum, logit) => sum + Math.exp(logit), 0);
          add(Math.exp(logits[at]!) / total / batch);
          add(-(smoothing / classes + (c === labels[n] ? 1 - smoothing : 0)) / batch);
        });
        expectDefinition(
          'losses',
          device,
          (on) => run(on, classes, smoothing, logits, labels).losses,
          losses,
        );
        expectDefinition(
          'dlogits',
          device,
          (on) => run(on, classes, smoothing, logits, labels).dlogits,
          dlogits,
        );
      });
    });

    it('gradient is the finite difference of the mean loss', () => {
      const [batch, classes, smoothing] = [3, 11, 0.1];
      const logits = normals(batch * classes, 'finite differences');
      const labels = Int32Array.of(4, 0, 10);
      const meanLoss = (moved: Float64Array): number =>
        labels.reduce(
          (sum, label, n) =>
            sum + rowLoss(moved.subarray(n * classes, (n + 1) * classes), label, smoothing) / batch,
          0,
        );
      const { dlogits } = run(device, classes, smoothing, logits, labels);
      dlogits.forEach((slope, at) => {
        expect(Math.abs(slope - centralDifference(logits, at, 1e-5, meanLoss))).toBeLessThan(1e-6);
      });
    });

    it('equal logits lose log(classes), at any height', () => {
      for (const classes of [1, 2, 10, 100]) {
        for (const height of [0, 1, -1000, 1e30]) {
          const { losses, dlogits } = run(
            device,
            classes,
            0.1,
            new Float32Array(classes).fill(height),
            Int32Array.of(0),
          );
          // With smoothing the label is wanted with 0.9 + 0.1 / classes, so its gradient is less that.
          expect(losses[0]).toBeCloseTo(Math.log(classes), 5);
          expect(dlogits[0]).toBeCloseTo(1 / classes - 0.9 - 0.1 / classes, 6);
        }
      }
    });

    it('far logits neither overflow nor lose the loss', () => {
      const wrong = run(device, 3, 0, Float32Array.of(-5000, 5000, 0), Int32Array.of(0));
      expectClose(
        'losses',
        wrong.losses,
        { values: Float64Array.of(10000), magnitudes: Float64Array.of(10000) },
        1e-6,
      );
      expectEqual('dlogits', wrong.dlogits, [-1, 1, 0]);
      const right = run(device, 3, 0, Float32Array.of(-5000, 5000, 0), Int32Array.of(1));
      expectEqual('losses', right.losses, [0]);
      expectEqual('dlogits', right.dlogits, [0, 0, 0]);
    });

    it('gradients of one image sum to zero', () => {
      const classes = 101;
      const logits = normals(4 * classes, 'sum');
      const { dlogits } = run(device, classes, 0.1, logits, Int32Array.of(0, 50, 99, 100));
      for (let n = 0; n < 4; n++) {
        const sum = dlogits
          .subarray(n * classes, (n + 1) * classes)
          .reduce((total, value) => total + value, 0);
        expect(Math.abs(sum)).toBeLessThan(1e-6);
      }
      expect(dlogits.every((slope) => slope !== 0)).toBe(true);
    });
  });

  describe('cross-entropy against soft targets', () => {
    const run = (
      on: Device,
      classes: number,
      logits: Float32Array,
      targets: Float32Array,
    ): { readonly losses: Float32Array; readonly dlogits: Float32Array } =>
      withBuffers(on, (buffers) => {
        const batch = logits.length / classes;
        const [losses, dlogits] = [buffers.output(batch), buffers.output(logits.length)];
        const [z, q] = [buffers.input(logits), buffers.input(targets)];
        on.kernels.softTargetCrossEntropy(batch, classes, z, q, losses, dlogits);
        return { losses, dlogits };
      });

    const batches = fc.record({
      batch: fc.integer({ min: 1, max: 9 }),
      classes: fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: 1, max: 130 }) },
        { weight: 1, arbitrary: fc.integer({ min: 1000, max: 5000 }) },
      ),
      seed: seeds,
    });
    const [pick, logitsOf] = [
      (values: Float32Array, classes: number, n: number): Float32Array =>
        values.slice(n * classes, (n + 1) * classes),
      (length: number, seed: number): Float32Array => normals(length, 'z', seed).map((value) => 3 * value),
    ];

    it('losses and gradient are their definition, the targets summing to one or not', () => {
      forAll(batches, ({ batch, classes, seed }) => {
        const logits = logitsOf(batch * classes, seed);
        const targets = normals(batch * classes, 'q', seed).map((value) => Math.max(0, value) / classes);
        const logSum = (n: number): number =>
          Math.log(pick(logits, classes, n).reduce((sum, logit) => sum + Math.exp(logit), 0));
        const losses = tabulate(batch, (n, add) => {
          const q = pick(targets, classes, n);
          pick(logits, classes, n).forEach((z, c) =>
            add(q[c]! * (logSum(n) - z), q[c]! * (20 + Math.abs(z))),
          );
        });
        const sums = Array.from({ length: batch }, (_, n) => logSum(n));
        const masses = Array.from({ length: batch }, (_, n) =>
          pick(targets, classes, n).reduce((sum, q) => sum + q, 0),
        );
        const dlogits = tabulate(batch * classes, (at, add) => {
          const n = Math.floor(at / classes);
          add((Math.exp(logits[at]! - sums[n]!) * masses[n]!) / batch);
          add(-targets[at]! / batch);
        });
        expectDefinition('losses', device, (on) => run(on, classes, logits, targets).losses, losses);
        expectDefinition('dlogits', device, (on) => run(on, classes, logits, targets).dlogits, dlogits);
      });
    });

    it('is the smoothed loss on smoothed labels', () => {
      const [batch, classes, smoothing] = [4, 37, 0.2];
      const logits = logitsOf(batch * classes, 3);
      const labels = Int32Array.of(0, 36, 5, 5);
      const targets = Float32Array.from(logits, (_, at) => {
        const label = at % classes === labels[Math.floor(at / classes)] ? 1 - smoothing : 0;
        return smoothing / classes + label;
      });
      const hard = withBuffers(device, (buffers) => {
        const [losses, dlogits] = [buffers.output(batch), buffers.output(logits.length)];
        const z = buffers.input(logits);
        device.kernels.softmaxCrossEntropy(batch, classes, smoothing, z, labels, losses, dlogits);
        return { losses, dlogits };
      });
      const soft = run(device, classes, logits, targets);
      for (const key of ['losses', 'dlogits'] as const)
        soft[key].forEach((value, at) => expect(Math.abs(value - hard[key][at]!)).toBeLessThan(4e-6));
    });

    it('a class that is not wanted may have a logit of minus infinity', () => {
      const { losses, dlogits } = run(device, 3, Float32Array.of(-Infinity, 0, 0), Float32Array.of(0, 1, 0));
      expect(losses[0]).toBeCloseTo(Math.log(2), 6);
      expectEqual('dlogits', dlogits, [0, -0.5, 0.5]);
      const wanted = run(device, 3, Float32Array.of(-Infinity, 0, 0), Float32Array.of(0.5, 0.5, 0));
      expect(wanted.losses[0]).toBe(Infinity);
    });
  });
}
