/**
 * What every op refuses, before a kernel runs: shapes that do not fit, by the op's name and both shapes, and tensors
 * without elements. A new op without cases here fails.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { countKernels } from '../count-kernels.cases.js';
import { poolUsage } from '../pool.js';
import { sizeOf } from '../shape.js';
import { tidy } from '../tape.js';
import { Tensor } from '../tensor.js';
import { attention, logSoftmax, softmax } from './attention.js';
import { conv2d, l1Conv2d, l1SignConv2d, lpConv2d } from './convolution.js';
import { add, div, maximum, minimum, mul, sub } from './binary.js';
import { addBias, relu } from './elementwise.js';
import { embedding } from './embedding.js';
import { joinHeads, splitHeads } from './heads.js';
import { reshape } from './reshape.js';
import { countCorrect, softmaxCrossEntropy, softTargetCrossEntropy } from './loss.js';
import { linear, matmul } from './matmul.js';
import { batchNorm, batchNormInference, layerNorm } from './normalisation.js';
import { averagePool, globalAveragePool, maxPool } from './pooling.js';
import { max, mean, sum } from './reduction.js';
import { sliceWeights } from './slice.js';
import * as unary from './unary.js';

const of = (...shape: number[]): Tensor => Tensor.view(shape, new Float32Array(sizeOf(shape)).fill(1));
const floats = (length: number): Float32Array => new Float32Array(length);
const norm = { epsilon: 1e-5, relu: false };
const moments = (length: number) => ({ mean: floats(length), variance: floats(length) });

/** A call that must be refused, and what the message must name. */
type Refusal = readonly [call: () => unknown, ...named: readonly string[]];
interface Cases {
  readonly wrong: readonly Refusal[];
  readonly empty: readonly Refusal[];
}
const convolution = (op: typeof conv2d): Cases => ({
  wrong: [
    [() => op(of(1, 4, 4, 3), of(3, 3, 2, 5)), '[1, 4, 4, 3]', '[3, 3, 2, 5]', 'x has 3'],
    [() => op(of(4, 4, 3), of(3, 3, 3, 5)), '[4, 4, 3]', '[3, 3, 3, 5]', '4 dimensions'],
    [() => op(of(1, 4, 4, 3), of(3, 3, 5)), '[1, 4, 4, 3]', '[3, 3, 5]'],
    [() => op(of(1, 2, 2, 3), of(3, 3, 3, 5)), '[1, 2, 2, 3]', '[3, 3, 3, 5]', 'kernel is larger'],
    [() => op(of(1, 4, 4, 4), of(3, 3, 2, 5), { groups: 2 }), '[1, 4, 4, 4]', '[3, 3, 2, 5]', '2 groups'],
    [() => op(of(1, 4, 4, 4), of(1, 1, 4, 4), { stride: 0 }), '[1, 4, 4, 4]', '[1, 1, 4, 4]', 'stride 0'],
    [() => op(of(1, 4, 4, 4), of(1, 1, 4, 4), { stride: 1.5 }), 'stride 1.5'],
    [() => op(of(1, 4, 4, 4), of(1, 1, 4, 4), { padding: -1 }), 'padding -1'],
    [() => op(of(1, 4, 4, 4), of(1, 1, 4, 4), { groups: 0 }), '0 groups'],
  ],
  empty: [
    [() => op(of(0, 4, 4, 3), of(3, 3, 3, 5)), '[0, 4, 4, 3]', '[3, 3, 3, 5]', 'the batch is empty'],
    [() => op(of(1, 4, 4, 0), of(3, 3, 0, 5)), '[1, 4, 4, 0]', '[3, 3, 0, 5]'],
    [() => op(of(1, 4, 4, 3), of(3, 3, 3, 0)), '[1, 4, 4, 3]', '[3, 3, 3, 0]'],
  ],
});

const pairwise = (op: (a: Tensor, b: Tensor) => Tensor): Cases => ({
  wrong: [
    [() => op(of(1, 4, 4, 3), of(1, 4, 3, 4)), '[1, 4, 4, 3]', '[1, 4, 3, 4]'],
    [() => op(of(4, 3), of(4)), '[4, 3]', '[4]', '3 and 4'],
    [() => op(of(2, 4, 3), of(3, 4, 3)), '[2, 4, 3]', '[3, 4, 3]'],
  ],
  empty: [
    [() => op(of(0, 2), of(0, 2)), '[0, 2]'],
    [() => op(of(0, 2), of(2)), '[0, 2]', '[2]'],
  ],
});
const pooling = (op: typeof maxPool): Cases => ({
  wrong: [
    [() => op(of(2, 3), { kernel: 2 }), '[2, 3]', '[2, 2]', 'NHWC'],
    [() => op(of(1, 4, 4, 3), { kernel: [5, 2] }), '[1, 4, 4, 3]', '[5, 2]', 'larger than the map'],
    [() => op(of(1, 4, 4, 3), { kernel: 2, padding: [1, 2] }), '[1, 2]', 'less than the kernel'],
    [() => op(of(1, 4, 4, 3), { kernel: 0 }), '[0, 0]'],
    [() => op(of(1, 4, 4, 3), { kernel: 2, stride: 1.5 }), 'stride [1.5, 1.5]'],
    [() => op(of(1, 4, 4, 3), { kernel: 2, padding: -1 }), 'padding [-1, -1]'],
  ],
  empty: [
    [() => op(of(0, 4, 4, 3), { kernel: 2 }), '[0, 4, 4, 3]'],
    [() => op(of(1, 4, 4, 0), { kernel: 2 }), '[1, 4, 4, 0]'],
  ],
});
const reducing = (op: (x: Tensor, options?: { axes: readonly number[] }) => Tensor): Cases => ({
  wrong: [
    [() => op(of(2, 3), { axes: [2] }), '[2, 3]', 'no axis 2'],
    [() => op(of(2, 3), { axes: [-3] }), '[2, 3]', 'no axis -3'],
    [() => op(of(2, 3), { axes: [0.5] }), '[2, 3]', 'no axis 0.5'],
    [() => op(of(2, 3), { axes: [1, -1] }), '[2, 3]', 'axis -1', 'twice'],
  ],
  empty: [
    [() => op(of(0, 3)), '[0, 3]'],
    [() => op(of(2, 0), { axes: [0] }), '[2, 0]'],
  ],
});
const each = (op: (x: Tensor) => Tensor): Cases => ({
  wrong: [],
  empty: [[() => op(of(0, 3)), '[0, 3]']],
});

const cases: Readonly<Record<string, Cases>> = {
  conv2d: convolution(conv2d),
  l1Conv2d: convolution(l1Conv2d),
  l1SignConv2d: convolution(l1SignConv2d),
  lpConv2d: convolution((x, w, options) => lpConv2d(x, w, 1.5, options)),
  linear: {
    wrong: [
      [() => linear(of(2, 3), of(4, 5)), '[2, 3]', '[4, 5]', 'w takes 4 channels, x has 3'],
      [() => linear(of(2, 3), of(3, 3, 3, 5)), '[2, 3]', '[3, 3, 3, 5]', 'w must be [in, out]'],
      [() => linear(of(2, 3), of(3)), '[2, 3]', '[3]', 'w must be [in, out]'],
    ],
    empty: [[() => linear(of(0, 3), of(3, 5)), '[0, 3]', '[3, 5]']],
  },
  softmax: { wrong: [], empty: [[() => softmax(of(2, 0)), '[2, 0]']] },
  logSoftmax: { wrong: [], empty: [[() => logSoftmax(of(0, 3)), '[0, 3]']] },
  attention: {
    wrong: [
      [() => attention(of(2, 3, 8), of(2, 5, 6), of(2, 5, 8), { heads: 2 }), '[2, 3, 8]', '[2, 5, 6]'],
      [() => attention(of(2, 3, 8), of(2, 5, 8), of(2, 4, 8), { heads: 2 }), '[2, 5, 8]', '[2, 4, 8]'],
      [() => attention(of(2, 3, 8), of(2, 5, 8), of(2, 5, 8), { heads: 3 }), '[2, 3, 8]', '3 heads'],
    ],
    empty: [
      [() => attention(of(0, 3, 8), of(0, 5, 8), of(0, 5, 8), { heads: 2 }), '[0, 3, 8]', '[0, 5, 8]'],
      [() => attention(of(2, 3, 0), of(2, 5, 0), of(2, 5, 8), { heads: 2 }), '[2, 3, 0]', '[2, 5, 0]'],
      [() => attention(of(2, 3, 8), of(2, 0, 8), of(2, 0, 8), { heads: 2 }), '[2, 3, 8]', '[2, 0, 8]'],
    ],
  },
  relu: { wrong: [], empty: [[() => relu(of(0, 3)), '[0, 3]']] },
  ...Object.fromEntries(
    Object.entries({ add, sub, mul, div, maximum, minimum }).map(([name, op]) => [name, pairwise(op)]),
  ),
  ...Object.fromEntries(Object.entries({ sum, mean, max }).map(([name, op]) => [name, reducing(op)])),
  ...Object.fromEntries(
    Object.entries({ ...unary, clamp: (x: Tensor) => unary.clamp(x, -1, 1) }).map(([name, op]) => [
      name,
      each(op),
    ]),
  ),
  addBias: {
    wrong: [
      [() => addBias(of(2, 3), of(2)), '[2, 3]', '[2]', 'bias'],
      [() => addBias(of(2, 3), of(1, 3)), '[2, 3]', '[1, 3]'],
    ],
    empty: [
      [() => addBias(of(0, 3), of(3)), '[0, 3]', '[3]'],
      [() => addBias(of(2, 0), of(0)), '[2, 0]'],
    ],
  },
  batchNorm: {
    wrong: [
      [() => batchNorm(of(2, 3), of(2), of(3), norm), '[2, 3]', '[2]', 'gamma'],
      [() => batchNorm(of(2, 3), of(3), of(3, 1), norm), '[2, 3]', '[3, 1]', 'beta'],
    ],
    empty: [
      [() => batchNorm(of(0, 4, 4, 3), of(3), of(3), norm), '[0, 4, 4, 3]'],
      [() => batchNorm(of(2, 0), of(0), of(0), norm), '[2, 0]'],
    ],
  },
  batchNormInference: {
    wrong: [
      [() => batchNormInference(of(2, 3), of(2), of(3), moments(3), norm), '[2, 3]', '[2]', 'gamma'],
      [() => batchNormInference(of(2, 3), of(3), of(4), moments(3), norm), '[2, 3]', '[4]', 'beta'],
      [() => batchNormInference(of(2, 3), of(3), of(3), moments(4), norm), '[2, 3]', '[4]', 'mean'],
    ],
    empty: [[() => batchNormInference(of(0, 3), of(3), of(3), moments(3), norm), '[0, 3]']],
  },
  layerNorm: {
    wrong: [
      [() => layerNorm(of(2, 3), of(2), of(3), norm), '[2, 3]', '[2]', 'gamma'],
      [() => layerNorm(of(2, 3), of(3), of(3, 1), norm), '[2, 3]', '[3, 1]', 'beta'],
    ],
    empty: [
      [() => layerNorm(of(0, 3), of(3), of(3), norm), '[0, 3]'],
      [() => layerNorm(of(2, 0), of(0), of(0), norm), '[2, 0]'],
    ],
  },
  maxPool: pooling(maxPool),
  averagePool: pooling(averagePool),
  embedding: {
    wrong: [
      [() => embedding(of(2, 3, 4), Int32Array.of(0)), '[2, 3, 4]'],
      [() => embedding(of(5, 3), Int32Array.of(0, 1, 2), [2, 2]), '3 indices', '[2, 2]', '[5, 3]'],
    ],
    empty: [
      [() => embedding(of(0, 3), Int32Array.of(0)), '[0, 3]'],
      [() => embedding(of(5, 3), Int32Array.of()), '0 indices', '[5, 3]'],
    ],
  },
  globalAveragePool: {
    wrong: [[() => globalAveragePool(of(2, 3)), '[2, 3]', 'NHWC']],
    empty: [
      [() => globalAveragePool(of(0, 2, 2, 3)), '[0, 2, 2, 3]'],
      [() => globalAveragePool(of(2, 0, 2, 3)), '[2, 0, 2, 3]'],
    ],
  },
  softmaxCrossEntropy: {
    wrong: [
      [() => softmaxCrossEntropy(of(2, 3), Int32Array.of(1)), '[2, 3]', '1 labels'],
      [() => softmaxCrossEntropy(of(2, 2, 1, 3), Int32Array.of(1, 0)), '[2, 2, 1, 3]', '2 labels'],
    ],
    empty: [
      [() => softmaxCrossEntropy(of(0, 3), Int32Array.of()), '[0, 3]'],
      [() => softmaxCrossEntropy(of(2, 0), Int32Array.of(0, 0)), '[2, 0]'],
    ],
  },
  softTargetCrossEntropy: {
    wrong: [
      [() => softTargetCrossEntropy(of(2, 3), of(2, 4)), '[2, 3]', '[2, 4]'],
      [() => softTargetCrossEntropy(of(2, 2, 1, 3), of(2, 2, 1, 3)), '[2, 2, 1, 3]'],
    ],
    empty: [[() => softTargetCrossEntropy(of(0, 3), of(0, 3)), '[0, 3]']],
  },
  countCorrect: {
    wrong: [[() => countCorrect(of(2, 3), Int32Array.of(1)), '[2, 3]', '1 labels']],
    empty: [[() => countCorrect(of(0, 3), Int32Array.of()), '[0, 3]']],
  },
  matmul: {
    wrong: [
      [() => matmul(of(2, 3), of(4, 5)), '[2, 3]', '[4, 5]'],
      [() => matmul(of(2, 3, 4), of(3, 4, 5)), '[2, 3, 4]', '[3, 4, 5]'],
    ],
    empty: [[() => matmul(of(0, 3), of(3, 5)), '[0, 3]', '[3, 5]']],
  },
  reshape: {
    wrong: [[() => reshape(of(2, 3), [3, 3]), '[2, 3]', '[3, 3]']],
    empty: [[() => reshape(of(0, 3), [3, 0]), '[0, 3]']],
  },
  splitHeads: {
    wrong: [
      [() => splitHeads(of(2, 3, 5), 2), '[2, 3, 5]', '2 heads'],
      [() => splitHeads(of(2, 3, 5), 0), '[2, 3, 5]', '0 heads'],
      [() => splitHeads(of(2, 4), 2), '[2, 4]'],
    ],
    empty: [[() => splitHeads(of(0, 3, 4), 2), '[0, 3, 4]']],
  },
  joinHeads: {
    wrong: [
      [() => joinHeads(of(3, 3, 5), 2), '[3, 3, 5]', '2 heads'],
      [() => joinHeads(of(4, 4), 2), '[4, 4]'],
    ],
    empty: [[() => joinHeads(of(0, 3, 4), 2), '[0, 3, 4]']],
  },
  sliceWeights: {
    wrong: [
      [() => sliceWeights(of(3, 3, 2, 4), 3, 4), '[3, 3, 2, 4]', '3 x 4'],
      [() => sliceWeights(of(3, 3, 2, 4), 2, 5), '[3, 3, 2, 4]', '2 x 5'],
      [() => sliceWeights(of(3, 3, 2, 4), 2, 1.5), '[3, 3, 2, 4]', '2 x 1.5'],
      [() => sliceWeights(of(3, 2, 4), 2, 4), '[3, 2, 4]', '2 x 4'],
    ],
    empty: [[() => sliceWeights(of(3, 3, 2, 4), 0, 4), '[3, 3, 2, 4]', '0 x 4']],
  },
};

it('every op has cases', async () => {
  const folder = new URL('.', import.meta.url);
  const files = readdirSync(folder).filter(
    (name) => name.endsWith('.ts') && !/\.(test|cases)\.ts$/.test(name),
  );
  const ops: string[] = [];
  for (const file of files) {
    const module = (await import(new URL(file, folder).href)) as Record<string, unknown>;
    ops.push(...Object.keys(module).filter((name) => typeof module[name] === 'function'));
  }
  expect(ops.sort()).toEqual(Object.keys(cases).sort());
});

describe.each(Object.entries(cases))('%s refuses', (op, { wrong, empty }) => {
  it.each([
    ...wrong.map((refusal, i) => [`shapes that do not fit (${i})`, refusal] as const),
    ...empty.map((refusal, i) => [`what has no elements (${i})`, refusal] as const),
  ])('%s', (_, [call, ...named]) => {
    let thrown: unknown;
    const before = poolUsage().usedBytes;
    const kernels = countKernels(() => {
      try {
        tidy(() => {
          call();
          return of(1);
        });
      } catch (error) {
        thrown = error;
      }
    });
    expect(thrown).toBeInstanceOf(ShapeError);
    const { message } = thrown as Error;
    expect(message.startsWith(`${op}: `)).toBe(true);
    for (const text of named) expect(message).toContain(text);
    expect(kernels).toEqual({});
    expect(poolUsage().usedBytes).toBe(before);
  });
});

describe('a tensor', () => {
  it('must be filled by its values', () => {
    expect(() => Tensor.persistent([2, 3], [1, 2])).toThrow(ShapeError);
    expect(() => Tensor.view([2, 3], new Float32Array(5))).toThrow(ShapeError);
  });
});
