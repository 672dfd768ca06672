import { describe, expect, it } from 'vitest';
import { encodeOnnx } from './encode.js';
import { OnnxGraph, ReferenceType, functionDomain, type OnnxFunction } from './graph.js';
import { runOnnx } from './run-onnx.cases.js';

/** y = alpha x: shows a float attribute reaching into the body. */
function scaledFunction(): OnnxFunction {
  const body = new OnnxGraph('Scaled');
  const x = body.input('x');
  const alpha = body.node('Constant', [], {
    value_float: { reference: 'alpha', type: ReferenceType.Float },
  });
  body.output(body.node('Mul', [x, alpha], {}, { name: 'y' }));
  return { name: 'Scaled', description: 'y = alpha x', attributes: ['alpha'], body };
}

function scaledGraph(): OnnxGraph {
  const graph = new OnnxGraph('scaled');
  const x = graph.input('x', ['batch', 2]);
  graph.useFunction(scaledFunction());
  const options = { name: 'y', domain: functionDomain };
  graph.output(graph.node('Scaled', [x], { alpha: { float: -0.5 } }, options), ['batch', 2]);
  return graph;
}

// A reader of the protobuf wire format that knows nothing of our descriptor; only the kinds of field that we write.
function fieldsOf(bytes: Uint8Array): Map<number, (Uint8Array | number)[]> {
  const fields = new Map<number, (Uint8Array | number)[]>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind !== 0 && kind !== 2 && kind !== 5) throw new Error(`unexpected wire type ${kind}`);
    const length = kind === 5 ? 4 : varint();
    const value = kind === 0 ? length : Uint8Array.from(bytes.subarray(at, (at += length)));
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}

function messages(fields: ReturnType<typeof fieldsOf>, id: number) {
  return (fields.get(id) ?? []).map((value) => fieldsOf(value as Uint8Array));
}

function text(fields: ReturnType<typeof fieldsOf>, id: number): string | undefined {
  const value = fields.get(id)?.[0];
  return value === undefined ? undefined : new TextDecoder().decode(value as Uint8Array);
}

describe('encodeOnnx', () => {
  it('writes versions, operator sets, metadata and functions in the fields of onnx.proto', () => {
    const graph = scaledGraph();
    graph.metadata('architecture', 'conv, add');
    graph.metadata('budget', 'énergie < 2 µJ');
    const model = fieldsOf(encodeOnnx(graph));
    expect(model.get(1)).toEqual([8]);
    expect(text(model, 2)).toBe('shiftaddnas');
    const sets = messages(model, 8).map((set) => [text(set, 1), set.get(2)]);
    expect(sets).toEqual([
      ['', [17]],
      ['shiftaddnas', [1]],
    ]);
    expect(messages(model, 14).map((entry) => [text(entry, 1), text(entry, 2)])).toEqual([
      ['architecture', 'conv, add'],
      ['budget', 'énergie < 2 µJ'],
    ]);
    const [scaled, ...others] = messages(model, 25);
    expect(others).toEqual([]);
    expect([1, 4, 5, 6, 8, 10].map((id) => text(scaled!, id))).toEqual([
      'Scaled',
      'x',
      'y',
      'alpha',
      'y = alpha x',
      'shiftaddnas',
    ]);
    const [call, ...rest] = messages(messages(model, 7)[0]!, 1);
    expect(rest).toEqual([]);
    expect([text(call!, 3), text(call!, 4), text(call!, 7)]).toEqual(['y', 'Scaled', 'shiftaddnas']);
  });

  it('writes attributes of value zero: a reader must find exactly one value in each', () => {
    const graph = new OnnxGraph('zeros');
    const x = graph.input('x', ['batch', 3]);
    const attributes = { i: { int: 0 }, f: { float: 0 }, s: { text: '' }, is: { ints: [0, -1] } };
    graph.output(graph.node('Any', [x], attributes));
    const [node] = messages(messages(fieldsOf(encodeOnnx(graph)), 7)[0]!, 1);
    const valueFields = messages(node!, 5).map((attribute) => [text(attribute, 1), attribute.get(20)?.[0]]);
    expect(valueFields).toEqual([
      ['i', 2],
      ['f', 1],
      ['s', 3],
      ['is', 7],
    ]);
    const [i, f, s, is] = messages(node!, 5);
    expect(i!.get(3)).toEqual([0]);
    expect(f!.get(2)).toEqual([new Uint8Array(4)]);
    expect(s!.get(4)).toEqual([new Uint8Array(0)]);
    expect(is!.get(8)).toEqual([0, 2 ** 64]);
  });

  it('makes a file whose functions a runtime inlines with their attributes, for any batch', async () => {
    const bytes = encodeOnnx(scaledGraph());
    for (const batch of [1, 3]) {
      const data = Float32Array.from({ length: 2 * batch }, (_, i) => i - 1);
      const y = (await runOnnx(bytes, { x: { dims: [batch, 2], data } })).get('y');
      expect(y).toEqual({ dims: [batch, 2], data: data.map((value) => -0.5 * value) });
    }
  });

  it('carries every kind of attribute, optional inputs and nested graphs', async () => {
    const graph = new OnnxGraph('attributes');
    const x = graph.input('x', [1, 2, 3]);
    const top = graph.initializer('top', [], Float32Array.of(2));
    const clipped = graph.node('Clip', [x, '', top]);
    const axes = graph.initializer('axes', [1], BigInt64Array.of(0n));
    const squeezed = graph.node('Squeeze', [clipped, axes]);
    const turned = graph.node('Transpose', [squeezed], { perm: { ints: [1, 0] } });
    const gelu = graph.node('Softmax', [turned], { axis: { int: -1 } });
    const sharp = graph.node('Elu', [gelu], { alpha: { float: 0.25 } });
    const step = new OnnxGraph('step', graph);
    const row = step.input('row');
    step.output(step.node('Add', [row, top], {}, { name: 'row_plus' }));
    const scanned = graph.node('Scan', [sharp], { body: { graph: step }, num_scan_inputs: { int: 1 } });
    const one = { dims: [1], data: Float32Array.of(1) };
    const shifted = graph.node('Sub', [scanned, graph.node('Constant', [], { value: { tensor: one } })]);
    const options = { mode: { text: 'constant' } };
    const pads = graph.initializer('pads', [4], BigInt64Array.of(0n, 0n, 0n, 1n));
    graph.output(graph.node('Pad', [shifted, pads], options, { name: 'y' }), [3, 3]);

    const data = Float32Array.of(0, 1, 2, 3, 4, 5);
    const y = (await runOnnx(encodeOnnx(graph), { x: { dims: [1, 2, 3], data } })).get('y')!;
    const expected = [0, 1, 2].flatMap((column) => {
      const [a, b] = [data[column]!, data[column + 3]!].map((value) => Math.exp(Math.min(value, 2)));
      return [a! / (a! + b!) + 1, b! / (a! + b!) + 1, 0];
    });
    expect(y.dims).toEqual([3, 3]);
    expected.forEach((value, at) => expect(y.data[at]).toBeCloseTo(value, 5));
  });

  it('refuses a graph that no runtime would understand', () => {
    const graph = new OnnxGraph('main');
    const x = graph.input('x', [1]);
    expect(() => encodeOnnx(graph)).toThrow('no output');
    const y = graph.node('Scaled', [x], {}, { name: 'y', domain: functionDomain });
    graph.output(y);
    expect(() => encodeOnnx(graph)).toThrow('no function shiftaddnas.Scaled');
    graph.useFunction(scaledFunction());
    expect(() => encodeOnnx(graph)).toThrow('attribute alpha of Scaled is not set');
  });

  it('refuses a reference to an attribute that the function does not have', () => {
    const graph = scaledGraph();
    const body = new OnnxGraph('Broken');
    const alpha = { reference: 'alhpa', type: ReferenceType.Float };
    body.output(body.node('LeakyRelu', [body.input('x')], { alpha }));
    graph.useFunction({ name: 'Broken', description: '', attributes: ['alpha'], body });
    expect(() => encodeOnnx(graph)).toThrow('no function around it has an attribute alhpa');
  });

  it('is really checked by the runtime: shapes that contradict each other do not load', async () => {
    const graph = new OnnxGraph('wrong');
    const x = graph.input('x', [1, 3]);
    const w = graph.initializer('w', [4, 2], new Float32Array(8));
    graph.output(graph.node('MatMul', [x, w], {}, { name: 'y' }));
    const run = runOnnx(encodeOnnx(graph), { x: { dims: [1, 3], data: new Float32Array(3) } });
    await expect(run).rejects.toThrow(/MatMul|dimension/i);
  });
});
