/**
 * @file The shapes of all values of an ONNX graph, worked out node by node from its inputs: as much of ONNX's shape
 * inference as the layers of convolutional networks and transformers need. Shapes that a graph computes while it runs
 * are followed as long as they depend on nothing but sizes. What an unknown operator makes has the shape that the
 * file states for it, or none.
 */
import { OptionError } from '../../base/errors.js';
import { sizeOf } from '../../tensor/shape.js';
import {
  axisOf,
  defaultBits,
  intOf,
  intsOf,
  mostNumbers,
  type Call,
  type KnownValue,
  type KnownValues,
} from './known-values.js';
import { bitsOf, type ReadModel, type ReadNode, type ReadTensor, type ReadValue } from './read.js';
import { ElementType } from './schema.js';
import { folded } from './shape-numbers.js';
import { isLayer, shapeRuleOf } from './shape-rules.js';

/** An input whose size is not in the file; the batch is taken to be 1. */
export interface OpenInput {
  readonly name: string;
  readonly dims: readonly (number | string)[] | undefined;
}

/**
 * Shapes by name of value. Symbolic sizes are those of `given`, else 1 for the first dimension of an input.
 * @param given shapes of inputs by name, for sizes that the file leaves open
 * @throws OptionError for a given shape that contradicts the file's own
 */
export function inferShapes(
  model: ReadModel,
  given: ReadonlyMap<string, readonly number[]>,
): { readonly values: KnownValues; readonly open: readonly OpenInput[] } {
  const values = new Map<string, KnownValue>();
  const symbols = new Map<string, number>();
  const open: OpenInput[] = [];
  for (const [name, tensor] of model.initializers) values.set(name, constantOf(tensor));
  for (const [name, value] of model.inputs) {
    const wanted = given.get(name);
    if (wanted !== undefined) refuseContradiction(name, wanted, value);
    const shape = wanted ?? bound(value, symbols, true);
    value.dims?.forEach((dim, at) => {
      if (typeof dim === 'string' && shape !== undefined) symbols.set(dim, shape[at]!);
    });
    if (shape === undefined) open.push({ name, dims: value.dims?.map((dim) => dim ?? '?') });
    else values.set(name, { shape, bits: bitsOf(value.elementType) ?? defaultBits });
  }
  for (const node of model.nodes) {
    const inputs = node.inputs.map((name) => values.get(name));
    const found = outputsOf({ node, inputs, opset: model.opset });
    node.outputs.forEach((name, at) => {
      const value = found?.[at] ?? stated(model.values.get(name), symbols);
      if (name !== '' && value !== undefined) values.set(name, value);
    });
  }
  return { values, open };
}

function refuseContradiction(name: string, wanted: readonly number[], { dims }: ReadValue): void {
  if (dims === undefined) return;
  const isFixed = (dim: (typeof dims)[number]): dim is number => typeof dim === 'number' && dim > 0;
  if (dims.length === wanted.length && dims.every((dim, at) => !isFixed(dim) || dim === wanted[at])) return;
  const stated = dims.map((dim) => (typeof dim === 'string' || isFixed(dim) ? dim : '?')).join(', ');
  throw new OptionError(
    `input '${name}' is [${stated}] in the file, which ${wanted.join('x')} contradicts; give sizes only where the file leaves them open`,
  );
}

function bound(
  { dims }: ReadValue,
  symbols: ReadonlyMap<string, number>,
  isInput: boolean,
): readonly number[] | undefined {
  const shape = dims?.map((dim, at) => {
    const size = typeof dim === 'string' ? symbols.get(dim) : dim;
    // Exporters write 0 or -1 for a size that is left open.
    if (size !== undefined && size > 0) return size;
    return isInput && at === 0 ? 1 : Number.NaN;
  });
  return shape?.some(Number.isNaN) ? undefined : shape;
}

function stated(value: ReadValue | undefined, symbols: ReadonlyMap<string, number>): KnownValue | undefined {
  const shape = value && bound(value, symbols, false);
  return shape && { shape, bits: bitsOf(value?.elementType) ?? defaultBits };
}

function constantOf(tensor: ReadTensor): KnownValue {
  const numbers = sizeOf(tensor.dims) <= mostNumbers ? tensor.values() : undefined;
  return {
    shape: tensor.dims,
    bits: bitsOf(tensor.elementType) ?? defaultBits,
    ...(numbers !== undefined && { numbers: Array.from(numbers), real: realTypes.has(tensor.elementType) }),
  };
}

const realTypes = new Set<number>([
  ...[ElementType.Float, ElementType.Double, ElementType.Float16, ElementType.BFloat16],
]);

/** The outputs of a node; undefined, in whole or in part, for what cannot be told. */
function outputsOf(call: Call): readonly (KnownValue | undefined)[] | undefined {
  const { node } = call;
  if (node.domain === '' && node.opType === 'Constant') return [constantNode(node)];
  if (node.domain === '' && node.opType === 'Split') return splitOutputs(call);
  const shape = shapeRuleOf(node)?.(call);
  if (shape === undefined) return undefined;
  const numbers = folded(call, shape);
  const ends = clippedEnds(call);
  const value = {
    shape,
    ...resultBits(call),
    ...(numbers !== undefined && { numbers }),
    ...(ends !== undefined && { ends }),
  };
  // Further outputs (masks, indices) are no operands of layers, except the statistics of none.
  return [value];
}

/** What a Clip cuts off at, where that is constant. */
function clippedEnds({ node, inputs: [, low, high] }: Call): KnownValue['ends'] {
  const [least, most] = [low?.numbers?.[0], high?.numbers?.[0]];
  return node.opType === 'Clip' && least !== undefined && most !== undefined ? [least, most] : undefined;
}

/**
 * Values that are cut off before they become integers, of an integer type or by a Round, need no more bits than the
 * integers that are left.
 */
function resultBits({ node, inputs: [x, scale] }: Call): Pick<KnownValue, 'bits' | 'realBits'> {
  const { opType } = node;
  const step = scale?.numbers;
  if (opType === 'QuantizeLinear' && x?.ends !== undefined && step?.length === 1) {
    const codes = Math.round((x.ends[1] - x.ends[0]) / step[0]!) + 1;
    if (codes > 1) return { bits: Math.min(8, Math.ceil(Math.log2(codes))) };
  }
  if (opType === 'Round' && x?.ends?.every(Number.isInteger)) {
    const codes = x.ends[1] - x.ends[0] + 1;
    if (codes > 1) return { bits: Math.min(x.bits, Math.ceil(Math.log2(codes))), realBits: x.bits };
  }
  const quantises =
    opType === 'QuantizeLinear' || opType === 'DynamicQuantizeLinear' || opType === 'QLinearConv';
  if (quantises || opType === 'QLinearMatMul') return { bits: 8 };
  const bits = x?.bits ?? defaultBits;
  if (opType === 'DequantizeLinear') return { bits, realBits: scale?.bits ?? defaultBits };
  if (x?.realBits === undefined) return { bits };
  return isLayer(node) ? { bits: x.realBits } : { bits, realBits: x.realBits };
}

function splitOutputs({ node, inputs: [x, sizes] }: Call): readonly KnownValue[] | undefined {
  if (x === undefined) return undefined;
  const axis = axisOf(intOf(node, 'axis', 0), x.shape.length);
  const parts = node.outputs.length;
  const even = Math.ceil(x.shape[axis]! / parts);
  const given = sizes?.numbers ?? intsOf(node, 'split');
  if (given === undefined && sizes !== undefined) return undefined;
  return node.outputs.map((_, part) => {
    const size = given?.[part] ?? Math.min(even, x.shape[axis]! - part * even);
    return { bits: x.bits, shape: x.shape.map((whole, at) => (at === axis ? size : whole)) };
  });
}

function constantNode(node: ReadNode): KnownValue | undefined {
  const { attributes } = node;
  const tensor = attributes.get('value');
  if (
    typeof tensor === 'object' &&
    'values' in tensor &&
    typeof tensor.values === 'function' &&
    'dims' in tensor
  )
    return constantOf(tensor);
  const whole = attributes.get('value_int') ?? attributes.get('value_ints');
  if (typeof whole === 'number') return { shape: [], bits: 64, numbers: [whole] };
  if (Array.isArray(whole)) return { shape: [whole.length], bits: 64, numbers: whole as number[] };
  const real = attributes.get('value_float') ?? attributes.get('value_floats');
  if (typeof real === 'number') return { shape: [], bits: defaultBits };
  return Array.isArray(real) ? { shape: [real.length], bits: defaultBits } : undefined;
}
