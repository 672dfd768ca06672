import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import {
  averageDefinition,
  expectClose,
  filterDefinition,
  linearDefinition,
  perChannelDefinition,
} from '../../nn/onnx/definitions.cases.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import {
  lowerAdd,
  lowerBatchNorm,
  lowerConvolution,
  lowerFlatten,
  lowerGlobalAveragePool,
  lowerLinear,
  lowerNormalise,
  lowerRelu,
} from '../../nn/onnx/layers.js';
import { normalTensor } from '../../nn/onnx/random.cases.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import type { LayerGeometry } from '../contract.js';
import { lowerL1 } from './onnx.js';

const l1 = (x: number, w: number) => -Math.abs(x - w);

type Case = readonly [LayerGeometry, readonly [number, number]];
const geometry = (
  inChannels: number,
  outChannels: number,
  kernel: number,
  stride: number,
  padding: number,
  groups: number,
): LayerGeometry => ({ inChannels, outChannels, kernel, stride, padding, groups });

const cases: Readonly<Record<string, Case>> = {
  '3x3, padded': [geometry(4, 6, 3, 1, 1, 1), [7, 9]],
  '3x3, not padded': [geometry(3, 2, 3, 1, 0, 1), [5, 6]],
  '3x3, stride 2, odd size': [geometry(3, 4, 3, 2, 1, 1), [7, 5]],
  '3x3, stride 2, even size': [geometry(3, 4, 3, 2, 1, 1), [8, 6]],
  '3x3, stride 3, wide padding': [geometry(2, 3, 3, 3, 2, 1), [6, 8]],
  '1x1': [geometry(5, 7, 1, 1, 0, 1), [4, 3]],
  '1x1, stride 2': [geometry(4, 4, 1, 2, 0, 1), [5, 6]],
  '1x1, padded': [geometry(2, 3, 1, 1, 1, 1), [3, 3]],
  '5x5': [geometry(2, 3, 5, 2, 2, 1), [9, 8]],
  'even kernel': [geometry(2, 3, 2, 2, 0, 1), [6, 7]],
  'kernel as large as the image': [geometry(3, 2, 3, 1, 0, 1), [3, 3]],
  'depth-wise': [geometry(6, 6, 3, 1, 1, 6), [5, 7]],
  'depth-wise, stride 2, twice the channels': [geometry(4, 8, 3, 2, 1, 4), [7, 6]],
  'two groups': [geometry(6, 4, 3, 1, 1, 2), [5, 4]],
  'three groups, 1x1': [geometry(6, 9, 1, 1, 0, 3), [4, 5]],
  'one channel to one': [geometry(1, 1, 3, 1, 1, 1), [4, 4]],
};

function weightsOf(label: string, { inChannels, outChannels, kernel, groups }: LayerGeometry): Float32Array {
  return normalTensor([kernel, kernel, inChannels / groups, outChannels], label, 'w').data;
}

describe('lowerL1', () => {
  it.each(Object.entries(cases))('computes -sum |x - w|: %s', async (label, [layer, size]) => {
    const weights = weightsOf(label, layer);
    const graph = new OnnxGraph('layer');
    const y = lowerL1(graph, 'l1', graph.input('x', ['batch', layer.inChannels, ...size]), weights, layer);
    graph.output(y);
    const bytes = encodeOnnx(graph);
    for (const batch of [1, 3]) {
      const x = normalTensor([batch, layer.inChannels, ...size], label, batch);
      expectClose((await runOnnx(bytes, { x })).get('l1'), filterDefinition(x, weights, layer, l1));
    }
  });

  it('keeps to float32 accuracy on a wide layer and a large batch', async () => {
    const layer = geometry(64, 8, 3, 1, 1, 1);
    const weights = weightsOf('wide', layer);
    const x = normalTensor([32, 64, 6, 6], 'wide');
    const graph = new OnnxGraph('layer');
    graph.output(lowerL1(graph, 'l1', graph.input('x', ['batch', 64, 'height', 'width']), weights, layer));
    const y = (await runOnnx(encodeOnnx(graph), { x })).get('l1');
    expectClose(y, filterDefinition(x, weights, layer, l1));
  });

  it('is one node with the attributes of a Conv, weights [out, in / groups, kernel, kernel] and one shared function', () => {
    const graph = new OnnxGraph('two');
    const first = geometry(2, 4, 3, 2, 1, 1);
    const second = geometry(4, 4, 1, 1, 0, 4);
    const middle = lowerL1(graph, 'a', graph.input('x'), weightsOf('a', first), first);
    lowerL1(graph, 'b', middle, weightsOf('b', second), second);
    expect(graph.nodes.map(({ name, opType, domain, inputs }) => [name, opType, domain, inputs])).toEqual([
      ['a', 'L1Conv', 'shiftaddnas', ['x', 'a.weight']],
      ['b', 'L1Conv', 'shiftaddnas', ['a', 'b.weight']],
    ]);
    expect(graph.nodes[0]!.attributes).toEqual({
      kernel_shape: { ints: [3, 3] },
      strides: { ints: [2, 2] },
      pads: { ints: [1, 1, 1, 1] },
      group: { int: 1 },
    });
    expect(graph.initializers.get('a.weight')!.dims).toEqual([4, 2, 3, 3]);
    expect([...graph.functions.keys()]).toEqual(['L1Conv']);
    const body = [...graph.functions.values()][0]!.body;
    expect(body.nodes.map((node) => node.domain).every((domain) => domain === '')).toBe(true);
  });

  it('refuses weights that do not fit the geometry', () => {
    const graph = new OnnxGraph('layer');
    const layer = geometry(2, 2, 3, 1, 1, 1);
    expect(() => lowerL1(graph, 'l1', graph.input('x'), new Float32Array(35), layer)).toThrow(ShapeError);
  });
});

it('a whole network of convolution, add layers and a shortcut runs as its float64 definition', async () => {
  const x = normalTensor([3, 3, 9, 8], 'network');
  const [mean, std] = [
    [0.1, -0.2, 0.3],
    [0.5, 2, 1.5],
  ] as const;
  const stem = geometry(3, 6, 3, 2, 1, 1);
  const wide = geometry(6, 6, 3, 1, 1, 1);
  const deep = geometry(6, 6, 3, 1, 1, 6);
  const weights = {
    stem: weightsOf('stem', stem),
    wide: weightsOf('wide', wide),
    deep: weightsOf('deep', deep),
  };
  const norm = {
    gamma: normalTensor([6], 'gamma').data,
    beta: normalTensor([6], 'beta').data,
    mean: Float32Array.from({ length: 6 }, () => -60),
    variance: Float32Array.of(20, 30, 40, 50, 60, 70),
    epsilon: 1e-5,
  };
  const matrix = normalTensor([6, 4], 'matrix').data;
  const bias = normalTensor([4], 'bias').data;

  const graph = new OnnxGraph('network');
  graph.metadata('architecture', 'conv add add');
  const input = lowerNormalise(graph, 'normalise', graph.input('image', ['batch', 3, 9, 8]), mean, std);
  const trunk = lowerRelu(graph, 'stem.relu', lowerConvolution(graph, 'stem', input, weights.stem, stem));
  const first = lowerL1(graph, 'block1.layer1', trunk, weights.wide, wide);
  const normed = lowerRelu(graph, 'block1.relu', lowerBatchNorm(graph, 'block1.norm', first, norm));
  const second = lowerL1(graph, 'block1.layer2', normed, weights.deep, deep);
  const joined = lowerAdd(graph, 'block1.join', second, trunk);
  const pooled = lowerFlatten(graph, 'flatten', lowerGlobalAveragePool(graph, 'pool', joined));
  graph.output(lowerLinear(graph, 'logits', pooled, matrix, bias), ['batch', 4]);
  const logits = (await runOnnx(encodeOnnx(graph), { image: x })).get('logits');

  const relu = (value: number) => Math.max(0, value);
  const centred = perChannelDefinition(x, (value, c) => (value - mean[c]!) / std[c]!);
  const trunkValue = perChannelDefinition(
    filterDefinition(centred, weights.stem, stem, (a, b) => a * b),
    relu,
  );
  const firstValue = filterDefinition(trunkValue, weights.wide, wide, l1);
  const normedValue = perChannelDefinition(firstValue, (value, c) =>
    relu(
      (norm.gamma[c]! * (value - norm.mean[c]!)) / Math.sqrt(norm.variance[c]! + norm.epsilon) +
        norm.beta[c]!,
    ),
  );
  const secondValue = filterDefinition(normedValue, weights.deep, deep, l1);
  const joinedValue = {
    dims: secondValue.dims,
    data: Array.from(secondValue.data, (value, at) => value + trunkValue.data[at]!),
  };
  expectClose(logits, linearDefinition(averageDefinition(joinedValue), matrix, bias));
});
