/**
 * Gradients of matrix products by finite differences of the definition in float64, for both factors and every way to hold
 * them; and what is refused. The values are tested in `../reference`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { kernels, useKernels } from '../device.js';
import {
  array64,
  type Array64,
  centralDifferences,
  matmul64,
  normals,
  relativeError,
} from '../float64.cases.js';
import type { Kernels } from '../kernels.js';
import { loadNativeKernels, nativeProblem } from '../native/device.js';
import { referenceKernels } from '../reference/device.js';
import { Tape } from '../tape.js';
import { Tensor } from '../tensor.js';
import { linear, matmul } from './matmul.js';

const [items, rows, columns, depth] = [3, 4, 5, 6];
const cases = [false, true].flatMap((transposeA) =>
  [false, true].flatMap((transposeB) =>
    (['two-dimensional', 'batched', 'one b for the batch'] as const).map((kind) => {
      const [a, b] = [
        transposeA ? [depth, rows] : [rows, depth],
        transposeB ? [columns, depth] : [depth, columns],
      ];
      return {
        name: `${kind}${transposeA ? ', a transposed' : ''}${transposeB ? ', b transposed' : ''}`,
        options: { transposeA, transposeB },
        a: kind === 'two-dimensional' ? a : [items, ...a],
        b: kind === 'batched' ? [items, ...b] : b,
      };
    }),
  ),
);

const product = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);
const zeros = (...shape: number[]): Tensor => Tensor.view(shape, new Float32Array(product(shape)));

describe.each(['reference', 'native'])('matmul on the %s device', (device) => {
  const wanted = device === 'reference' ? referenceKernels : loadNativeKernels();
  let before: Kernels;
  beforeAll(() => {
    before = kernels();
    if (wanted !== undefined) useKernels(wanted);
  });
  afterAll(() => void useKernels(before));

  it.for(cases)('gradients: $name', (each, context) => {
    if (wanted === undefined) return context.skip(nativeProblem());
    // The loss is u C w, with a slope for each element of C of its own.
    const drawn = (shape: readonly number[], name: string): Array64 =>
      array64(shape, normals(product(shape), each.name, name));
    const [a, b] = [drawn(each.a, 'a'), drawn(each.b, 'b')];
    const [u, w] = [drawn([...each.a.slice(0, -2), 1, rows], 'u'), drawn([columns, 1], 'w')];
    const loss64 = (): number =>
      matmul64(matmul64(u, matmul64(a, b, each.options)), w).data.reduce((sum, value) => sum + value, 0);

    const persistent = (of: Array64): Tensor => Tensor.persistent(of.shape, of.data, true);
    const [ta, tb] = [persistent(a), persistent(b)];
    const view = (of: Array64): Tensor => Tensor.view(of.shape, Float32Array.from(of.data));
    const { value, tape } = Tape.record(() => matmul(matmul(view(u), matmul(ta, tb, each.options)), view(w)));
    const sum = value.data.reduce((total, element) => total + element, 0);
    expect(sum).toBeCloseTo(loss64(), 4);
    tape.backward(value);
    expect(relativeError(ta.gradient!, centralDifferences(loss64, a.data))).toBeLessThan(2e-6);
    expect(relativeError(tb.gradient!, centralDifferences(loss64, b.data))).toBeLessThan(2e-6);
    ta.dispose();
    tb.dispose();
  });
});

describe('matmul', () => {
  it('has the shape of its factors', () => {
    expect(matmul(zeros(3, 4), zeros(4, 5)).shape).toEqual([3, 5]);
    expect(matmul(zeros(2, 3, 4), zeros(4, 5)).shape).toEqual([2, 3, 5]);
    expect(matmul(zeros(2, 4, 3), zeros(2, 5, 4), { transposeA: true, transposeB: true }).shape).toEqual([
      2, 3, 5,
    ]);
  });

  it('computes no gradient of a frozen factor', () => {
    const products: number[] = [];
    const counting: Kernels = {
      ...referenceKernels,
      matmul: (g, a, b, c) => {
        products.push(g.rows);
        referenceKernels.matmul(g, a, b, c);
      },
    };
    const before = useKernels(counting);
    const frozen = zeros(2, 3);
    const trained = Tensor.persistent([3, 4], new Float32Array(12), true);
    try {
      const { value, tape } = Tape.record(() => matmul(frozen, trained));
      tape.backward(value);
    } finally {
      useKernels(before);
    }
    expect(products).toEqual([2, 3]);
    trained.dispose();
  });

  it.each([
    [[2, 3], [4, 5], {}, 'a [2, 3] and b [4, 5]: a has 3 columns, b has 4 rows'],
    [[2, 3], [3, 5], { transposeB: true }, 'a [2, 3] and b [3, 5] transposed: a has 3 columns, b has 5 rows'],
    [[2, 3], [3, 5], { transposeA: true }, 'a [2, 3] transposed and b [3, 5]: a has 2 columns, b has 3 rows'],
    [[2, 3, 4], [3, 4, 5], {}, 'a [2, 3, 4] and b [3, 4, 5]: a has 2 items, b has 3'],
    [[3, 4], [2, 4, 5], {}, 'a [3, 4] and b [2, 4, 5]: a must have 2 or 3 dimensions, and b as many or 2'],
    [[4], [4, 5], {}, 'a [4] and b [4, 5]: a must have 2 or 3 dimensions, and b as many or 2'],
    [
      [1, 2, 3, 4],
      [4, 5],
      {},
      'a [1, 2, 3, 4] and b [4, 5]: a must have 2 or 3 dimensions, and b as many or 2',
    ],
  ] as const)('refuses %j by %j with %j', (a, b, options, problem) => {
    const run = (): Tensor => matmul(zeros(...a), zeros(...b), options);
    expect(run).toThrow(ShapeError);
    expect(run).toThrow(`matmul: ${problem}`);
  });
});

describe('linear', () => {
  it('is the product by its weights, however the rows are arranged, with the same gradients', () => {
    const [x, w, u] = [normals(24, 'x'), normals(20, 'w'), normals(5, 'u')];
    const run = (
      shape: readonly number[],
      weights: readonly number[],
      layer: typeof linear,
    ): Float32Array[] => {
      const [tx, tw] = [Tensor.persistent(shape, x, true), Tensor.persistent(weights, w, true)];
      const { value, tape } = Tape.record(() => linear(layer(tx, tw), Tensor.view([5, 1], u)));
      expect(value.shape).toEqual([...shape.slice(0, -1), 1]);
      const results = [value.data.slice()];
      tape.backward(value);
      results.push(tx.gradient!.slice(), tw.gradient!.slice());
      tx.dispose();
      tw.dispose();
      return results;
    };
    const expected = run([6, 4], [4, 5], matmul);
    expect(run([6, 4], [4, 5], linear)).toEqual(expected);
    expect(run([6, 1, 1, 4], [1, 1, 4, 5], linear)).toEqual(expected);
    expect(run([2, 3, 4], [4, 5], linear)).toEqual(expected);
  });
});
