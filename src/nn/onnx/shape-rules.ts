/**
 * @file The shape that each ONNX operator makes of its inputs' shapes, and which operators are layers, which are free.
 * Source: the operator definitions, docs/Operators.md of github.com/onnx/onnx.
 */
import { sizeOf } from '../../tensor/shape.js';
import { axisOf, intOf, intsOf, type Call, type KnownValue } from './known-values.js';
import type { ReadNode } from './read.js';

export type ShapeRule = (call: Call) => readonly number[] | undefined;

const same: ShapeRule = ({ inputs: [x] }) => x?.shape;

const elementwise = [
  ...[
    'Relu',
    'LeakyRelu',
    'PRelu',
    'Sigmoid',
    'Tanh',
    'Softmax',
    'LogSoftmax',
    'Clip',
    'Elu',
    'Selu',
    'Celu',
  ],
  ...['Gelu', 'HardSigmoid', 'HardSwish', 'Mish', 'Swish', 'Softplus', 'Softsign', 'ThresholdedRelu', 'Erf'],
  ...[
    'Exp',
    'Log',
    'Sqrt',
    'Reciprocal',
    'Neg',
    'Abs',
    'Round',
    'Floor',
    'Ceil',
    'Sign',
    'Sin',
    'Cos',
    'Not',
  ],
  ...['Identity', 'Dropout', 'Cast', 'BatchNormalization', 'InstanceNormalization', 'LayerNormalization'],
  ...['GroupNormalization', 'RMSNormalization', 'LRN', 'LpNormalization', 'MeanVarianceNormalization'],
  ...['QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'CumSum', 'Trilu', 'IsNaN'],
];
const broadcasting = [
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Min', 'Max', 'Sum', 'Mean', 'Mod', 'Where', 'And', 'Or', 'Xor'],
  ...['Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual', 'BitShift'],
];
const reducing = [
  ...['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2'],
  ...['ReduceLogSum', 'ReduceLogSumExp', 'ReduceSumSquare', 'ArgMax', 'ArgMin'],
];

/** Operators of ONNX's own domain that only move or scale values: no profile has a price for them. */
const freeRules: Readonly<Record<string, ShapeRule>> = {
  ...Object.fromEntries(elementwise.map((opType) => [opType, same])),
  ...Object.fromEntries(broadcasting.map((opType) => [opType, broadcastShape])),
  ...Object.fromEntries(reducing.map((opType) => [opType, reducedShape])),
  ...Object.fromEntries(['MaxPool', 'AveragePool', 'LpPool'].map((opType) => [opType, pooledShape])),
  GlobalAveragePool: globalShape,
  GlobalMaxPool: globalShape,
  Flatten: ({ node, inputs: [x] }) => {
    if (x === undefined) return undefined;
    const axis = intOf(node, 'axis', 1);
    const split = axis < 0 ? axis + x.shape.length : axis;
    return [sizeOf(x.shape.slice(0, split)), sizeOf(x.shape.slice(split))];
  },
  Reshape: reshapedShape,
  Transpose: ({ node, inputs: [x] }) => {
    const order = intsOf(node, 'perm') ?? x?.shape.map((_, at) => x.shape.length - 1 - at);
    return x && order?.map((axis) => x.shape[axis]!);
  },
  Concat: ({ node, inputs }) => {
    const shapes = inputs.map((input) => input?.shape);
    if (!shapes.every((shape) => shape !== undefined)) return undefined;
    const axis = axisOf(intOf(node, 'axis', 0), shapes[0]!.length);
    return shapes[0]!.map((size, at) =>
      at === axis ? shapes.reduce((sum, shape) => sum + shape[axis]!, 0) : size,
    );
  },
  Squeeze: ({ node, inputs: [x, axes] }) => {
    const given = axes?.numbers ?? intsOf(node, 'axes');
    const dropped = given?.map((axis) => axisOf(axis, x?.shape.length ?? 0));
    return x?.shape.filter((size, at) => (dropped === undefined ? size !== 1 : !dropped.includes(at)));
  },
  Unsqueeze: ({ node, inputs: [x, axes] }) => {
    const given = axes?.numbers ?? intsOf(node, 'axes');
    if (x === undefined || given === undefined) return undefined;
    const rank = x.shape.length + given.length;
    const added = given.map((axis) => axisOf(axis, rank));
    const rest = [...x.shape];
    return Array.from({ length: rank }, (_, at) => (added.includes(at) ? 1 : rest.shift()!));
  },
  Slice: slicedShape,
  Gather: ({ node, inputs: [x, indices] }) => {
    if (x === undefined || indices === undefined) return undefined;
    const axis = axisOf(intOf(node, 'axis', 0), x.shape.length);
    return [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  },
  Expand: ({ inputs: [x, shape] }) => x && shape?.numbers && broadcastShapes([x.shape, shape.numbers]),
  Tile: ({ inputs: [x, repeats] }) =>
    repeats?.numbers && x?.shape.map((size, at) => size * repeats.numbers![at]!),
  Pad: ({ node, inputs: [x, pads] }) => {
    const given = pads?.numbers ?? intsOf(node, 'pads');
    const rank = x?.shape.length ?? 0;
    return given && x?.shape.map((size, at) => size + given[at]! + given[at + rank]!);
  },
  Resize: resizedShape,
  Upsample: resizedShape,
  Shape: ({ node, inputs: [x] }) => {
    if (x === undefined) return undefined;
    return [x.shape.slice(intOf(node, 'start', 0), intOf(node, 'end', x.shape.length)).length];
  },
  TopK: ({ node, inputs: [x, k] }) => {
    const count = k?.numbers?.[0] ?? intOf(node, 'k', Number.NaN);
    if (x === undefined || Number.isNaN(count)) return undefined;
    const axis = axisOf(intOf(node, 'axis', -1), x.shape.length);
    return x.shape.map((size, at) => (at === axis ? count : size));
  },
  ScatterElements: same,
  Size: () => [],
  ConstantOfShape: ({ inputs: [shape] }) => shape?.numbers,
  DepthToSpace: ({ node, inputs: [x] }) => {
    const block = intOf(node, 'blocksize', 1);
    return x && [x.shape[0]!, x.shape[1]! / block ** 2, x.shape[2]! * block, x.shape[3]! * block];
  },
  SpaceToDepth: ({ node, inputs: [x] }) => {
    const block = intOf(node, 'blocksize', 1);
    return x && [x.shape[0]!, x.shape[1]! * block ** 2, x.shape[2]! / block, x.shape[3]! / block];
  },
};

/** Operators that are layers: `priced-layers.ts` makes descriptions of them. */
const pricedRules: Readonly<Record<string, ShapeRule>> = {
  Conv: ({ node, inputs: [x, w] }) => convolvedShape(node, x, w),
  L1Conv: ({ node, inputs: [x, w] }) => convolvedShape(node, x, w),
  LpConv: ({ node, inputs: [x, w] }) => convolvedShape(node, x, w),
  BinaryConv: ({ node, inputs: [x, w] }) => convolvedShape(node, x, w),
  ConvInteger: ({ node, inputs: [x, w] }) => convolvedShape(node, x, w),
  QLinearConv: ({ node, inputs }) => convolvedShape(node, inputs[0], inputs[3]),
  Gemm: ({ node, inputs: [a, b] }) => {
    if (a?.shape.length !== 2 || b?.shape.length !== 2) return undefined;
    const rows = a.shape[intOf(node, 'transA', 0) === 0 ? 0 : 1]!;
    return [rows, b.shape[intOf(node, 'transB', 0) === 0 ? 1 : 0]!];
  },
  MatMul: ({ inputs: [a, b] }) => productShape(a, b),
  MatMulInteger: ({ inputs: [a, b] }) => productShape(a, b),
  QLinearMatMul: ({ inputs }) => productShape(inputs[0], inputs[3]),
};

/** The rule for a node's first output; undefined for an operator that we do not know. */
export function shapeRuleOf(node: ReadNode): ShapeRule | undefined {
  if (isLayer(node)) return pricedRules[node.opType];
  if (node.domain === '' && node.opType === 'ConvTranspose') return transposedShape;
  return isFree(node) ? freeRules[node.opType] : undefined;
}

/** Functions of our own, for layers that ONNX has no operator for: additions, and signs. */
const ownLayers: ReadonlySet<string> = new Set(['L1Conv', 'LpConv', 'BinaryConv']);

/** Whether a node is a layer that a cost model prices. */
export function isLayer({ domain, opType }: ReadNode): boolean {
  return Object.hasOwn(pricedRules, opType) && domain === (ownLayers.has(opType) ? 'shiftaddnas' : '');
}

/** Whether a node is one that no profile has a price for: normalisation, activation, pooling, additions, reshaping. */
export function isFree({ domain, opType }: ReadNode): boolean {
  return domain === '' && (Object.hasOwn(freeRules, opType) || opType === 'Constant' || opType === 'Split');
}

function broadcastShape({ inputs }: Call): readonly number[] | undefined {
  const shapes = inputs.map((input) => input?.shape);
  return shapes.every((shape) => shape !== undefined) ? broadcastShapes(shapes) : undefined;
}

/** The shape that all of these stretch to; undefined when they contradict each other. */
export function broadcastShapes(shapes: readonly (readonly number[])[]): readonly number[] | undefined {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  const result = Array.from({ length: rank }, (_, at) => {
    const sizes = shapes.map((shape) => shape[at - rank + shape.length] ?? 1).filter((size) => size !== 1);
    return sizes.every((size) => size === sizes[0]) ? (sizes[0] ?? 1) : Number.NaN;
  });
  return result.some(Number.isNaN) ? undefined : result;
}

function reducedShape({ node, inputs: [x, axes] }: Call): readonly number[] | undefined {
  if (x === undefined) return undefined;
  const rank = x.shape.length;
  const isArg = node.opType.startsWith('Arg');
  const given = isArg ? [intOf(node, 'axis', 0)] : (axes?.numbers ?? intsOf(node, 'axes'));
  if (given === undefined && axes !== undefined) return undefined;
  const all = given === undefined || given.length === 0;
  const reduced = all ? x.shape.map((_, at) => at) : given.map((axis) => axisOf(axis, rank));
  if (all && intOf(node, 'noop_with_empty_axes', 0) === 1) return x.shape;
  const keep = intOf(node, 'keepdims', 1) === 1;
  return x.shape.flatMap((size, at) => (reduced.includes(at) ? (keep ? [1] : []) : [size]));
}

function globalShape({ inputs: [x] }: Call): readonly number[] | undefined {
  return x?.shape.map((size, at) => (at < 2 ? size : 1));
}

function pooledShape({ node, inputs: [x] }: Call): readonly number[] | undefined {
  const kernel = intsOf(node, 'kernel_shape');
  if (x === undefined || kernel === undefined) return undefined;
  return [...x.shape.slice(0, 2), ...slid(node, x.shape.slice(2), kernel)];
}

function convolvedShape(
  node: ReadNode,
  x: KnownValue | undefined,
  w: KnownValue | undefined,
): readonly number[] | undefined {
  if (x === undefined || w === undefined || x.shape.length !== w.shape.length) return undefined;
  return [x.shape[0]!, w.shape[0]!, ...slid(node, x.shape.slice(2), w.shape.slice(2))];
}

/** Places at which a window stands, by axis, under the node's strides, dilations and padding. */
function slid(node: ReadNode, sizes: readonly number[], kernel: readonly number[]): readonly number[] {
  const ones = sizes.map(() => 1);
  const strides = intsOf(node, 'strides') ?? ones;
  const dilations = intsOf(node, 'dilations') ?? ones;
  const pads = intsOf(node, 'pads') ?? [...sizes, ...sizes].map(() => 0);
  const auto = node.attributes.get('auto_pad');
  const round = intOf(node, 'ceil_mode', 0) === 1 ? Math.ceil : Math.floor;
  return sizes.map((size, axis) => {
    const stride = strides[axis]!;
    const extent = (kernel[axis]! - 1) * dilations[axis]! + 1;
    if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') return Math.ceil(size / stride);
    const before = auto === 'VALID' ? 0 : pads[axis]!;
    const padded = size + before + (auto === 'VALID' ? 0 : pads[axis + sizes.length]!);
    const places = round((padded - extent) / stride) + 1;
    // A window that would begin in the padding behind the input is left out (pooling with ceil_mode).
    return round === Math.ceil && (places - 1) * stride >= size + before ? places - 1 : places;
  });
}

/** By sizes or scales: the last inputs of Resize, the second of Upsample. */
function resizedShape({ node, inputs }: Call): readonly number[] | undefined {
  const x = inputs[0];
  const [scales, sizes] =
    node.opType === 'Upsample' || inputs.length === 2 ? [inputs[1]] : [inputs[2], inputs[3]];
  if (x === undefined || node.attributes.has('axes')) return undefined;
  if (sizes?.numbers !== undefined && sizes.numbers.length > 0) return sizes.numbers;
  const factors = scales?.numbers;
  return factors?.length === x.shape.length
    ? x.shape.map((size, at) => Math.floor(size * factors[at]!))
    : undefined;
}

/** A convolution run backwards; its shape is known so that the layers behind it can be priced. */
function transposedShape({ node, inputs: [x, w] }: Call): readonly number[] | undefined {
  if (x === undefined || w === undefined || node.attributes.has('output_shape')) return undefined;
  const sizes = x.shape.slice(2);
  const ones = sizes.map(() => 1);
  const strides = intsOf(node, 'strides') ?? ones;
  const dilations = intsOf(node, 'dilations') ?? ones;
  const pads = intsOf(node, 'pads') ?? [...sizes, ...sizes].map(() => 0);
  const added = intsOf(node, 'output_padding') ?? ones.map(() => 0);
  const auto = node.attributes.get('auto_pad');
  const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER';
  return [
    x.shape[0]!,
    w.shape[1]! * intOf(node, 'group', 1),
    ...sizes.map((size, axis) => {
      const extent = (w.shape[axis + 2]! - 1) * dilations[axis]! + 1;
      if (same) return size * strides[axis]!;
      return strides[axis]! * (size - 1) + added[axis]! + extent - pads[axis]! - pads[axis + sizes.length]!;
    }),
  ];
}

function productShape(a: KnownValue | undefined, b: KnownValue | undefined): readonly number[] | undefined {
  if (a === undefined || b === undefined) return undefined;
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  const batch = broadcastShapes([left.slice(0, -2), right.slice(0, -2)]);
  if (batch === undefined || left.length < 2 || left.at(-1) !== right.at(-2)) return undefined;
  return [
    ...batch,
    ...(a.shape.length === 1 ? [] : [left.at(-2)!]),
    ...(b.shape.length === 1 ? [] : [right.at(-1)!]),
  ];
}

function reshapedShape({ node, inputs: [x, target] }: Call): readonly number[] | undefined {
  const sizes = target?.numbers ?? intsOf(node, 'shape');
  if (x === undefined || sizes === undefined) return undefined;
  const keepZero = intOf(node, 'allowzero', 0) === 1;
  const shape = sizes.map((size, at) => (size === 0 && !keepZero ? x.shape[at]! : size));
  const rest = shape.filter((size) => size !== -1);
  const whole = sizeOf(x.shape) / rest.reduce((product, size) => product * size, 1);
  return shape.map((size) => (size === -1 ? whole : size));
}

/** Where each sliced axis begins, ends and steps; undefined when that is not constant. */
export function slicesOf({
  node,
  inputs,
}: Call): readonly (readonly [axis: number, from: number, to: number, step: number])[] | undefined {
  const [x, starts, ends, axes, steps] = inputs;
  const from = starts?.numbers ?? intsOf(node, 'starts');
  const to = ends?.numbers ?? intsOf(node, 'ends');
  if (x === undefined || from === undefined || to === undefined) return undefined;
  if ((node.inputs[3] ?? '') !== '' && axes?.numbers === undefined) return undefined;
  const along = axes?.numbers ?? intsOf(node, 'axes') ?? from.map((_, at) => at);
  return along.map((given, at) => {
    const axis = axisOf(given, x.shape.length);
    const size = x.shape[axis]!;
    const step = steps?.numbers?.[at] ?? 1;
    const clamp = (value: number, least: number, most: number): number =>
      Math.min(Math.max(value < 0 ? value + size : value, least), most);
    return step > 0
      ? [axis, clamp(from[at]!, 0, size), clamp(to[at]!, 0, size), step]
      : [axis, clamp(from[at]!, 0, size - 1), clamp(to[at]!, -1, size - 1), step];
  });
}

function slicedShape(call: Call): readonly number[] | undefined {
  const slices = slicesOf(call);
  const shape = slices && [...call.inputs[0]!.shape];
  for (const [axis, from, to, step] of slices ?? [])
    shape![axis] = Math.max(0, Math.ceil((to - from) / step));
  return shape;
}
