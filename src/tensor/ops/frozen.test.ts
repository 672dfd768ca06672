/**
 * Frozen inputs of every op, one subset after the other: only the gradient kernels that somebody asks for run, and the
 * gradients that are asked for do not change.
 */
import { describe, expect, it } from 'vitest';
import { countKernels } from '../count-kernels.cases.js';
import { normals } from '../float64.cases.js';
import { poolUsage } from '../pool.js';
import { Tape } from '../tape.js';
import { Tensor } from '../tensor.js';
import { conv2d, l1Conv2d, l1SignConv2d, lpConv2d } from './convolution.js';
import { add, div, maximum, mul, sub } from './binary.js';
import { addBias, relu } from './elementwise.js';
import { embedding } from './embedding.js';
import { softmaxCrossEntropy } from './loss.js';
import { batchNorm, layerNorm } from './normalisation.js';
import { averagePool, globalAveragePool, maxPool } from './pooling.js';
import { max, sum } from './reduction.js';
import { sliceWeights } from './slice.js';
import { exp, gelu } from './unary.js';

interface Case {
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly run: (inputs: Readonly<Record<string, Tensor>>) => Tensor;
  /** The gradient kernels that run when exactly these inputs are trained, by names joined with a blank. */
  readonly kernels: Readonly<Record<string, readonly string[]>>;
}

const image = [2, 5, 4, 3];
const convolution = (op: typeof conv2d, dx: string, dw: string): Case => ({
  shapes: { x: image, w: [3, 3, 3, 6] },
  run: ({ x, w }) => op(x!, w!, { padding: 1 }),
  kernels: { x: [dx], w: [dw], 'x w': [dx, dw] },
});
const normalisation = (op: typeof layerNorm, withRelu: boolean): Case => ({
  shapes: { x: image, gamma: [3], beta: [3] },
  run: ({ x, gamma, beta }) => op(x!, gamma!, beta!, { epsilon: 1e-5, relu: withRelu }),
  kernels: Object.fromEntries([
    ...['gamma', 'beta', 'gamma beta'].map((trained) => [trained, [`${op.name}ParameterGradient`]]),
    ...['x', 'x gamma', 'x beta', 'x gamma beta'].map((trained) => [trained, [`${op.name}Gradient`]]),
  ]) as Case['kernels'],
});

const pairwise = (op: typeof mul, kernel: readonly string[]): Case => ({
  shapes: { a: image, b: [3] },
  run: ({ a, b }) => op(a!, b!),
  kernels: { a: op === div ? [] : kernel, b: kernel, 'a b': kernel },
});
const each = (op: (x: Tensor) => Tensor, kernel: readonly string[]): Case => ({
  shapes: { x: image },
  run: ({ x }) => op(x!),
  kernels: { x: kernel },
});

const cases: Readonly<Record<string, Case>> = {
  sub: pairwise(sub, []),
  mul: pairwise(mul, []),
  div: pairwise(div, ['binaryGradient']),
  maximum: pairwise(maximum, ['binaryGradient']),
  exp: each(exp, ['unaryGradient']),
  gelu: each(gelu, ['unaryGradient']),
  sum: each((x) => sum(x, { axes: [1] }), []),
  max: each((x) => max(x, { axes: [1] }), ['reduceMaximumGradient']),
  conv2d: convolution(conv2d, 'conv2dInputGradient', 'conv2dWeightGradient'),
  l1Conv2d: convolution(l1Conv2d, 'l1InputGradient', 'l1WeightGradient'),
  l1SignConv2d: convolution(l1SignConv2d, 'lpInputGradient', 'lpWeightGradient'),
  lpConv2d: convolution(
    (x, w, options) => lpConv2d(x, w, 1.5, options),
    'lpInputGradient',
    'lpWeightGradient',
  ),
  batchNorm: normalisation(batchNorm as typeof layerNorm, false),
  'batchNorm with ReLU': normalisation(batchNorm as typeof layerNorm, true),
  layerNorm: normalisation(layerNorm, false),
  'layerNorm with ReLU': normalisation(layerNorm, true),
  maxPool: each((x) => maxPool(x, { kernel: 2 }), ['maxPoolGradient']),
  averagePool: each((x) => averagePool(x, { kernel: 2 }), ['averagePoolGradient']),
  embedding: {
    shapes: { table: [4, 3] },
    run: ({ table }) => embedding(table!, Int32Array.of(3, 0, 3)),
    kernels: { table: ['embeddingGradient'] },
  },
  relu: { shapes: { x: image }, run: ({ x }) => relu(x!), kernels: { x: ['reluGradient'] } },
  add: {
    shapes: { a: image, b: image },
    run: ({ a, b }) => add(a!, b!, { relu: true }),
    kernels: { a: ['reluGradient'], b: ['reluGradient'], 'a b': ['reluGradient'] },
  },
  globalAveragePool: {
    shapes: { x: image },
    run: ({ x }) => globalAveragePool(x!),
    kernels: { x: ['globalAveragePoolGradient'] },
  },
  softmaxCrossEntropy: {
    shapes: { x: [2, 3] },
    run: ({ x }) => softmaxCrossEntropy(x!, Int32Array.of(0, 2)),
    kernels: { x: [] },
  },
  addBias: {
    shapes: { x: [4, 3], bias: [3] },
    run: ({ x, bias }) => addBias(x!, bias!),
    kernels: { x: [], bias: [], 'x bias': [] },
  },
  sliceWeights: {
    shapes: { w: [3, 3, 4, 6] },
    run: ({ w }) => sliceWeights(w!, 2, 5),
    kernels: { w: [] },
  },
};

describe.each(Object.entries(cases))('%s', (_, { shapes, run, kernels }) => {
  const names = Object.keys(shapes);
  const pass = (trained: readonly string[]) => {
    const inputs = Object.fromEntries(
      names.map((name) => {
        const shape = shapes[name]!;
        const values = normals(
          shape.reduce((a, b) => a * b, 1),
          'frozen',
          name,
        );
        return [name, Tensor.persistent(shape, values, trained.includes(name))];
      }),
    );
    const before = poolUsage().usedBytes;
    let requiresGradient: boolean | undefined;
    let heldBytes = 0;
    const counts = countKernels(() => {
      const { value, tape } = Tape.record(() => run(inputs));
      ({ requiresGradient } = value);
      // Uneven, so that a gradient that is cut short shows.
      const seed = Tensor.persistent(value.shape, normals(value.size, 'seed'));
      tape.propagate(value, seed.data);
      seed.dispose();
      heldBytes = poolUsage().usedBytes - before;
    });
    const gradients = new Map(names.map((name) => [name, inputs[name]!.gradient?.slice()]));
    for (const input of Object.values(inputs)) input.dispose();
    const called = Object.keys(counts).filter((name) => name.endsWith('Gradient'));
    return { requiresGradient, called, heldBytes, gradients };
  };

  it('runs no gradient kernel and holds nothing when all inputs are frozen', () => {
    expect(pass([])).toEqual({
      requiresGradient: false,
      called: [],
      heldBytes: 0,
      gradients: new Map(names.map((name) => [name, undefined])),
    });
  });

  it.each(Object.keys(kernels))('trained: %s', (key) => {
    const trained = key.split(' ');
    const all = pass(names);
    const some = pass(trained);
    expect(some.requiresGradient).toBe(true);
    expect(some.called.toSorted()).toEqual([...kernels[key]!].sort());
    for (const name of names)
      expect(some.gradients.get(name), name).toEqual(
        trained.includes(name) ? all.gradients.get(name) : undefined,
      );
  });

  it('has a case for every subset of its inputs', () => {
    expect(Object.keys(kernels)).toHaveLength(2 ** names.length - 1);
  });
});

describe('freezing', () => {
  it('is for leaves, drops the gradient, and can be undone', () => {
    const w = Tensor.persistent([2], [1, 2], true);
    const step = (): void => {
      const { value, tape } = Tape.record(() => relu(w));
      expect(value.requiresGradient).toBe(w.requiresGradient);
      expect(() => value.setTrainable(true)).toThrow(/only leaves/);
      tape.backward(value);
    };
    step();
    expect([...w.gradient!]).toEqual([1, 1]);
    w.setTrainable(false);
    expect(w.gradient).toBeUndefined();
    step();
    expect(w.gradient).toBeUndefined();
    w.setTrainable(true);
    step();
    expect([...w.gradient!]).toEqual([1, 1]);
    w.dispose();
  });
});
