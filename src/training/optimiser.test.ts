import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Parameter } from '../nn/module.js';
import { normals, relativeError } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { l1Conv2d } from '../tensor/ops/convolution.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { adaptiveScale, Sgd } from './optimiser.js';
import { learningRate, type Schedule } from './schedule.js';
import { toySchedule } from './toy.cases.js';

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

function parameter(values: Float32Array, rest: Partial<Parameter> = {}): Parameter {
  return { name: 'p', tensor: Tensor.persistent([values.length], values, true), decay: false, ...rest };
}

function setGradient(at: Parameter, values: Float32Array): void {
  const holder = Tensor.persistent([values.length], values);
  at.tensor.gradient = holder.data;
}

describe('adaptiveScale', () => {
  it('makes the norm eta sqrt(k), whatever the scale of the loss', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.double({ min: 0.01, max: 2, noNaN: true }),
        fc.integer({ min: -6, max: 6 }),
        (count, eta, exponent) => {
          const gradient = normals(count, 'adaptive', count).map((v) => v * 10 ** exponent);
          const scale = adaptiveScale(eta, gradient);
          expect((norm(gradient) * scale) / (eta * Math.sqrt(count))).toBeCloseTo(1, 5);
        },
      ),
    );
  });

  it('leaves a zero gradient zero', () => {
    const at = parameter(Float32Array.of(1, 2, 3), { adaptiveRate: 0.2 });
    setGradient(at, new Float32Array(3));
    const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0 });
    sgd.step(0.1);
    expect([...at.tensor.data]).toEqual([1, 2, 3]);
    expect([...sgd.velocities.get('p')!.data]).toEqual([0, 0, 0]);
    at.tensor.dispose();
    sgd.dispose();
  });

  it('acts after accumulation: the sum of two batches is scaled, not each of them, and the loss scale is nothing', () => {
    const images = Tensor.view([6, 1, 1, 4], normals(24, 'images'));
    const labels = Int32Array.of(0, 1, 2, 0, 1, 2);
    const start = normals(12, 'start');
    const stepped = (weights: readonly number[]): Float32Array => {
      const at = parameter(start, {
        adaptiveRate: 0.2,
        tensor: Tensor.persistent([1, 1, 4, 3], start, true),
      });
      const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0 });
      for (const weight of weights) {
        const { value, tape } = Tape.record(() => softmaxCrossEntropy(l1Conv2d(images, at.tensor), labels));
        tape.backward(value, weight);
      }
      sgd.step(1);
      const moved = at.tensor.data.map((w, i) => w - start[i]!);
      at.tensor.dispose();
      sgd.dispose();
      return moved;
    };
    const once = stepped([1]);
    expect(norm(once)).toBeCloseTo(0.2 * Math.sqrt(12), 5);
    expect(relativeError(stepped([1e4]), once)).toBeLessThan(1e-5);
    expect(relativeError(stepped([0.5, 0.5]), once)).toBeLessThan(1e-5);
    expect(relativeError(stepped([1, 3]), once)).toBeLessThan(1e-5);
  });
});

describe('Sgd', () => {
  it('follows velocity = m velocity + (g + decay w), w -= rate velocity; decay only where it is due', () => {
    const start = normals(10, 'w');
    for (const decay of [true, false]) {
      const at = parameter(start, { decay });
      const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0.01 });
      const [w, v] = [Float64Array.from(start), new Float64Array(10)];
      for (let step = 0; step < 5; step++) {
        const gradient = normals(10, 'g', step);
        setGradient(at, gradient);
        sgd.step(0.1, () => 0.5);
        for (let i = 0; i < 10; i++) {
          v[i] = 0.9 * v[i]! + 0.5 * gradient[i]! + (decay ? 0.01 : 0) * w[i]!;
          w[i]! -= 0.1 * v[i]!;
        }
        expect(at.tensor.gradient).toBeUndefined();
      }
      expect(relativeError(at.tensor.data, w)).toBeLessThan(1e-6);
      expect(relativeError(sgd.velocities.get('p')!.data, v)).toBeLessThan(1e-6);
      at.tensor.dispose();
      sgd.dispose();
    }
  });

  it('leaves parameters without gradient alone: no decay, no coasting on momentum', () => {
    const at = parameter(normals(4, 'unused'), { decay: true });
    const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0.1 });
    setGradient(at, normals(4, 'g'));
    sgd.step(0.1);
    const [weights, velocity] = [at.tensor.data.slice(), sgd.velocities.get('p')!.data.slice()];
    for (let step = 0; step < 3; step++) sgd.step(0.1);
    expect(at.tensor.data).toEqual(weights);
    expect(sgd.velocities.get('p')!.data).toEqual(velocity);
    at.tensor.dispose();
    sgd.dispose();
  });
});

describe('learningRate', () => {
  it('warms up linearly, falls as half a cosine and ends near zero', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (steps, fraction) => {
          const schedule: Schedule = { ...toySchedule, warmupFraction: fraction, peakLearningRate: 0.2 };
          const rates = Array.from({ length: steps }, (_, step) => learningRate(schedule, step, steps));
          const warmup = Math.max(1, Math.round(fraction * steps));
          rates.forEach((rate, step) => {
            const expected =
              step < warmup
                ? (0.2 * (step + 1)) / warmup
                : 0.2 * Math.cos((Math.PI / 2) * ((step - warmup) / (steps - warmup))) ** 2;
            expect(rate).toBeCloseTo(expected, 12);
            expect(rate).toBeGreaterThan(0);
          });
          expect(Math.max(...rates)).toBeCloseTo(0.2, 12);
        },
      ),
    );
    expect(learningRate({ ...toySchedule, peakLearningRate: 0.2 }, 999, 1000)).toBeLessThan(1e-5);
  });
});

describe('label smoothing', () => {
  it('adds the mean surprise over all classes, and its gradient sums to zero per image', () => {
    const logits = Tensor.persistent([3, 4], normals(12, 'logits'), true);
    const labels = Int32Array.of(0, 3, 1);
    const loss = (smoothing: number): number => {
      const { value, tape } = Tape.record(() => softmaxCrossEntropy(logits, labels, smoothing));
      const held = value.data[0]!;
      logits.dropGradient();
      tape.backward(value);
      return held;
    };
    const each = Array.from({ length: 4 }, (_, label) => {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(logits, Int32Array.of(label, label, label)),
      );
      const held = value.data[0]!;
      tape.dispose();
      return held;
    });
    const uniform = each.reduce((sum, v) => sum + v, 0) / 4;
    expect(loss(0.3)).toBeCloseTo(0.7 * loss(0) + 0.3 * uniform, 5);
    loss(0.3);
    for (let n = 0; n < 3; n++)
      expect(logits.gradient!.slice(4 * n, 4 * n + 4).reduce((sum, v) => sum + v, 0)).toBeCloseTo(0, 6);
    logits.dispose();
  });
});
