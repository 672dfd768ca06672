import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { conv2d, l1Conv2d } from './ops/convolution.js';
import { add } from './ops/binary.js';
import { relu } from './ops/elementwise.js';
import { softmaxCrossEntropy } from './ops/loss.js';
import { batchNorm } from './ops/normalisation.js';
import { globalAveragePool } from './ops/pooling.js';
import { poolUsage, release, sizeClass, take } from './pool.js';
import { currentScope } from './scope.js';
import { Tape, tidy } from './tape.js';
import { Tensor } from './tensor.js';

const ones = (...shape: number[]): Tensor =>
  Tensor.view(shape, new Float32Array(shape.reduce((product, extent) => product * extent, 1)).fill(1));

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes).toBe(baseline);
  expect(currentScope()).toBeUndefined();
});

/** To take so many floats, now and then many, or to give one of those that are held back. */
const moves = fc.oneof(fc.integer({ min: -8, max: 300 }), fc.integer({ min: 15_000, max: 90_000 }));

describe('the pool', () => {
  it('has classes that hold the length and waste at most a quarter of themselves', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1 << 26 }), (length) => {
        const size = sizeClass(length);
        expect(size).toBeGreaterThanOrEqual(length);
        expect(size % 16).toBe(0);
        expect(sizeClass(size)).toBe(size);
        if (length > 64) expect(size - length).toBeLessThan(size / 4);
      }),
    );
  });

  it('counts nothing that could not be had', () => {
    const before = poolUsage();
    expect(() => take(2 ** 46)).toThrow(/memory|array/i);
    expect(poolUsage()).toEqual(before);
  });

  it('lends large memory to smaller buffers, and gets it back', () => {
    const [big, small] = [1 << 20, 1 << 18];
    const whole = take(big);
    const { allocatedBytes } = poolUsage();
    release(whole);
    const lent = take(small - 5);
    expect(lent.length).toBe(small - 5);
    expect(poolUsage()).toMatchObject({ allocatedBytes, usedBytes: baseline + 4 * small });
    release(lent);
    const again = take(big);
    expect(poolUsage()).toMatchObject({ allocatedBytes, usedBytes: baseline + 4 * big });
    release(again);
  });

  it('never hands out memory that is in use', () => {
    fc.assert(
      fc.property(fc.array(moves, { maxLength: 60 }), (moves) => {
        const held: { buffer: Float32Array; mark: number }[] = [];
        moves.forEach((move, mark) => {
          if (move > 0) {
            const buffer = take(move);
            expect(buffer.length).toBe(move);
            held.push({ buffer: buffer.fill(mark), mark });
          } else if (held.length > 0) release(held.splice(-move % held.length, 1)[0]!.buffer);
          for (const { buffer, mark } of held)
            if (!buffer.every((value) => value === mark))
              throw new Error(`${buffer.length} floats overwritten`);
        });
        for (const { buffer } of held) release(buffer);
        expect(poolUsage().usedBytes).toBe(baseline);
      }),
    );
  });
});

describe('a tape', () => {
  const images = ones(4, 6, 6, 2);
  const labels = Int32Array.of(0, 1, 2, 0);
  const parameters = (): Tensor[] => [
    Tensor.persistent(
      [3, 3, 2, 5],
      Float32Array.from({ length: 90 }, (_, i) => Math.sin(i)),
      true,
    ),
    Tensor.persistent([5], new Float32Array(5).fill(1), true),
    Tensor.persistent([5], new Float32Array(5), true),
    Tensor.persistent(
      [1, 1, 5, 3],
      Float32Array.from({ length: 15 }, (_, i) => Math.cos(i)),
      true,
    ),
  ];
  const forward = ([w, gamma, beta, linear]: readonly Tensor[]): Tensor =>
    tidy(() => {
      const y = tidy(() => batchNorm(l1Conv2d(images, w!), gamma!, beta!, { epsilon: 1e-5, relu: true }));
      return softmaxCrossEntropy(conv2d(globalAveragePool(add(y, relu(y))), linear!), labels);
    });

  it('gives everything but leaf gradients back after backward, and needs no more memory after the first step', () => {
    const leaves = parameters();
    const held = poolUsage().usedBytes;
    let allocated = 0;
    for (let step = 0; step < 50; step++) {
      const { value, tape } = Tape.record(() => forward(leaves));
      tape.backward(value);
      expect(value.disposed).toBe(true);
      for (const leaf of leaves) leaf.dropGradient();
      expect(poolUsage().usedBytes).toBe(held);
      if (step === 0) allocated = poolUsage().allocatedBytes;
    }
    expect(poolUsage().allocatedBytes).toBe(allocated);
    for (const leaf of leaves) leaf.dispose();
  });

  it('gives everything back when it is disposed of instead, and when it is disposed of again', () => {
    const leaves = parameters();
    const held = poolUsage().usedBytes;
    const { tape } = Tape.record(() => forward(leaves));
    expect(poolUsage().usedBytes).toBeGreaterThan(held);
    tape.dispose();
    tape.dispose();
    expect(poolUsage().usedBytes).toBe(held);
    for (const leaf of leaves) leaf.dispose();
  });

  it('gives everything back when the forward pass throws, and the next tape works', () => {
    const leaves = parameters();
    const held = poolUsage().usedBytes;
    expect(() =>
      Tape.record(() => {
        forward(leaves);
        throw new Error('in the middle');
      }),
    ).toThrow('in the middle');
    expect(poolUsage().usedBytes).toBe(held);
    const { value, tape } = Tape.record(() => forward(leaves));
    tape.backward(value);
    expect(leaves.every(({ gradient }) => gradient !== undefined)).toBe(true);
    for (const leaf of leaves) leaf.dispose();
  });

  it('refuses to nest, and gives back what the outer one held', () => {
    expect(() =>
      Tape.record(() => {
        relu(images);
        return Tape.record(() => relu(images));
      }),
    ).toThrow('tapes do not nest');
  });

  it('refuses a second backward pass', () => {
    const leaves = parameters();
    const { value, tape } = Tape.record(() => forward(leaves));
    tape.backward(value);
    expect(() => tape.backward(value)).toThrow('after it was disposed of');
    for (const leaf of leaves) leaf.dispose();
  });

  it('handles an input used twice and outputs nobody used', () => {
    const w = Tensor.persistent([1, 1, 2, 2], [1, 2, 3, 4], true);
    const { value, tape } = Tape.record(() => {
      relu(conv2d(images, w));
      const y = conv2d(ones(1, 1, 1, 2), w);
      return add(y, y);
    });
    expect([...value.data]).toEqual([8, 12]);
    tape.backward(value);
    expect([...w.gradient!]).toEqual([2, 2, 2, 2]);
    w.dispose();
  });
});

describe('tidy', () => {
  const x = ones(1, 2, 2, 1);
  it('keeps the result alone, through any nesting', () => {
    let inner: Tensor | undefined;
    const result = tidy(() => {
      const kept = tidy(() => {
        inner = relu(x);
        return add(
          inner,
          tidy(() => relu(relu(x))),
        );
      });
      expect(inner!.disposed).toBe(true);
      expect(kept.disposed).toBe(false);
      return relu(kept);
    });
    expect([...result.data]).toEqual([2, 2, 2, 2]);
    expect(poolUsage().usedBytes).toBe(baseline + 4 * sizeClass(4));
    result.dispose();
    expect(() => result.data).toThrow('use of a tensor after it was disposed of');
    expect(() => tidy(() => relu(result))).toThrow('use of a tensor after it was disposed of');
    result.dispose();
  });

  it('leaves a result alone that was made outside', () => {
    expect(tidy(() => x)).toBe(x);
    expect(x.disposed).toBe(false);
    const outside = relu(x);
    tidy(() => tidy(() => outside));
    expect(outside.disposed).toBe(false);
    outside.dispose();
  });

  it('gives everything back when the work throws', () => {
    expect(() =>
      tidy(() => {
        tidy(() => relu(relu(x)));
        throw new Error('in the middle');
      }),
    ).toThrow('in the middle');
  });
});
