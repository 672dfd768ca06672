import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import {
  averageDefinition,
  expectClose,
  filterDefinition,
  linearDefinition,
  perChannelDefinition,
} from './definitions.cases.js';
import { encodeOnnx } from './encode.js';
import { OnnxGraph } from './graph.js';
import {
  lowerAdd,
  lowerBatchNorm,
  lowerConvolution,
  lowerFlatten,
  lowerGlobalAveragePool,
  lowerLinear,
  lowerNormalise,
  lowerRelu,
  type FilterGeometry,
} from './layers.js';
import { normalTensor } from './random.cases.js';
import { runOnnx, type RunTensor } from './run-onnx.cases.js';

/** Output of the graph x -> `lower` in ONNX Runtime, batch size left open in the file. */
async function runLayer(x: RunTensor, lower: (graph: OnnxGraph, input: string) => string) {
  const graph = new OnnxGraph('layer');
  const y = lower(graph, graph.input('x', ['batch', ...x.dims.slice(1)]));
  graph.output(y);
  return (await runOnnx(encodeOnnx(graph), { x })).get(y);
}

describe('lowerConvolution', () => {
  const cases: readonly (readonly [string, FilterGeometry, readonly [number, number]])[] = [
    ['3x3, padded', { inChannels: 3, outChannels: 5, kernel: 3, stride: 1, padding: 1, groups: 1 }, [7, 9]],
    ['3x3, stride 2', { inChannels: 4, outChannels: 6, kernel: 3, stride: 2, padding: 1, groups: 1 }, [8, 7]],
    ['1x1', { inChannels: 6, outChannels: 2, kernel: 1, stride: 1, padding: 0, groups: 1 }, [5, 4]],
    ['two groups', { inChannels: 6, outChannels: 4, kernel: 3, stride: 1, padding: 0, groups: 2 }, [6, 5]],
    ['depth-wise', { inChannels: 5, outChannels: 5, kernel: 5, stride: 1, padding: 2, groups: 5 }, [6, 6]],
  ];
  it.each(cases)('%s', async (label, geometry, size) => {
    const { inChannels, outChannels, kernel, groups } = geometry;
    const x = normalTensor([2, inChannels, ...size], label, 'x');
    const { data } = normalTensor([kernel, kernel, inChannels / groups, outChannels], label, 'w');
    const y = await runLayer(x, (graph, input) => lowerConvolution(graph, 'conv', input, data, geometry));
    expectClose(
      y,
      filterDefinition(x, data, geometry, (a, b) => a * b),
    );
  });

  it('stores the weights as a readable initializer [out, in / groups, kernel, kernel]', () => {
    const graph = new OnnxGraph('layer');
    const geometry = { inChannels: 2, outChannels: 1, kernel: 2, stride: 1, padding: 0, groups: 1 };
    // [u, v, in, out]: the hundreds say u, the tens v, the ones the channel.
    const weights = Float32Array.of(0, 1, 10, 11, 100, 101, 110, 111);
    lowerConvolution(graph, 'conv', graph.input('x'), weights, geometry);
    expect(graph.initializers.get('conv.weight')).toEqual({
      dims: [1, 2, 2, 2],
      data: Float32Array.of(0, 10, 100, 110, 1, 11, 101, 111),
    });
  });

  it('refuses weights and groups that do not fit', () => {
    const graph = new OnnxGraph('layer');
    const x = graph.input('x');
    const geometry = { inChannels: 4, outChannels: 4, kernel: 3, stride: 1, padding: 1, groups: 1 };
    expect(() => lowerConvolution(graph, 'a', x, new Float32Array(143), geometry)).toThrow(ShapeError);
    const uneven = { ...geometry, groups: 3 };
    expect(() => lowerConvolution(graph, 'a', x, new Float32Array(48), uneven)).toThrow('3 groups');
  });
});

describe('the other layers', () => {
  it('lowerBatchNorm', async () => {
    const x = normalTensor([3, 4, 3, 5], 'bn');
    const [gamma, beta, mean] = ['gamma', 'beta', 'mean'].map((label) => normalTensor([4], label).data);
    const values = {
      gamma: gamma!,
      beta: beta!,
      mean: mean!,
      variance: Float32Array.of(0.5, 2, 1e-6, 7),
      epsilon: 1e-3,
    };
    const y = await runLayer(x, (graph, input) => lowerBatchNorm(graph, 'bn', input, values));
    expectClose(
      y,
      perChannelDefinition(
        x,
        (value, c) =>
          (gamma![c]! * (value - mean![c]!)) / Math.sqrt(values.variance[c]! + values.epsilon) + beta![c]!,
      ),
    );
  });

  it('lowerRelu', async () => {
    const x = normalTensor([2, 3, 4, 4], 'relu');
    const y = await runLayer(x, (graph, input) => lowerRelu(graph, 'relu', input));
    expectClose(
      y,
      perChannelDefinition(x, (value) => Math.max(0, value)),
      0,
    );
  });

  it('lowerAdd', async () => {
    const x = normalTensor([2, 3, 4, 4], 'add');
    const y = await runLayer(x, (graph, input) =>
      lowerAdd(graph, 'sum', input, lowerRelu(graph, 'relu', input)),
    );
    expectClose(
      y,
      perChannelDefinition(x, (value) => value + Math.max(0, value)),
    );
  });

  it('lowerGlobalAveragePool', async () => {
    const x = normalTensor([2, 3, 5, 4], 'pool');
    const y = await runLayer(x, (graph, input) => lowerGlobalAveragePool(graph, 'pool', input));
    expectClose(y, averageDefinition(x));
  });

  it('lowerFlatten and lowerLinear', async () => {
    const x = normalTensor([3, 2, 2, 3], 'linear');
    const weights = normalTensor([12, 5], 'linear', 'w').data;
    const bias = normalTensor([5], 'linear', 'b').data;
    const y = await runLayer(x, (graph, input) =>
      lowerLinear(graph, 'classifier', lowerFlatten(graph, 'flat', input), weights, bias),
    );
    expectClose(y, linearDefinition(x, weights, bias));
  });

  it('lowerNormalise', async () => {
    const x = normalTensor([2, 3, 4, 3], 'normalise');
    const [mean, std] = [
      [0.49, 0.48, 0.45],
      [0.25, 0.24, 0.26],
    ] as const;
    const y = await runLayer(x, (graph, input) => lowerNormalise(graph, 'normalise', input, mean, std));
    expectClose(
      y,
      perChannelDefinition(x, (value, c) => (value - mean[c]!) / std[c]!),
    );
  });
});
