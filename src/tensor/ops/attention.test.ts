/**
 * Softmax and attention on the tape: gradients by finite differences of their float64 twins, what is refused, and what is
 * held. The values are tested in `../reference`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { kernels, useKernels } from '../device.js';
import {
  array64,
  type Array64,
  attention64,
  centralDifferences,
  matmul64,
  normals,
  relativeError,
  softmax64,
} from '../float64.cases.js';
import type { Kernels } from '../kernels.js';
import { loadNativeKernels, nativeProblem } from '../native/device.js';
import { poolUsage } from '../pool.js';
import { referenceKernels } from '../reference/device.js';
import { sizeOf } from '../shape.js';
import { Tape, tidy } from '../tape.js';
import { Tensor } from '../tensor.js';
import { attention, logSoftmax, softmax } from './attention.js';
import { matmul } from './matmul.js';

const drawn = (shape: readonly number[], name: string): Array64 =>
  array64(shape, normals(sizeOf(shape), 'attention', name));
const trained = (of: Array64): Tensor => Tensor.persistent(of.shape, of.data, true);
const view = (of: Array64): Tensor => Tensor.view(of.shape, Float32Array.from(of.data));
const total = (values: Iterable<number>): number => [...values].reduce((sum, value) => sum + value, 0);
const zeros = (...shape: number[]): Tensor => Tensor.view(shape, new Float32Array(sizeOf(shape)));

describe.each(['reference', 'native'])('on the %s device', (device) => {
  const wanted = device === 'reference' ? referenceKernels : loadNativeKernels();
  let before: Kernels;
  beforeAll(() => {
    before = kernels();
    if (wanted !== undefined) useKernels(wanted);
  });
  afterAll(() => void useKernels(before));

  it.for([
    { name: 'attention', causal: false },
    { name: 'causal attention', causal: true },
  ])('$name has the gradients of its float64 twin', ({ causal }, context) => {
    if (wanted === undefined) return context.skip(nativeProblem());
    const [q, k, v] = [drawn([2, 3, 8], 'q'), drawn([2, 5, 8], 'k'), drawn([2, 5, 6], 'v')];
    const w = drawn([6, 1], 'w');
    const loss64 = (): number =>
      total(matmul64(attention64(q, k, v, { heads: 2, scale: 0.5, causal }), w).data);
    const tensors = [q, k, v].map(trained) as [Tensor, Tensor, Tensor];
    const { value, tape } = Tape.record(() => matmul(attention(...tensors, { heads: 2, causal }), view(w)));
    expect(value.shape).toEqual([2, 3, 1]);
    expect(total(value.data)).toBeCloseTo(loss64(), 4);
    tape.backward(value);
    [q, k, v].forEach((of, i) => {
      const numeric = centralDifferences(loss64, of.data);
      expect(relativeError(tensors[i]!.gradient!, numeric)).toBeLessThan(5e-6);
    });
    for (const tensor of tensors) tensor.dispose();
  });

  it('adds up the gradients of one tensor in all three places', (context) => {
    if (wanted === undefined) return context.skip(nativeProblem());
    const x = drawn([1, 4, 6], 'x');
    const w = drawn([6, 1], 'w');
    const loss64 = (): number => total(matmul64(attention64(x, x, x, { heads: 1, scale: 0.3 }), w).data);
    const tensor = trained(x);
    const options = { heads: 1, scale: 0.3 };
    const { value, tape } = Tape.record(() => matmul(attention(tensor, tensor, tensor, options), view(w)));
    tape.backward(value);
    expect(relativeError(tensor.gradient!, centralDifferences(loss64, x.data))).toBeLessThan(5e-6);
    tensor.dispose();
  });

  it.for([
    { name: 'softmax', op: softmax, twin: softmax64 },
    {
      name: 'logSoftmax',
      op: logSoftmax,
      twin: (x: Array64): Array64 => ({ ...x, data: softmax64(x).data.map(Math.log) }),
    },
  ])('$name has the gradient of its float64 twin', ({ op, twin }, context) => {
    if (wanted === undefined) return context.skip(nativeProblem());
    const [x, w] = [drawn([2, 3, 7], 'x'), drawn([7, 1], 'w')];
    const loss64 = (): number => total(matmul64(twin(x), w).data);
    const tensor = trained(x);
    const { value, tape } = Tape.record(() => matmul(op(tensor), view(w)));
    expect(total(value.data)).toBeCloseTo(loss64(), 4);
    tape.backward(value);
    expect(relativeError(tensor.gradient!, centralDifferences(loss64, x.data))).toBeLessThan(5e-6);
    tensor.dispose();
  });
});

describe('attention', () => {
  it('counts keys as they were when it was called', () => {
    const [q, v] = [zeros(2, 1, 4), Tensor.view([2, 3, 1], Float32Array.of(1, 2, 6, 1, 2, 6))];
    const k = Tensor.persistent([2, 3, 4], drawn([2, 3, 4], 'k').data, true);
    const keyCounts = Int32Array.of(3, 1);
    const values = Tensor.persistent(v.shape, v.data, true);
    const { value, tape } = Tape.record(() => attention(q, k, values, { heads: 1, keyCounts }));
    [3, 1].forEach((expected, i) => expect(value.data[i]).toBeCloseTo(expected, 6));
    keyCounts.fill(3);
    tape.backward(value);
    [1, 1, 1, 3, 0, 0].forEach((expected, i) => expect(3 * values.gradient![i]!).toBeCloseTo(expected, 6));
    k.dispose();
    values.dispose();
  });

  it('leaves nothing behind, recorded or not, and no gradient where none is asked for', () => {
    const trainedKeys = Tensor.persistent([1, 3, 4], new Float32Array(12), true);
    const used = poolUsage().usedBytes;
    const run = (): Tensor => attention(zeros(1, 2, 4), trainedKeys, zeros(1, 3, 4), { heads: 2 });
    tidy(run).dispose();
    expect(poolUsage().usedBytes).toBe(used);
    const { value, tape } = Tape.record(run);
    tape.backward(value);
    trainedKeys.dropGradient();
    expect(poolUsage().usedBytes).toBe(used);
    trainedKeys.dispose();
  });

  const [q, k, v] = [
    [2, 3, 8],
    [2, 5, 8],
    [2, 5, 6],
  ] as const;
  const shapes = 'q [2, 3, 8], k [2, 5, 8] and v [2, 5, 6]';
  it.each([
    [q, k, v, { heads: 4 }, `${shapes}: 4 heads do not divide 8 channels of keys and 6 of values`],
    [q, k, v, { heads: 0 }, `${shapes}: 0 heads do not divide`],
    [q, k, v, { heads: 2, keyCounts: Int32Array.of(5) }, `${shapes}: there are 1 counts of keys for 2 items`],
    [q, k, [2, 4, 6], { heads: 2 }, 'there are 5 keys and 4 values'],
    [q, [2, 5, 6], v, { heads: 2 }, 'queries have 8 channels, keys 6'],
    [q, [1, 5, 8], v, { heads: 2 }, 'they differ in items'],
    [[2, 9, 8], k, v, { heads: 2, causal: true }, 'causal attention of 9 queries needs as many keys'],
    [[3, 8], k, v, { heads: 2 }, 'each must have 3 dimensions (items, tokens, channels)'],
  ] as const)('refuses q %j, k %j, v %j with %j', (ofQueries, ofKeys, ofValues, options, problem) => {
    const run = (): Tensor => attention(zeros(...ofQueries), zeros(...ofKeys), zeros(...ofValues), options);
    expect(run).toThrow(ShapeError);
    expect(run).toThrow(problem);
  });

  it.each([
    [{ heads: 2, keyCounts: Int32Array.of(5, 6) }, '6 of 5 keys cannot count (1 to 5)'],
    [{ heads: 2, keyCounts: Int32Array.of(0, 5) }, '0 of 5 keys cannot count (1 to 5)'],
    [{ heads: 2, scale: NaN }, 'scale NaN is not a finite number'],
  ])('refuses %j', (options, problem) => {
    const run = (): Tensor => attention(zeros(...q), zeros(...k), zeros(...v), options);
    expect(run).toThrow(RangeError);
    expect(run).toThrow(`attention: ${problem}`);
  });
});
