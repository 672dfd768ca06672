import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { OnnxGraph, type OnnxFunction } from './graph.js';

function functionOf(body: OnnxGraph): OnnxFunction {
  return { name: 'Twice', description: 'y = 2 x', attributes: [], body };
}

function twiceBody(): OnnxGraph {
  const body = new OnnxGraph('Twice');
  const x = body.input('x');
  body.output(body.node('Add', [x, x]));
  return body;
}

describe('OnnxGraph', () => {
  it('names nodes after their operator when they have no name, past names already taken', () => {
    const graph = new OnnxGraph('main');
    const x = graph.input('Relu_1');
    const names = [0, 1, 2].map(() => graph.node('Relu', [x]));
    expect(names).toEqual(['Relu_0', 'Relu_2', 'Relu_3']);
  });

  it.each(['', 'a b', 'é', '.weight', 'x\n', 'a"b'])('refuses the name %j everywhere', (name) => {
    const graph = new OnnxGraph('main');
    const x = graph.input('x');
    const refused = /use letters, digits and/;
    expect(() => new OnnxGraph(name)).toThrow(refused);
    expect(() => graph.input(name)).toThrow(refused);
    expect(() => graph.initializer(name, [], Float32Array.of(1))).toThrow(refused);
    expect(() => graph.node('Relu', [x], {}, { name })).toThrow(refused);
    expect(() => graph.node(name, [x])).toThrow(refused);
    expect(() => graph.node('Relu', [x], { [name]: { int: 1 } })).toThrow(refused);
    expect(() => graph.output(x, [name])).toThrow(refused);
    expect(() => graph.useFunction({ ...functionOf(twiceBody()), name })).toThrow(refused);
  });

  it('refuses a name that is taken, by whatever', () => {
    const graph = new OnnxGraph('main');
    graph.input('x');
    graph.initializer('w', [1], Float32Array.of(1));
    graph.node('Relu', ['x'], {}, { name: 'y' });
    for (const name of ['x', 'w', 'y']) {
      expect(() => graph.input(name)).toThrow('taken already');
      expect(() => graph.initializer(name, [], Float32Array.of(1))).toThrow('taken already');
      expect(() => graph.node('Relu', ['x'], {}, { name })).toThrow('taken already');
    }
    graph.output('y');
    expect(() => graph.output('y')).toThrow('declared twice');
  });

  it('refuses values that nobody has made yet', () => {
    const graph = new OnnxGraph('main');
    expect(() => graph.node('Relu', ['x'])).toThrow('input "x" is not defined yet');
    expect(() => graph.output('y')).toThrow('no node makes this value');
    expect(graph.nodes).toEqual([]);
  });

  it('lets a nested graph read the values around it, but not hide them', () => {
    const outer = new OnnxGraph('main');
    const x = outer.input('x');
    const nested = new OnnxGraph('nested', outer);
    nested.output(nested.node('Relu', [x]));
    expect(() => nested.input('x')).toThrow('taken already');
    expect(() => nested.useFunction(functionOf(twiceBody()))).toThrow('main graph');
  });

  it('refuses tensors whose data do not fill their shape and sizes that are none', () => {
    const graph = new OnnxGraph('main');
    expect(() => graph.initializer('w', [2, 3], new Float32Array(5))).toThrow(ShapeError);
    expect(() => graph.initializer('w', [-1, -1], new Float32Array(1))).toThrow(ShapeError);
    expect(() => graph.input('x', ['batch', 1.5])).toThrow('1.5 is not a dimension');
    const tensor = { dims: [2], data: new BigInt64Array(1) };
    expect(() => graph.node('Constant', [], { value: { tensor } })).toThrow(ShapeError);
  });

  it('takes a function once, and refuses another of the same name', () => {
    const graph = new OnnxGraph('main');
    const twice = functionOf(twiceBody());
    graph.useFunction(twice);
    graph.useFunction(twice);
    expect(graph.functions.size).toBe(1);
    expect(() => graph.useFunction(functionOf(twiceBody()))).toThrow('another definition');
  });

  it('refuses function bodies that a function cannot have', () => {
    const graph = new OnnxGraph('main');
    const withConstant = twiceBody();
    withConstant.initializer('w', [], Float32Array.of(1));
    expect(() => graph.useFunction(functionOf(withConstant))).toThrow('neither initializers nor functions');
    expect(() => graph.useFunction(functionOf(new OnnxGraph('empty')))).toThrow('no output');
  });

  it('keeps each metadata key once', () => {
    const graph = new OnnxGraph('main');
    graph.metadata('architecture', 'any text: {"blocks": []}');
    expect(() => graph.metadata('architecture', 'other')).toThrow('set already');
    expect(() => graph.metadata('', 'x')).toThrow('empty');
    expect([...graph.properties]).toEqual([['architecture', 'any text: {"blocks": []}']]);
  });
});
