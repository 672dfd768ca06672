import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kernels } from './kernels.js';
import { kernels, useKernels } from './device.js';
import {
  add64,
  addBias64,
  array64,
  averagePool64,
  batchNorm64,
  centralDifferences,
  conv64,
  crossEntropy64,
  normals,
  relativeError,
  type Array64,
} from './float64.cases.js';
import { loadNativeKernels, nativeProblem } from './native/device.js';
import { conv2d } from './ops/convolution.js';
import { add } from './ops/binary.js';
import { addBias, relu } from './ops/elementwise.js';
import { countCorrect, softmaxCrossEntropy } from './ops/loss.js';
import { batchNorm } from './ops/normalisation.js';
import { globalAveragePool } from './ops/pooling.js';
import { sliceWeights } from './ops/slice.js';
import { poolUsage } from './pool.js';
import { referenceKernels } from './reference/device.js';
import { at, checkpoint, firstNonFinite, Tape, tidy } from './tape.js';
import { Tensor } from './tensor.js';

const epsilon = 1e-5;
const smoothing = 0.1;
const labels = Int32Array.of(0, 2, 1);
const shapes = {
  x: [3, 6, 5, 2],
  stem: [3, 3, 2, 4],
  gamma1: [4],
  beta1: [4],
  conv: [3, 3, 3, 4],
  gamma2: [4],
  beta2: [4],
  shortcut: [1, 1, 4, 4],
  linear: [1, 1, 4, 3],
  bias: [3],
} as const;
type Name = keyof typeof shapes;
const names = Object.keys(shapes) as Name[];

function valuesOf(name: Name): Float32Array {
  const count = shapes[name].reduce<number>((product, extent) => product * extent, 1);
  const values = normals(count, 'net', name);
  return name.startsWith('gamma') ? values.map((v) => 1 + 0.3 * v) : values.map((v) => 0.5 * v);
}

/** A small residual network with every differentiable op of the tensor floor, strides, a slice and a reused tensor. */
function loss32(t: Readonly<Record<Name, Tensor>>): Tensor {
  return tidy(() => {
    const stem = batchNorm(conv2d(t.x, t.stem, { padding: 1 }), t.gamma1, t.beta1, { epsilon, relu: true });
    const part = sliceWeights(t.shortcut, 4, 3);
    const narrow = relu(conv2d(stem, part, { stride: 1 }));
    const outer = batchNorm(conv2d(narrow, t.conv, { stride: 2, padding: 1 }), t.gamma2, t.beta2, {
      epsilon,
      relu: false,
    });
    const straight = conv2d(stem, t.shortcut, { stride: 2 });
    const joined = add(add(outer, straight, { relu: true }), outer);
    const logits = addBias(conv2d(globalAveragePool(joined), t.linear), t.bias);
    return softmaxCrossEntropy(logits, labels, smoothing);
  });
}

function loss64(t: Readonly<Record<Name, Array64>>): number {
  const stem = batchNorm64(conv64(t.x, t.stem, { padding: 1 }), t.gamma1, t.beta1, epsilon, true);
  const part = array64(
    [1, 1, 4, 3],
    Array.from({ length: 12 }, (_, i) => t.shortcut.data[Math.floor(i / 3) * 4 + (i % 3)]!),
  );
  const narrow = conv64(stem, part);
  const positive = { ...narrow, data: narrow.data.map((v) => Math.max(0, v)) };
  const outer = batchNorm64(
    conv64(positive, t.conv, { stride: 2, padding: 1 }),
    t.gamma2,
    t.beta2,
    epsilon,
    false,
  );
  const joined = add64(add64(outer, conv64(stem, t.shortcut, { stride: 2 }), true), outer, false);
  return crossEntropy64(addBias64(conv64(averagePool64(joined), t.linear), t.bias), labels, smoothing);
}

const persistent = (frozen: readonly Name[] = []): Record<Name, Tensor> =>
  Object.fromEntries(
    names.map((name) => [name, Tensor.persistent(shapes[name], valuesOf(name), !frozen.includes(name))]),
  ) as Record<Name, Tensor>;
const disposeAll = (tensors: Readonly<Record<string, Tensor>>): void => {
  for (const tensor of Object.values(tensors)) tensor.dispose();
};

describe.each(['reference', 'native'])('gradients on the %s device', (device) => {
  const wanted = device === 'reference' ? referenceKernels : loadNativeKernels();
  let before: Kernels;
  beforeAll(() => {
    before = kernels();
    if (wanted !== undefined) useKernels(wanted);
  });
  afterAll(() => void useKernels(before));

  it('of a residual network equal central differences of its float64 twin, for every input and parameter', (context) => {
    if (wanted === undefined) return context.skip(nativeProblem());
    const tensors = persistent();
    const doubles = Object.fromEntries(
      names.map((name) => [name, array64(shapes[name], valuesOf(name))]),
    ) as Record<Name, Array64>;
    const { value, tape } = Tape.record(() => loss32(tensors));
    expect(value.data[0]).toBeCloseTo(loss64(doubles), 5);
    tape.backward(value);
    for (const name of names) {
      const numeric = centralDifferences(() => loss64(doubles), doubles[name].data);
      expect(relativeError(tensors[name].gradient!, numeric), name).toBeLessThan(2e-5);
    }
    disposeAll(tensors);
  });

  it('accumulate over backward calls, weighted', (context) => {
    if (wanted === undefined) return context.skip(nativeProblem());
    const once = persistent();
    const twice = persistent();
    const pass = (tensors: Record<Name, Tensor>, weight: number): void => {
      const { value, tape } = Tape.record(() => loss32(tensors));
      tape.backward(value, weight);
    };
    pass(once, 1);
    pass(twice, 0.25);
    pass(twice, 0.5);
    for (const name of names)
      expect(
        relativeError(
          twice[name].gradient!,
          once[name].gradient!.map((g) => 0.75 * g),
        ),
        name,
      ).toBeLessThan(1e-6);
    disposeAll(once);
    disposeAll(twice);
  });
});

describe('frozen tensors', () => {
  it('get no gradient, and the others get the same', () => {
    const frozen = ['x', 'stem', 'conv', 'bias'] as const;
    const [all, some] = [persistent(), persistent(frozen)];
    for (const tensors of [all, some]) {
      const { value, tape } = Tape.record(() => loss32(tensors));
      tape.backward(value);
    }
    for (const name of names)
      if ((frozen as readonly string[]).includes(name)) expect(some[name].gradient).toBeUndefined();
      else expect(some[name].gradient, name).toEqual(all[name].gradient);
    disposeAll(all);
    disposeAll(some);
  });

  it('cost nothing: a graph without trainable inputs records no entry and calls no gradient kernel', () => {
    const tensors = persistent(names);
    const called: string[] = [];
    const watched = new Proxy(referenceKernels, {
      get: (target, key, receiver) => {
        called.push(String(key));
        return Reflect.get(target, key, receiver) as unknown;
      },
    });
    const before = useKernels(watched);
    try {
      const { value, tape } = Tape.record(() => loss32(tensors));
      expect(value.requiresGradient).toBe(false);
      tape.backward(value);
    } finally {
      useKernels(before);
    }
    expect(called.length).toBeGreaterThan(5);
    expect(called.filter((key) => key.includes('Gradient'))).toEqual([]);
    disposeAll(tensors);
  });

  it('save the input gradient of a first layer', () => {
    const called = new Set<string>();
    const watched = new Proxy(referenceKernels, {
      get: (target, key, receiver) => {
        called.add(String(key));
        return Reflect.get(target, key, receiver) as unknown;
      },
    });
    const before = useKernels(watched);
    const x = Tensor.view([1, 3, 3, 1], new Float32Array(9).fill(1));
    const w = Tensor.persistent([3, 3, 1, 1], new Float32Array(9).fill(1), true);
    try {
      const { value, tape } = Tape.record(() => conv2d(x, w));
      tape.backward(value);
    } finally {
      useKernels(before);
    }
    expect(called).toContain('conv2dWeightGradient');
    expect(called).not.toContain('conv2dInputGradient');
    expect([...w.gradient!]).toEqual(new Array(9).fill(1));
    w.dispose();
  });
});

describe('sliceWeights', () => {
  it('takes the leading channels and sends gradients back to them alone', () => {
    const all = Tensor.persistent(
      [2, 1, 3, 4],
      Float32Array.from({ length: 24 }, (_, i) => i),
      true,
    );
    const { value, tape } = Tape.record(() => sliceWeights(all, 2, 3));
    expect(value.shape).toEqual([2, 1, 2, 3]);
    expect([...value.data]).toEqual([0, 1, 2, 4, 5, 6, 12, 13, 14, 16, 17, 18]);
    tape.backward(value, 2);
    const kept = new Set([0, 1, 2, 4, 5, 6, 12, 13, 14, 16, 17, 18]);
    expect([...all.gradient!]).toEqual(Array.from({ length: 24 }, (_, i) => (kept.has(i) ? 2 : 0)));
    expect(sliceWeights(all, 3, 4)).toBe(all);
    all.dispose();
  });
});

describe('countCorrect', () => {
  it.each([
    ['the largest', [1, 3, 2], 1, 1],
    ['not the largest', [1, 3, 2], 2, 0],
    ['the first of equals', [3, 3, 2], 0, 1],
    ['the second of equals', [3, 3, 2], 1, 0],
    ['NaN at the label', [NaN, 1, 2], 0, 0],
    ['NaN elsewhere in the row', [3, NaN, 2], 0, 0],
    ['NaN last', [3, 1, NaN], 0, 0],
    ['all NaN', [NaN, NaN, NaN], 0, 0],
    ['minus infinity everywhere else', [-Infinity, 0, -Infinity], 1, 1],
  ] as const)('%s', (_, row, label, correct) => {
    const logits = Tensor.view([1, 1, 1, 3], Float32Array.from(row));
    expect(countCorrect(logits, Int32Array.of(label))).toBe(correct);
  });
});

describe('firstNonFinite', () => {
  const x = Tensor.view([1, 2, 2, 1], Float32Array.of(1, 2, 3, 4));
  it('names the innermost place and the op where it began, and nothing when all is finite', () => {
    const used = poolUsage().usedBytes;
    for (const broken of [NaN, Infinity, -Infinity]) {
      const first = Tensor.persistent([1, 1, 1, 1], [1], true);
      const second = Tensor.persistent([1, 1, 1, 1], [broken], true);
      const pass = (w: Tensor) =>
        at('block', () =>
          tidy(() => {
            const y = at('block.conv1', () => conv2d(x, first));
            const z = at('block.conv2', () => conv2d(y, w));
            return relu(z);
          }),
        );
      for (const trace of [() => pass(second), () => checkpoint([x], () => pass(second))])
        expect(firstNonFinite(trace)).toEqual({ place: 'block.conv2', op: 'conv2d' });
      expect(firstNonFinite(() => pass(first))).toBeUndefined();
      first.dispose();
      second.dispose();
    }
    expect(poolUsage().usedBytes).toBe(used);
  });
});
