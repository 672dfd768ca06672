/**
 * What the loss refuses, and what it leaves behind then. Its values are tested in `../reference`, its gradient in
 * `../autograd.test.ts`.
 */
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { poolUsage } from '../pool.js';
import { Tensor } from '../tensor.js';
import { Tape, tidy } from '../tape.js';
import { softmaxCrossEntropy, softTargetCrossEntropy } from './loss.js';

const zeros = (...shape: number[]): Tensor =>
  Tensor.view(shape, new Float32Array(shape.reduce((product, extent) => product * extent, 1)));

describe('softmaxCrossEntropy', () => {
  it('takes every class as a label: equal logits cost log C', () => {
    for (const shape of [
      [3, 3],
      [3, 1, 1, 3],
    ]) {
      const loss = tidy(() => softmaxCrossEntropy(zeros(...shape), Int32Array.of(0, 1, 2)));
      expect(loss.data[0]).toBeCloseTo(Math.log(3), 6);
      loss.dispose();
    }
  });

  it.each([-1, 3, 255, 2 ** 31 - 1, -(2 ** 31)])(
    'refuses label %d of 3 classes and takes no memory',
    (label) => {
      const before = poolUsage().usedBytes;
      // Outside every scope, so that nothing would give a temporary back.
      const run = (): Tensor => softmaxCrossEntropy(zeros(3, 3), Int32Array.of(0, 2, label), 0.1);
      expect(run).toThrow(RangeError);
      expect(run).toThrow(`softmaxCrossEntropy: label ${label} is outside the 3 classes (0 to 2)`);
      expect(poolUsage().usedBytes).toBe(before);
    },
  );

  it('refuses smoothing outside [0, 1] and labels of another type', () => {
    const logits = Tensor.view([1, 3], new Float32Array(3));
    for (const smoothing of [5, -0.1, Number.NaN])
      expect(() => softmaxCrossEntropy(logits, Int32Array.of(0), smoothing)).toThrow(
        `smoothing ${smoothing} is not a number from 0 to 1`,
      );
    expect(() => softmaxCrossEntropy(logits, [0] as unknown as Int32Array)).toThrow(
      'softmaxCrossEntropy: the labels must be an Int32Array',
    );
  });

  it('refuses another number of labels than rows', () => {
    expect(() => softmaxCrossEntropy(zeros(3, 3), Int32Array.of(0, 1))).toThrow(ShapeError);
  });
});

describe('softTargetCrossEntropy', () => {
  it('is least where the softmax equals the targets, and then is their entropy', () => {
    const targets = Float32Array.of(0.1, 0.2, 0.7, 0.25, 0.25, 0.5);
    const logits = Tensor.persistent([2, 3], targets.map(Math.log), true);
    const { value, tape } = Tape.record(() => softTargetCrossEntropy(logits, Tensor.view([2, 3], targets)));
    const entropy = -targets.reduce((sum, q) => sum + q * Math.log(q), 0) / 2;
    expect(value.data[0]).toBeCloseTo(entropy, 6);
    tape.backward(value, 3);
    for (const slope of logits.gradient!) expect(Math.abs(slope)).toBeLessThan(1e-6);
    logits.dispose();
  });

  it('weighs the gradient, and gives none to the targets', () => {
    const logits = Tensor.persistent([1, 1, 1, 2], [0, 0], true);
    const targets = Tensor.persistent([1, 1, 1, 2], [1, 0], true);
    const { value, tape } = Tape.record(() => softTargetCrossEntropy(logits, targets));
    tape.backward(value, 4);
    expect([...logits.gradient!]).toEqual([-2, 2]);
    expect(targets.gradient).toBeUndefined();
    logits.dispose();
    targets.dispose();
  });

  it('refuses targets of another shape and logits that are no rows of classes', () => {
    expect(() => softTargetCrossEntropy(zeros(3, 3), zeros(3, 4))).toThrow(
      'softTargetCrossEntropy: shapes [3, 3] and [3, 4] differ',
    );
    expect(() => softTargetCrossEntropy(zeros(3, 2, 3), zeros(3, 2, 3))).toThrow(
      'softTargetCrossEntropy: logits [3, 2, 3] are not [N, C] or [N, 1, 1, C]',
    );
    expect(() => softTargetCrossEntropy(zeros(0, 3), zeros(0, 3))).toThrow(ShapeError);
  });
});
