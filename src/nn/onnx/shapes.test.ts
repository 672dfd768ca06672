import { describe, expect, it } from 'vitest';
import { FileError } from '../../base/errors.js';
import { encodeOnnx } from './encode.js';
import { OnnxGraph, type OnnxAttributes } from './graph.js';
import { decodeOnnx } from './read.js';
import { runOnnx } from './run-onnx.cases.js';
import { modelProto } from './schema.js';
import { inferShapes } from './shapes.js';

const ints = (...values: number[]) => ({ ints: values });
const int = (value: number) => ({ int: value });
const text = (value: string) => ({ text: value });
const whole = (...values: number[]): BigInt64Array => BigInt64Array.from(values, BigInt);

type Constant =
  readonly number[] | { readonly floats: readonly number[] } | { readonly weights: readonly number[] };

/** Operator, shape of its input, constants behind it (numbers, or the shape of weights), attributes. */
const cases: readonly (readonly [string, readonly number[], readonly Constant[], OnnxAttributes])[] = [
  ['Conv', [2, 3, 9, 11], [{ weights: [4, 3, 3, 3] }], {}],
  [
    'Conv',
    [1, 4, 9, 8],
    [{ weights: [6, 2, 3, 2] }],
    { group: int(2), strides: ints(2, 1), pads: ints(1, 0, 1, 1) },
  ],
  ['Conv', [1, 2, 13, 12], [{ weights: [2, 2, 3, 3] }], { dilations: ints(2, 3) }],
  ['Conv', [1, 2, 9, 8], [{ weights: [2, 2, 3, 3] }], { auto_pad: text('SAME_UPPER'), strides: ints(2, 2) }],
  ['Conv', [1, 2, 9, 8], [{ weights: [2, 2, 3, 3] }], { auto_pad: text('VALID'), strides: ints(2, 2) }],
  ['Conv', [1, 2, 20], [{ weights: [5, 2, 4] }], { strides: ints(3) }],
  [
    'ConvTranspose',
    [1, 4, 5, 6],
    [{ weights: [4, 3, 3, 2] }],
    { strides: ints(2, 2), output_padding: ints(1, 0) },
  ],
  ['ConvTranspose', [1, 4, 5, 6], [{ weights: [4, 3, 3, 3] }], { pads: ints(1, 0, 1, 1), group: int(2) }],
  ['MaxPool', [1, 2, 9, 10], [], { kernel_shape: ints(3, 2), strides: ints(2, 3) }],
  ['MaxPool', [1, 2, 10, 10], [], { kernel_shape: ints(3, 3), strides: ints(2, 2), ceil_mode: int(1) }],
  [
    'AveragePool',
    [1, 2, 7, 7],
    [],
    { kernel_shape: ints(2, 2), strides: ints(3, 3), ceil_mode: int(1), pads: ints(0, 0, 1, 1) },
  ],
  ['AveragePool', [1, 2, 8, 8], [], { kernel_shape: ints(3, 3), pads: ints(1, 1, 1, 1) }],
  ['GlobalAveragePool', [2, 3, 4, 5], [], {}],
  ['Flatten', [2, 3, 4, 5], [], { axis: int(2) }],
  ['Flatten', [2, 3, 4, 5], [], { axis: int(-1) }],
  ['Reshape', [2, 3, 4, 5], [[0, -1, 10]], {}],
  ['Transpose', [2, 3, 4], [], { perm: ints(2, 0, 1) }],
  ['Transpose', [2, 3, 4], [], {}],
  ['Squeeze', [1, 3, 1, 5], [], {}],
  ['Squeeze', [1, 3, 1, 5], [[-2]], {}],
  ['Unsqueeze', [3, 5], [[0, -1]], {}],
  [
    'Slice',
    [8, 9, 10],
    [
      [1, -4],
      [7, 1000],
      [0, 2],
      [2, 3],
    ],
    {},
  ],
  ['Slice', [8, 9], [[6], [0], [0], [-2]], {}],
  ['Gather', [8, 9, 10], [[3, 1, 1]], { axis: int(1) }],
  ['Expand', [3, 1], [[2, 1, 6]], {}],
  ['Tile', [2, 3], [[2, 4]], {}],
  ['Pad', [2, 3, 4], [[0, 1, 2, 3, 0, 1]], {}],
  ['ReduceMean', [2, 3, 4, 5], [], { axes: ints(-1, 1), keepdims: int(0) }],
  ['ReduceMax', [2, 3, 4], [], {}],
  ['ReduceSum', [2, 3, 4], [[1]], { keepdims: int(1) }],
  ['Add', [2, 1, 4], [{ weights: [3, 1] }], {}],
  ['Mul', [4], [{ weights: [2, 3, 1] }], {}],
  ['MatMul', [2, 5, 3, 4], [{ weights: [4, 6] }], {}],
  ['MatMul', [5, 3, 4], [{ weights: [2, 1, 4, 6] }], {}],
  ['MatMul', [4], [{ weights: [3, 4, 6] }], {}],
  ['MatMul', [3, 4], [{ weights: [4] }], {}],
  ['Gemm', [3, 4], [{ weights: [4, 6] }], {}],
  ['Gemm', [4, 3], [{ weights: [6, 4] }], { transA: int(1), transB: int(1) }],
  ['Resize', [1, 2, 5, 6], [{ floats: [] }, { floats: [1, 1, 2, 1.5] }], { mode: text('nearest') }],
  ['DepthToSpace', [1, 8, 3, 4], [], { blocksize: int(2) }],
  ['SpaceToDepth', [1, 2, 4, 6], [], { blocksize: int(2) }],
  ['HardSwish', [2, 3], [], {}],
  ['LayerNormalization', [2, 3, 4], [{ weights: [4] }], {}],
];

/** A graph of one node; its output has no stated shape. */
function graphOf(
  opType: string,
  shape: readonly number[],
  constants: readonly Constant[],
  attributes: OnnxAttributes,
): Uint8Array {
  const graph = new OnnxGraph('case');
  const inputs = [graph.input('x', shape)];
  constants.forEach((constant, at) => {
    const name = `c${at}`;
    if ('weights' in constant) {
      const size = constant.weights.reduce((product, each) => product * each, 1);
      inputs.push(graph.initializer(name, constant.weights, new Float32Array(size).fill(0.3)));
    } else if ('floats' in constant)
      inputs.push(graph.initializer(name, [constant.floats.length], Float32Array.from(constant.floats)));
    else inputs.push(graph.initializer(name, [constant.length], whole(...constant)));
  });
  graph.output(graph.node(opType, inputs, attributes, { name: 'y' }));
  return encodeOnnx(graph);
}

describe('inferShapes', () => {
  it.each(cases)(
    'finds the shape that a runtime makes: %s of %j',
    async (opType, shape, constants, attributes) => {
      const bytes = graphOf(opType, shape, constants, attributes);
      const size = shape.reduce((product, each) => product * each, 1);
      const y = (await runOnnx(bytes, { x: { dims: shape, data: new Float32Array(size).fill(0.5) } })).get(
        'y',
      )!;
      const { values } = inferShapes(decodeOnnx(bytes, 'case.onnx'), new Map());
      expect(values.get('y')?.shape).toEqual(y.dims);
    },
  );

  it('follows shapes that a graph computes of sizes alone', async () => {
    const graph = new OnnxGraph('computed');
    const x = graph.input('x', ['batch', 6, 4, 5]);
    const constant = (name: string, ...values: number[]): string =>
      graph.initializer(name, [values.length], whole(...values));
    const shape = graph.node('Shape', [x]);
    const batch = graph.node('Gather', [shape, constant('first', 0)]);
    const rest = graph.node('Slice', [shape, constant('from', 2), constant('to', 4)]);
    const places = graph.node('ReduceProd', [rest], { keepdims: int(1) });
    const heads = constant('heads', 3);
    const channels = graph.node('Gather', [shape, constant('second', 1)]);
    const perHead = graph.node('Div', [channels, heads]);
    const target = graph.node('Concat', [batch, heads, perHead, places], { axis: int(0) });
    graph.output(graph.node('Reshape', [x, target], {}, { name: 'y' }));
    const bytes = encodeOnnx(graph);
    const data = new Float32Array(240);
    const y = (await runOnnx(bytes, { x: { dims: [2, 6, 4, 5], data } })).get('y')!;
    const inferred = (batchSize?: number): unknown => {
      const given = new Map(batchSize === undefined ? [] : [['x', [batchSize, 6, 4, 5]]]);
      return inferShapes(decodeOnnx(bytes, 'computed.onnx'), given).values.get('y')?.shape;
    };
    expect(inferred(2)).toEqual(y.dims);
    expect(inferred()).toEqual([1, 3, 2, 20]);
  });

  it('knows nothing behind an operator it does not know, unless the file says so', () => {
    const graph = new OnnxGraph('unknown');
    const x = graph.input('x', ['batch', 4]);
    const y = graph.node('NonZero', [x], {}, { name: 'y' });
    graph.output(graph.node('Relu', [y], {}, { name: 'z' }));
    expect(inferShapes(decodeOnnx(encodeOnnx(graph), 'a.onnx'), new Map()).values.has('z')).toBe(false);
    const stated = new OnnxGraph('stated');
    const u = stated.input('x', ['batch', 4]);
    stated.output(stated.node('NonZero', [u], {}, { name: 'y' }), ['batch', 7]);
    expect(inferShapes(decodeOnnx(encodeOnnx(stated), 'b.onnx'), new Map()).values.get('y')?.shape).toEqual([
      1, 7,
    ]);
  });

  it('reports inputs whose sizes are open, and takes the batch for 1', () => {
    const graph = new OnnxGraph('open');
    const x = graph.input('x', ['batch', 3, 'height', 'width']);
    graph.output(graph.node('Relu', [x], {}, { name: 'y' }));
    const model = decodeOnnx(encodeOnnx(graph), 'open.onnx');
    expect(inferShapes(model, new Map()).open).toEqual([
      { name: 'x', dims: ['batch', 3, 'height', 'width'] },
    ]);
    const { open, values } = inferShapes(model, new Map([['x', [1, 3, 8, 8]]]));
    expect(open).toEqual([]);
    expect(values.get('y')?.shape).toEqual([1, 3, 8, 8]);
  });
});

describe('decodeOnnx', () => {
  it('refuses what is no ONNX file, in one line with its path', () => {
    for (const bytes of [
      Buffer.from('not an onnx file at all'),
      Buffer.from([255, 255, 255]),
      Buffer.alloc(0),
    ]) {
      expect(() => decodeOnnx(bytes, 'model.onnx')).toThrow(FileError);
      expect(() => decodeOnnx(bytes, 'model.onnx')).toThrow(/^model\.onnx: /);
    }
    const empty = modelProto.encode({ irVersion: 8, graph: { name: 'empty' } }).finish();
    expect(() => decodeOnnx(empty, 'model.onnx')).toThrow(/no graph with nodes/);
  });

  it('reads constants however they are stored', () => {
    const tensors = [
      { dataType: 1, floatData: [1.5, -2] },
      { dataType: 1, rawData: Buffer.from(Float32Array.of(1.5, -2).buffer) },
      { dataType: 11, doubleData: [1.5, -2] },
      { dataType: 10, int32Data: [0x3e00, 0xc000] },
      { dataType: 10, rawData: Buffer.from(Uint16Array.of(0x3e00, 0xc000).buffer) },
      { dataType: 16, rawData: Buffer.from(Uint16Array.of(0x3fc0, 0xc000).buffer) },
    ];
    const integers = [
      { dataType: 7, int64Data: [3, -4] },
      { dataType: 7, rawData: Buffer.from(whole(3, -4).buffer) },
      { dataType: 6, int32Data: [3, -4] },
      { dataType: 3, rawData: Buffer.from([3, 252]) },
      { dataType: 5, rawData: Buffer.from(Int16Array.of(3, -4).buffer) },
    ];
    const initializer = [...tensors, ...integers].map((tensor, at) => ({
      name: `t${at}`,
      dims: [2],
      ...tensor,
    }));
    const node = [{ opType: 'Relu', input: ['x'], output: ['y'] }];
    const model = decodeOnnx(
      modelProto.encode({ graph: { name: 'g', node, initializer } }).finish(),
      'm.onnx',
    );
    const values = initializer.map(({ name }) => Array.from(model.initializers.get(name)!.values()!));
    expect(values).toEqual([...tensors.map(() => [1.5, -2]), ...integers.map(() => [3, -4])]);
  });

  it('has no values for tensors kept in another file', () => {
    const tensor = { name: 'w', dims: [2], dataType: 1, externalData: [{ key: 'location', value: 'w.bin' }] };
    const node = [{ opType: 'Relu', input: ['x'], output: ['y'] }];
    const graph = { name: 'g', node, initializer: [tensor] };
    const model = decodeOnnx(modelProto.encode({ graph }).finish(), 'm.onnx');
    expect(model.initializers.get('w')).toMatchObject({ dims: [2], elementType: 1 });
    expect(model.initializers.get('w')!.values()).toBeUndefined();
  });
});
