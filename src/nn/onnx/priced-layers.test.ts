import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operationCount } from '../../hardware/layer.js';
import { encodeOnnx } from './encode.js';
import { OnnxGraph, type OnnxAttributes } from './graph.js';
import { layersOfGraph, powerOfTwoBits, type GraphLayers } from './priced-layers.js';
import { decodeOnnx } from './read.js';
import { modelProto } from './schema.js';

const ints = (...values: number[]) => ({ ints: values });

/** A graph of one node with float weights of a shape behind its input. */
function read(
  opType: string,
  shape: readonly number[],
  weights: readonly (readonly number[])[] = [],
  attributes: OnnxAttributes = {},
  weightFirst = false,
): GraphLayers {
  const graph = new OnnxGraph('case');
  const x = graph.input('x', shape);
  const constants = weights.map((dims, at) => {
    const size = dims.reduce((product, each) => product * each, 1);
    return graph.initializer(
      `w${at}`,
      dims,
      Float32Array.from({ length: size }, (_, i) => 0.3 + i),
    );
  });
  const inputs = weightFirst ? [...constants, x] : [x, ...constants];
  graph.output(graph.node(opType, inputs, attributes, { name: 'layer' }));
  return layersOfGraph(decodeOnnx(encodeOnnx(graph), 'case.onnx'));
}

const matrix = { inHeight: 1, inWidth: 1, outHeight: 1, outWidth: 1, kernel: 1, stride: 1, groups: 1 };

describe('layersOfGraph', () => {
  it('describes convolutions by their shapes', () => {
    const strided = { strides: ints(2, 2), pads: ints(1, 1, 1, 1), group: { int: 4 } };
    expect(read('Conv', [2, 8, 15, 21], [[12, 2, 3, 3]], strided).layers).toEqual([
      {
        name: 'layer',
        primitive: 'multiply',
        fullyConnected: false,
        ...{ batch: 2, inHeight: 15, inWidth: 21, inChannels: 8, kernel: 3 },
        ...{ outHeight: 8, outWidth: 11, outChannels: 12, stride: 2, groups: 4 },
        operandBits: { weight: 32, activation: 32, partialSum: 32 },
      },
    ]);
  });

  it('describes products of a matrix with all rows as one layer', () => {
    const same = { batch: 10, inChannels: 4, outChannels: 6, fullyConnected: true, ...matrix };
    for (const { layers } of [
      read('MatMul', [2, 5, 4], [[4, 6]]),
      read('MatMul', [10, 4], [[4, 6]]),
      read('Gemm', [10, 4], [[4, 6]]),
      read('Gemm', [10, 4], [[6, 4]], { transB: { int: 1 } }),
      read('Gemm', [4, 10], [[4, 6]], { transA: { int: 1 } }),
      // The weight in front: its rows are the outputs, the columns of the input are the rows.
      read('MatMul', [4, 10], [[6, 4]], {}, true),
      read('MatMul', [2, 4, 5], [[6, 4]], {}, true),
    ]) {
      expect(layers).toHaveLength(1);
      expect(layers[0]).toMatchObject(same);
      expect(layers[0]).not.toHaveProperty('copies');
    }
    expect(read('MatMul', [4], [[4, 6]]).layers[0]).toMatchObject({
      batch: 1,
      inChannels: 4,
      outChannels: 6,
    });
    expect(read('MatMul', [3, 4], [[4]]).layers[0]).toMatchObject({
      batch: 3,
      inChannels: 4,
      outChannels: 1,
    });
  });

  it('describes products of pairs of matrices, as in attention, as copies', () => {
    const graph = new OnnxGraph('attention');
    const q = graph.input('q', [1, 8, 49, 64]);
    const k = graph.input('k', [1, 8, 64, 49]);
    const scores = graph.node('MatMul', [q, k], {}, { name: 'scores' });
    const v = graph.input('v', [1, 8, 49, 32]);
    graph.output(graph.node('MatMul', [graph.node('Softmax', [scores]), v], {}, { name: 'context' }));
    const { layers, free } = layersOfGraph(decodeOnnx(encodeOnnx(graph), 'a.onnx'));
    expect(layers).toMatchObject([
      { name: 'scores', batch: 49, inChannels: 64, outChannels: 49, copies: 8 },
      { name: 'context', batch: 49, inChannels: 49, outChannels: 32, copies: 8 },
    ]);
    expect(layers.map(operationCount)).toEqual([8 * 49 * 64 * 49, 8 * 49 * 49 * 32]);
    expect([...free]).toEqual([['Softmax', 1]]);
  });

  it('takes layers of powers of two for shift layers, of zeros too', () => {
    const shifted = (weights: readonly number[]): GraphLayers => {
      const graph = new OnnxGraph('shift');
      const x = graph.input('x', [1, 1, 8, 8]);
      const w = graph.initializer('w', [weights.length, 1, 1, 1], Float32Array.from(weights));
      graph.output(graph.node('Conv', [x, w], {}, { name: 'layer' }));
      return layersOfGraph(decodeOnnx(encodeOnnx(graph), 's.onnx'));
    };
    const kind = (weights: readonly number[]): unknown => {
      const { primitive, operandBits } = shifted(weights).layers[0]!;
      return [primitive, operandBits.weight];
    };
    expect(kind([0.5, -0.25, 1, -(2 ** -15)])).toEqual(['shift', 5]);
    expect(kind([0.5, 0, -2])).toEqual(['shift', 5]);
    expect(kind([2 ** -20, 1])).toEqual(['shift', 6]);
    expect(kind([0.5, 0.75])).toEqual(['multiply', 32]);
    expect(kind([0, 0])).toEqual(['multiply', 32]);
    expect(kind([Number.NaN, 0.5])).toEqual(['multiply', 32]);
    expect(kind([Infinity, 0.5])).toEqual(['multiply', 32]);
  });

  it('reads quantised layers at their stored widths', () => {
    const tensor = (name: string, dataType: number, dims: number[], count: number): object => ({
      ...{ name, dataType, dims },
      rawData: new Uint8Array(count).map((_, i) => i + 1),
    });
    const scale = { name: 's', dataType: 1, dims: [], floatData: [0.1] };
    const zero = tensor('z', 3, [], 1);
    const input = [
      {
        name: 'x',
        type: { tensorType: { elemType: 3, shape: { dim: [1, 3, 8, 8].map((dimValue) => ({ dimValue })) } } },
      },
    ];
    const node = [
      {
        name: 'q',
        opType: 'QLinearConv',
        input: ['x', 's', 'z', 'w', 's', 'z', 's', 'z'],
        output: ['y'],
      },
      { name: 'dx', opType: 'DequantizeLinear', input: ['y', 's', 'z'], output: ['dy'] },
      { name: 'dw', opType: 'DequantizeLinear', input: ['v', 's', 'z'], output: ['dv'] },
      { name: 'c', opType: 'Conv', input: ['dy', 'dv'], output: ['u'] },
    ];
    const initializer = [scale, zero, tensor('w', 3, [4, 3, 3, 3], 108), tensor('v', 3, [2, 4, 1, 1], 8)];
    const bytes = modelProto.encode({ graph: { name: 'g', node, initializer, input } }).finish();
    const { layers, unpriced } = layersOfGraph(decodeOnnx(bytes, 'q.onnx'));
    expect(unpriced).toEqual([]);
    expect(layers).toMatchObject([
      { name: 'q', outChannels: 4, outHeight: 6, operandBits: { weight: 8, activation: 8, partialSum: 32 } },
      { name: 'c', outChannels: 2, operandBits: { weight: 8, activation: 8, partialSum: 32 } },
    ]);
  });

  it('lists what it cannot price, and why', () => {
    const reason = (result: GraphLayers): string | undefined => result.unpriced[0]?.reason;
    const maps = [1, 2, 9, 9];
    expect(reason(read('Conv', maps, [[4, 2, 1, 3]]))).toMatch(/kernel of 1x3; only square/);
    expect(reason(read('Conv', maps, [[4, 2, 3, 3]], { strides: ints(2, 1) }))).toMatch(/strides 2 and 1/);
    expect(reason(read('Conv', maps, [[4, 2, 3, 3]], { dilations: ints(2, 2) }))).toMatch(/dilation of 2x2/);
    expect(reason(read('Conv', [1, 2, 9], [[4, 2, 3]]))).toMatch(/convolution over 1 dimensions/);
    expect(read('Conv', maps, [[4, 2, 1, 1]], { dilations: ints(2, 2) }).layers).toHaveLength(1);
    expect(reason(read('Conv', [1, 8, 9, 9], [[8, 5, 3, 3]]))).toBe(
      'an input of 1x8x9x9 does not go with weights of 8x5x3x3 in 1 group',
    );
    expect(reason(read('Conv', [1, 8, 9, 9], [[6, 2, 3, 3]], { group: { int: 4 } }))).toMatch(/in 4 groups$/);
    expect(reason(read('MatMul', [2, 5], [[4, 6]]))).toBe('matrices of 2x5 and 4x6 cannot be multiplied');
    expect(reason(read('Gemm', [2, 4], [[4, 6]], { transB: { int: 1 } }))).toMatch(/cannot be multiplied/);
    // Whatever multiplies is missing from a total; what does not is only worth a notice.
    const lacks = (opType: string): boolean | undefined => read(opType, maps).unpriced[0]?.multiplies;
    expect(['ConvTranspose', 'Einsum', 'LSTM', 'MatMulNBits'].map(lacks)).toEqual([true, true, true, true]);
    expect(['NonZero', 'Unique', 'GridSample'].map(lacks)).toEqual([false, false, false]);
    const graph = new OnnxGraph('unknown');
    const x = graph.input('x', ['batch', 4]);
    const odd = graph.node('NonZero', [x], {}, { name: 'odd' });
    const w = graph.initializer('w', [4, 2], new Float32Array(8).fill(0.3));
    graph.output(graph.node('MatMul', [odd, w], {}, { name: 'behind' }));
    expect(layersOfGraph(decodeOnnx(encodeOnnx(graph), 'u.onnx'))).toMatchObject({
      layers: [],
      unpriced: [
        { name: 'odd', opType: 'NonZero', reason: 'no price for this operator', lacksShape: false },
        { name: 'behind', opType: 'MatMul', lacksShape: true },
      ],
    });
  });

  it('takes no other domain’s operator for a layer', () => {
    const node = [{ name: 'n', domain: 'com.example', opType: 'Conv', input: ['x', 'w'], output: ['y'] }];
    const bytes = modelProto.encode({ graph: { name: 'g', node } }).finish();
    expect(layersOfGraph(decodeOnnx(bytes, 'd.onnx')).unpriced).toMatchObject([
      { opType: 'com.example.Conv' },
    ]);
  });
});

describe('powerOfTwoBits', () => {
  it('counts the sign and the exponents between the least and the most', () => {
    const power = fc.record({ sign: fc.constantFrom(-1, 1), exponent: fc.integer({ min: -30, max: 30 }) });
    fc.assert(
      fc.property(fc.array(power, { minLength: 1 }), (powers) => {
        const exponents = powers.map(({ exponent }) => exponent);
        const levels = Math.max(...exponents) - Math.min(...exponents) + 1;
        const bits = powerOfTwoBits(Float32Array.from(powers, ({ sign, exponent }) => sign * 2 ** exponent))!;
        expect(2 ** (bits - 1)).toBeGreaterThanOrEqual(levels);
        expect(2 ** (bits - 2)).toBeLessThan(levels);
      }),
    );
  });

  it('refuses anything else', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1.0001, max: 1.9999 }),
        fc.integer({ min: -20, max: 20 }),
        (fraction, exponent) => {
          expect(powerOfTwoBits([0.5, fraction * 2 ** exponent])).toBeUndefined();
        },
      ),
    );
    expect(powerOfTwoBits([])).toBeUndefined();
  });
});
