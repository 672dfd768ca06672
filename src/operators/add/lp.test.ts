import { describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { freeze, thaw } from '../../nn/module.js';
import {
  array64,
  centralDifferences,
  conv64,
  filter64,
  normals,
  relativeError,
} from '../../tensor/float64.cases.js';
import { lpConv2d, l1Conv2d } from '../../tensor/ops/convolution.js';
import { mul } from '../../tensor/ops/binary.js';
import { sum } from '../../tensor/ops/reduction.js';
import { Tape, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry } from '../contract.js';
import { transposed } from '../families.cases.js';
import { OperatorLayer } from '../layer.js';
import { add } from './family.js';
import { addLp } from './lp.js';

const geometry: LayerGeometry = {
  ...{ inChannels: 4, outChannels: 6, kernel: 3, stride: 2, padding: 1, groups: 1 },
};
const [xShape, wShape] = [
  [2, 5, 6, 4],
  [3, 3, 4, 6],
];
const [x, w, dy] = [normals(240, 'lp x'), normals(216, 'lp w'), normals(2 * 3 * 3 * 6, 'lp dy')];

function pass(op: (x: Tensor, w: Tensor) => Tensor) {
  const [input, weights] = [Tensor.persistent(xShape, x, true), Tensor.persistent(wShape, w, true)];
  const { value, tape } = Tape.record(() => {
    const y = op(input, weights);
    return { y: y.data.slice(), loss: sum(mul(y, Tensor.view(y.shape, dy))) };
  });
  tape.backward(value.loss);
  const result = { y: value.y, dx: input.gradient!.slice(), dw: weights.gradient!.slice() };
  input.dispose();
  weights.dispose();
  return result;
}

describe('the adder layer of another norm', () => {
  it.each([2, 1.7, 1.3])('p = %f: its gradients are the derivative, by finite differences', (p) => {
    const { y, dx, dw } = pass((a, b) => lpConv2d(a, b, p, geometry));
    const [x64, w64] = [array64(xShape, x), array64(wShape, w)];
    const run = () => filter64(x64, w64, (a, b) => -(Math.abs(a - b) ** p), geometry);
    const loss = (): number => run().data.reduce((total, value, i) => total + value * dy[i]!, 0);
    expect(relativeError(y, run().data)).toBeLessThan(3e-6);
    expect(relativeError(dx, centralDifferences(loss, x64.data))).toBeLessThan(2e-5);
    expect(relativeError(dw, centralDifferences(loss, w64.data))).toBeLessThan(2e-5);
  });

  it('p = 2: 2 x w - x^2 - w^2, a convolution less the squares of its operands', () => {
    const [x64, w64] = [array64(xShape, x), array64(wShape, w)];
    const products = conv64(x64, w64, geometry).data;
    const squares = filter64(x64, w64, (a, b) => a * a + b * b, geometry).data;
    const { y } = pass((a, b) => lpConv2d(a, b, 2, geometry));
    expect(
      relativeError(
        y,
        products.map((value, i) => 2 * value - squares[i]!),
      ),
    ).toBeLessThan(3e-6);
  });

  it('p = 1: AdderNet, with its rules, to the bit', () => {
    expect(pass((a, b) => lpConv2d(a, b, 1, geometry))).toEqual(pass((a, b) => l1Conv2d(a, b, geometry)));
  });

  it('has finite gradients where x meets w, which go to the signs as p goes to 1', () => {
    const same = new Float32Array(4).fill(0.3);
    const [input, weights] = [
      Tensor.persistent([1, 1, 1, 4], same, true),
      Tensor.persistent([1, 1, 4, 1], same, true),
    ];
    const { value, tape } = Tape.record(() => lpConv2d(input, weights, 1.0001));
    tape.backward(value);
    expect([...input.gradient!, ...weights.gradient!].every((slope) => slope === 0)).toBe(true);
    input.dispose();
    weights.dispose();
    const { dx } = pass((a, b) => lpConv2d(a, b, 1.0001, geometry));
    const signs = filter64(array64(xShape, x), array64(wShape, w), (a, b) => -Math.abs(a - b), geometry);
    expect(signs.data.length).toBe(dy.length);
    expect(dx.every(Number.isFinite)).toBe(true);
  });

  it('refuses exponents that are not from 1 to 2', () => {
    for (const p of [0.9, 2.1, NaN])
      expect(() => lpConv2d(Tensor.view(xShape, x), Tensor.view(wShape, w), p, geometry)).toThrow(
        OptionError,
      );
  });
});

describe('add.lp', () => {
  const layer = (): OperatorLayer => new OperatorLayer('layer', addLp, geometry, Random.stream('lp'));

  it('keeps its exponent through freezing and thawing, for a technique to set', () => {
    const lp = layer();
    const exponent = lp.parameters.find(({ name }) => name === 'layer.exponent')!;
    expect([...exponent.tensor.data]).toEqual([2]);
    expect([exponent.fixed, exponent.tensor.requiresGradient]).toEqual([true, false]);
    freeze(lp);
    thaw(lp);
    expect(exponent.tensor.requiresGradient).toBe(false);
    expect(lp.parameters[0]!.tensor.requiresGradient).toBe(true);
  });

  it('at exponent 1 is the add layer with its weights', () => {
    const lp = layer();
    lp.parameters[1]!.tensor.data[0] = 1;
    const plain = new OperatorLayer('layer', add, geometry, Random.stream('lp'));
    const run = (of: OperatorLayer): Float32Array => {
      const y = tidy(() => of.forward(Tensor.view(xShape, x)));
      const values = y.data.slice();
      y.dispose();
      return values;
    };
    expect(run(lp)).toEqual(run(plain));
  });

  it.each([1.4, 1])('at exponent %f computes the same in ONNX Runtime', async (p) => {
    const lp = layer();
    lp.parameters[1]!.tensor.data[0] = p;
    const y = tidy(() => lp.forward(Tensor.view(xShape, x)));
    const graph = new OnnxGraph('layer');
    graph.output(lp.lower(graph, graph.input('x', ['batch', 4, 5, 6])));
    expect(graph.nodes.map(({ opType }) => opType)).toEqual([p === 1 ? 'L1Conv' : 'LpConv']);
    const results = await runOnnx(encodeOnnx(graph), {
      x: { dims: [2, 4, 5, 6], data: transposed(x, xShape) },
    });
    expect(relativeError(results.get('layer')!.data, transposed(y.data, y.shape))).toBeLessThan(5e-6);
    y.dispose();
  });
});
