/**
 * Elementwise ops and reductions on the tape: shapes as NumPy has them, values and gradients by finite differences of the
 * definitions in float64, on random shapes. Their kernels are tested in `../reference`, refusals in `shapes.test.ts`.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { kernels, useKernels } from '../device.js';
import { array64, type Array64, centralDifferences, normals, relativeError } from '../float64.cases.js';
import type { Kernels } from '../kernels.js';
import { loadNativeKernels, nativeProblem } from '../native/device.js';
import { referenceKernels } from '../reference/device.js';
import { normalDistribution } from '../reference/unary.js';
import { sizeOf } from '../shape.js';
import { Tape } from '../tape.js';
import { Tensor } from '../tensor.js';
import { add, div, maximum, minimum, mul, sub } from './binary.js';
import { addBias } from './elementwise.js';
import { max, mean, type ReductionOptions, sum } from './reduction.js';
import * as unary from './unary.js';

type Shape = readonly number[];

/** All index tuples of a shape, in row-major order. */
function indices(shape: Shape): number[][] {
  return shape.reduce<number[][]>(
    (found, extent) => found.flatMap((index) => Array.from({ length: extent }, (_, i) => [...index, i])),
    [[]],
  );
}

function elementAt(of: Array64, index: Shape): number {
  // Aligned at the last axes; an axis of extent 1 repeats.
  const own = index.slice(index.length - of.shape.length);
  return of.data[own.reduce((at, i, axis) => at * of.shape[axis]! + (of.shape[axis] === 1 ? 0 : i), 0)]!;
}

function resultOf(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) =>
    Math.max(a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1),
  );
}

const tensorOf = ({ shape, data }: Array64): Tensor => Tensor.persistent(shape, data, true);

/** Two shapes that fit each other, of up to seven axes, either of which may be shorter. */
const pairs = fc
  .tuple(
    fc.array(fc.record({ extent: fc.integer({ min: 1, max: 5 }), a: fc.boolean(), b: fc.boolean() }), {
      maxLength: 7,
    }),
    fc.nat(),
    fc.nat(),
    fc.integer({ min: 0, max: 1e6 }),
  )
  .map(([axes, cutA, cutB, seed]) => {
    const shape = (side: 'a' | 'b', cut: number): Shape => {
      const whole = axes.map((axis) => (axis[side] ? axis.extent : 1));
      let leading = 0;
      while (leading < whole.length && whole[leading] === 1) leading++;
      return whole.slice(cut % (leading + 1));
    };
    return { a: shape('a', cutA), b: shape('b', cutB), seed };
  })
  .filter(({ a, b }) => sizeOf(resultOf(a, b)) <= 120);

const pairwise: Readonly<Record<string, [op: typeof sub, definition: (a: number, b: number) => number]>> = {
  add: [(a, b) => add(a, b), (a, b) => a + b],
  'add with ReLU': [(a, b) => add(a, b, { relu: true }), (a, b) => Math.max(0, a + b)],
  sub: [sub, (a, b) => a - b],
  mul: [mul, (a, b) => a * b],
  div: [div, (a, b) => a / b],
  maximum: [maximum, Math.max],
  minimum: [minimum, Math.min],
};

const single: Readonly<Record<string, [op: (x: Tensor) => Tensor, definition: (x: number) => number]>> = {
  neg: [unary.neg, (x) => -x],
  abs: [unary.abs, Math.abs],
  sign: [unary.sign, Math.sign],
  square: [unary.square, (x) => x * x],
  sqrt: [(x) => unary.sqrt(unary.square(x)), Math.abs],
  exp: [unary.exp, Math.exp],
  log: [(x) => unary.log(unary.abs(x)), (x) => Math.log(Math.abs(x))],
  sigmoid: [unary.sigmoid, (x) => 1 / (1 + Math.exp(-x))],
  tanh: [unary.tanh, Math.tanh],
  silu: [unary.silu, (x) => x / (1 + Math.exp(-x))],
  gelu: [unary.gelu, (x) => x * normalDistribution(x)],
  'gelu by tanh': [
    (x) => unary.gelu(x, { approximate: 'tanh' }),
    (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ],
  hardSigmoid: [unary.hardSigmoid, (x) => Math.min(Math.max(x + 3, 0), 6) / 6],
  hardSwish: [unary.hardSwish, (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6],
  relu6: [unary.relu6, (x) => Math.min(Math.max(x, 0), 6)],
  clamp: [(x) => unary.clamp(x, -0.5, 0.75), (x) => Math.min(Math.max(x, -0.5), 0.75)],
};

describe.each(['reference', 'native'])('on the %s device', (device) => {
  const wanted = device === 'reference' ? referenceKernels : loadNativeKernels();
  let before: Kernels;
  beforeAll(() => {
    before = kernels();
    if (wanted !== undefined) useKernels(wanted);
  });
  afterAll(() => void useKernels(before));
  const itHere = (name: string, run: () => void): void =>
    it(name, (context) => (wanted === undefined ? context.skip(nativeProblem()) : run()));

  /** Compares values, and gradients of the weighted sum, of `run` with those of `definition`. */
  const compare = (
    inputs: readonly Array64[],
    seed: number,
    run: (...tensors: Tensor[]) => Tensor,
    definition: () => Array64,
  ): void => {
    const tensors = inputs.map(tensorOf);
    const expected = definition();
    const weights = array64(expected.shape, normals(expected.data.length, 'weights', seed));
    const { value, tape } = Tape.record(() => {
      const y = run(...tensors);
      expect(y.shape).toEqual(expected.shape);
      expect(relativeError(y.data, expected.data)).toBeLessThan(2e-6);
      return sum(mul(y, Tensor.view(weights.shape, Float32Array.from(weights.data))));
    });
    expect(value.shape).toEqual([]);
    tape.backward(value);
    inputs.forEach((input, i) => {
      const loss = (): number => definition().data.reduce((total, y, at) => total + y * weights.data[at]!, 0);
      const numeric = centralDifferences(loss, input.data);
      const size = Math.max(1, ...numeric.map(Math.abs));
      numeric.forEach((slope, at) =>
        expect(Math.abs(tensors[i]!.gradient![at]! - slope) / size).toBeLessThan(1e-5),
      );
    });
    for (const tensor of tensors) tensor.dispose();
  };

  describe.each(Object.entries(pairwise))('%s', (_, [op, definition]) => {
    itHere('broadcasts values and sums gradients', () => {
      fc.assert(
        fc.property(pairs, ({ a, b, seed }) => {
          const left = array64(a, normals(sizeOf(a), 'a', seed));
          // Away from zero, to divide by; and from the other operand, so that no maximum changes hands.
          const right = array64(
            b,
            normals(sizeOf(b), 'b', seed).map((v) => v + (v < 0 ? -0.8 : 0.8)),
          );
          const result = resultOf(a, b);
          const apart = indices(result).every((index) => {
            const [x, y] = [elementAt(left, index), elementAt(right, index)];
            return Math.abs(x - y) > 1e-3 && Math.abs(x + y) > 1e-3;
          });
          fc.pre(apart);
          compare(
            [left, right],
            seed,
            (x, y) => op(x!, y!),
            () =>
              array64(
                result,
                indices(result).map((index) => definition(elementAt(left, index), elementAt(right, index))),
              ),
          );
        }),
        { numRuns: 60, seed: 5 },
      );
    });
  });

  describe.each(Object.entries(single))('%s', (_, [op, definition]) => {
    itHere('has the value and the gradient of its definition', () => {
      const x = array64(
        [3, 41],
        Float32Array.from({ length: 123 }, (_, i) => (i - 61) / 13 + 0.0031),
      );
      compare(
        [x],
        1,
        (t) => op(t!),
        () => ({ shape: x.shape, data: x.data.map(definition) }),
      );
    });
  });

  itHere('an operand met twice gets both gradients', () => {
    const x = array64([4], normals(4, 'twice'));
    compare(
      [x],
      2,
      (t) => mul(add(t!, t!), t!),
      () => ({ shape: x.shape, data: x.data.map((v) => 2 * v * v) }),
    );
  });

  itHere('addBias is add over rows', () => {
    const [x, bias] = [array64([3, 2, 5], normals(30, 'x')), array64([5], normals(5, 'bias'))];
    compare(
      [x, bias],
      3,
      (t, b) => addBias(t!, b!),
      () => ({ shape: x.shape, data: x.data.map((v, i) => v + bias.data[i % 5]!) }),
    );
  });

  const reductionCases = fc
    .tuple(
      fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 5 }),
      fc.option(fc.array(fc.boolean(), { minLength: 5, maxLength: 5 })),
      fc.boolean(),
      fc.boolean(),
      fc.integer({ min: 0, max: 1e6 }),
    )
    .filter(([shape]) => sizeOf(shape) <= 120);

  describe.each([
    ['sum', sum, (values: readonly number[]) => values.reduce((total, v) => total + v, 0)],
    ['mean', mean, (values: readonly number[]) => values.reduce((total, v) => total + v, 0) / values.length],
    ['max', max, (values: readonly number[]) => Math.max(...values)],
  ] as const)('%s', (name, op, definition) => {
    itHere('reduces any axes, kept or not, and repeats the gradient', () => {
      fc.assert(
        fc.property(reductionCases, ([shape, chosen, keepDims, negative, seed]) => {
          const axes = chosen && shape.map((_, axis) => axis).filter((axis) => chosen[axis]);
          const reduced = (axis: number): boolean => axes?.includes(axis) ?? true;
          const options: ReductionOptions = {
            ...(axes && { axes: negative ? axes.map((axis) => axis - shape.length) : axes }),
            keepDims,
          };
          // Far enough apart that a maximum stays where it is within the steps of the differences.
          const x = array64(
            shape,
            normals(sizeOf(shape), name, seed).map((v, i) => Math.fround(v + 0.01 * i)),
          );
          fc.pre(new Set([...x.data].map((v) => Math.round(v * 1000))).size === x.data.length);
          const all = indices(shape);
          const kept = keepDims
            ? shape.map((extent, axis) => (reduced(axis) ? 1 : extent))
            : shape.filter((_, axis) => !reduced(axis));
          const results = indices(shape.map((extent, axis) => (reduced(axis) ? 1 : extent)));
          compare(
            [x],
            seed,
            (t) => op(t!, options),
            () =>
              array64(
                kept,
                results.map((to) =>
                  definition(
                    all.flatMap((from, i) =>
                      from.every((at, axis) => reduced(axis) || at === to[axis]) ? [x.data[i]!] : [],
                    ),
                  ),
                ),
              ),
          );
        }),
        { numRuns: 80, seed: 6 },
      );
    });
  });

  itHere(
    'the first of equal maxima in row-major order gets the gradient, over axes that are not neighbours too',
    () => {
      const x = Tensor.persistent([2, 2, 2], [1, 5, 5, 0, 5, 5, 5, 5], true);
      const { value, tape } = Tape.record(() => sum(max(x, { axes: [0, 2] })));
      tape.backward(value);
      expect([...x.gradient!]).toEqual([0, 1, 1, 0, 0, 0, 0, 0]);
      x.dispose();
    },
  );
});

describe('clamp', () => {
  it('refuses bounds that are not in order', () => {
    const x = Tensor.view([1], Float32Array.of(1));
    expect(() => unary.clamp(x, 2, 1)).toThrow(OptionError);
    expect(() => unary.clamp(x, NaN, 1)).toThrow('clamp: the bounds NaN and 1 are not in order');
  });
});
