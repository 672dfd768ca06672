/**
 * What the loss refuses, and what it leaves behind then. Its values are tested in `../reference`, its gradient in
 * `../autograd.test.ts`.
 */
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { poolUsage } from '../pool.js';
import { Tensor } from '../tensor.js';
import { tidy } from '../tape.js';
import { softmaxCrossEntropy } from './loss.js';

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

  it('refuses another number of labels than rows', () => {
    expect(() => softmaxCrossEntropy(zeros(3, 3), Int32Array.of(0, 1))).toThrow(ShapeError);
  });
});
