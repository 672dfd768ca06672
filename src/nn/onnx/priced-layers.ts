/**
 * @file From an ONNX graph to the layers that a cost model prices, and an honest list of what it does not.
 *
 * Convolutions and matrix products are layers; our own `shiftaddnas.L1Conv` is an add layer and `shiftaddnas.BinaryConv` one
 * of 1-bit operands; a layer whose weights are all signed powers of two (or zero) is a shift layer, whoever exported it,
 * since that is what hardware would make of it; where each output has a single weight other than zero, and that is 1, values
 * are only moved. Quantised operators have their stored widths, or, where values are cut off before they become integers,
 * those of the integers that are left, as have integer weights that fit into as many bits. Normalisation, activation,
 * pooling and additions have no price under any profile; every other operator is unpriced, by name. One that multiplies and
 * is unpriced (a transposed or dilated convolution, say) makes every total too small, which callers must say.
 */
import { asMoves, Primitive, type LayerDescription, type OperandBits } from '../../hardware/layer.js';
import { sizeOf } from '../../tensor/shape.js';
import type { ReadModel, ReadNode, ReadTensor } from './read.js';
import { intOf, intsOf, type KnownValue } from './known-values.js';
import { isFree, isLayer } from './shape-rules.js';
import { inferShapes, type OpenInput } from './shapes.js';

/** A node that should have a price and has none, or an operator that we know nothing of. */
export interface UnpricedNode {
  readonly name: string;
  readonly opType: string;
  readonly reason: string;
  /** Whether a shape is missing, which the user can give. */
  readonly lacksShape: boolean;
  /** Whether it is a layer by its name (convolution, product, recurrence, attention), so that totals lack its cost. */
  readonly multiplies: boolean;
}

export interface GraphLayers {
  readonly layers: readonly LayerDescription[];
  readonly unpriced: readonly UnpricedNode[];
  /** How many nodes of each operator are free under every profile. */
  readonly free: ReadonlyMap<string, number>;
  /** Inputs whose shape is neither in the file nor given. */
  readonly open: readonly OpenInput[];
}

/** Width of partial sums, whatever the operands. */
const partialSumBits = 32;
/** Sign and exponent as our shift families store them; weights that happen to use fewer exponents are no narrower. */
const shiftBits = 5;

/** A binary layer multiplies signs and counts the products. */
const signBits: OperandBits = { weight: 1, activation: 1, partialSum: 16 };

/** The layers of a graph in the order of its nodes. @param given shapes of inputs by name */
export function layersOfGraph(
  model: ReadModel,
  given: ReadonlyMap<string, readonly number[]> = new Map(),
): GraphLayers {
  const { values, open } = inferShapes(model, given);
  const layers: LayerDescription[] = [];
  const unpriced: UnpricedNode[] = [];
  const free = new Map<string, number>();
  const constants = constantsOf(model);
  const codes = codesOf(model, constants);
  for (const node of model.nodes) {
    if (isFree(node)) {
      free.set(node.opType, (free.get(node.opType) ?? 0) + 1);
      continue;
    }
    const { name, domain } = node;
    const opType = domain === '' ? node.opType : `${domain}.${node.opType}`;
    if (!isLayer(node)) {
      const multiplies = multiplyingName.test(node.opType);
      unpriced.push({ name, opType, reason: 'no price for this operator', lacksShape: false, multiplies });
      continue;
    }
    const inputs = node.inputs.map((input) => values.get(input));
    const weights = node.inputs.map((input) => constants.get(input));
    const integers = node.inputs.map((input) => codes.get(input));
    const made = layerOf(node, inputs, values.get(node.outputs[0] ?? ''), weights, integers);
    if (typeof made === 'object') layers.push(made);
    else unpriced.push({ name, opType, reason: made, lacksShape: made === unknownShape, multiplies: true });
  }
  return { layers, unpriced, free, open };
}

/** Initializers and the tensors of Constant nodes, which some exporters use instead. */
function constantsOf({ initializers, nodes }: ReadModel): ReadonlyMap<string, ReadTensor> {
  const all = new Map(initializers);
  for (const { domain, opType, outputs, attributes } of nodes) {
    const value = domain === '' && opType === 'Constant' ? attributes.get('value') : undefined;
    if (typeof value === 'object' && 'elementType' in value) all.set(outputs[0]!, value);
  }
  return all;
}

/** The integers behind values that are dequantised constants. */
function codesOf(
  { nodes }: ReadModel,
  constants: ReadonlyMap<string, ReadTensor>,
): ReadonlyMap<string, ReadTensor> {
  return new Map(
    nodes.flatMap(({ domain, opType, inputs, outputs }) => {
      const constant = constants.get(inputs[0] ?? '');
      const isCode = domain === '' && opType === 'DequantizeLinear' && constant !== undefined;
      return isCode ? [[outputs[0]!, constant] as const] : [];
    }),
  );
}

/** Width of integer weights beside an input of `inputBits`: as narrow as that where they all fit. */
function narrowBits(codes: ReadTensor | undefined, inputBits: number): number | undefined {
  const most = 2 ** (inputBits - 1) - 1;
  const values = codes?.values();
  if (values === undefined || values.length === 0) return undefined;
  for (let i = 0; i < values.length; i++) if (values[i]! > most || values[i]! < -most - 1) return undefined;
  return inputBits;
}

/** Layers by name, of ONNX and of the extensions that exporters use (FusedConv, MatMulNBits, QAttention). */
const multiplyingName = /Conv|MatMul|Gemm|Einsum|LSTM|GRU|RNN|Attention/;

const unknownShape = 'the shape of its input is not known';

type Known = KnownValue | undefined;

/** The layer of a node, or why it has none. */
function layerOf(
  node: ReadNode,
  inputs: readonly Known[],
  output: Known,
  constants: readonly (ReadTensor | undefined)[],
  codes: readonly (ReadTensor | undefined)[],
): LayerDescription | string {
  // QLinearConv and QLinearMatMul: a, scale, zero point, b, scale, zero point, ...
  const second = node.opType.startsWith('QLinear') ? 3 : 1;
  const [x, w] = [inputs[0], inputs[second]];
  if (x === undefined || w === undefined) return unknownShape;
  const isConvolution = node.opType.includes('Conv');
  const unfit = isConvolution
    ? convolutionMisfit(x.shape, w.shape, intOf(node, 'group', 1))
    : productMisfit(node, x.shape, w.shape);
  if (unfit !== undefined) return unfit;
  if (output === undefined) return unknownShape;
  const operands = isConvolution
    ? { x, w, weights: constants[second] }
    : productOperands(x, w, constants[0], constants[second]);
  const kind = kindOf(node, operands.weights, isConvolution ? sizeOf(w.shape.slice(1)) : 0);
  const operandBits: OperandBits = kind.operandBits ?? {
    weight:
      kind.weightBits ??
      Math.min(operands.w.bits, narrowBits(codes[second], operands.x.bits) ?? operands.w.bits),
    activation: operands.x.bits,
    partialSum: partialSumBits,
  };
  const base = { name: node.name, primitive: kind.primitive, operandBits };
  return isConvolution
    ? convolution(node, base, x.shape, w.shape, output.shape)
    : product(node, base, x.shape, w.shape, output.shape, operands.x === w);
}

/** Which operand of a product is the weight: the constant one, else the second. */
function productOperands(
  a: KnownValue,
  b: KnownValue,
  constantA: ReadTensor | undefined,
  constantB: ReadTensor | undefined,
): { readonly x: KnownValue; readonly w: KnownValue; readonly weights: ReadTensor | undefined } {
  return constantA !== undefined && constantB === undefined
    ? { x: b, w: a, weights: constantA }
    : { x: a, w: b, weights: constantB };
}

function kindOf(
  { opType }: ReadNode,
  weights: ReadTensor | undefined,
  taps: number,
): { readonly primitive: Primitive; readonly weightBits?: number; readonly operandBits?: OperandBits } {
  if (opType === 'L1Conv' || opType === 'LpConv') return { primitive: Primitive.Add };
  if (opType === 'BinaryConv') return { primitive: Primitive.Multiply, operandBits: signBits };
  const values = weights?.values() ?? [];
  if (opType === 'Conv' && onlyMoves(values, taps))
    return { primitive: Primitive.Move, weightBits: Math.max(1, Math.ceil(Math.log2(taps))) };
  const bits = powerOfTwoBits(values);
  if (bits === undefined) return { primitive: Primitive.Multiply };
  return { primitive: Primitive.Shift, weightBits: Math.max(shiftBits, bits) };
}

/** Whether of every filter, `taps` weights one after the other, one is 1 and the others are 0. */
function onlyMoves(weights: ArrayLike<number>, taps: number): boolean {
  if (weights.length === 0) return false;
  for (let from = 0; from < weights.length; from += taps) {
    let ones = 0;
    for (let at = from; at < from + taps; at++)
      if (weights[at] === 1) ones++;
      else if (weights[at] !== 0) return false;
    if (ones !== 1) return false;
  }
  return true;
}

/**
 * Bits of a sign and an exponent for weights that are all signed powers of two or zero; undefined when one is not, or
 * none is left.
 */
export function powerOfTwoBits(weights: ArrayLike<number>): number | undefined {
  let least = Infinity;
  let most = -Infinity;
  let zeros = 0;
  for (let i = 0; i < weights.length; i++) {
    const magnitude = Math.abs(weights[i]!);
    if (magnitude === 0) {
      zeros = 1;
      continue;
    }
    const exponent = Math.round(Math.log2(magnitude));
    if (2 ** exponent !== magnitude || !Number.isFinite(exponent)) return undefined;
    if (exponent < least) least = exponent;
    if (exponent > most) most = exponent;
  }
  if (most === -Infinity) return undefined;
  return 1 + Math.ceil(Math.log2(most - least + 1 + zeros));
}

/** Why weights do not go with an input; undefined when they do. Weights are [out, in of one group, ..]. */
function convolutionMisfit(x: readonly number[], w: readonly number[], groups: number): string | undefined {
  const channels = x[1];
  const fits = x.length === w.length && channels === w[1]! * groups && w[0]! % groups === 0;
  return fits
    ? undefined
    : `an input of ${x.join('x')} does not go with weights of ${w.join('x')} in ${groups} group${groups === 1 ? '' : 's'}`;
}

/** Why the inner sizes of a product differ; undefined when they are one. */
function productMisfit(node: ReadNode, a: readonly number[], b: readonly number[]): string | undefined {
  const flips = (name: string): boolean => node.opType === 'Gemm' && intOf(node, name, 0) !== 0;
  const left = flips('transA') ? a.at(-2) : a.at(-1);
  const right = b.length < 2 || flips('transB') ? b.at(-1) : b.at(-2);
  return left === right ? undefined : `matrices of ${a.join('x')} and ${b.join('x')} cannot be multiplied`;
}

type Base = Pick<LayerDescription, 'name' | 'primitive' | 'operandBits'>;

function convolution(
  node: ReadNode,
  base: Base,
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
): LayerDescription | string {
  if (x.length !== 4) return `a convolution over ${x.length - 2} dimensions; only two are priced`;
  const [, , kernelHeight, kernelWidth] = w;
  const [stride = 1, strideWidth = 1] = intsOf(node, 'strides') ?? [];
  const dilations = intsOf(node, 'dilations') ?? [];
  if (kernelHeight !== kernelWidth)
    return `a kernel of ${kernelHeight}x${kernelWidth}; only square ones are priced`;
  if (stride !== strideWidth) return `strides ${stride} and ${strideWidth}; only equal ones are priced`;
  if (kernelHeight! > 1 && dilations.some((each) => each !== 1))
    return `a dilation of ${dilations.join('x')}; only undilated kernels are priced`;
  const layer = {
    ...base,
    fullyConnected: false,
    ...{ batch: x[0]!, inHeight: x[2]!, inWidth: x[3]!, inChannels: x[1]! },
    ...{ kernel: kernelHeight!, outHeight: y[2]!, outWidth: y[3]!, outChannels: y[1]! },
    stride,
    groups: intOf(node, 'group', 1),
  };
  return base.primitive === Primitive.Move ? asMoves(layer) : layer;
}

/**
 * A [.., n, k] times B [.., k, m]. One matrix for all rows makes all leading dimensions rows; matrices that differ make
 * copies, such as the heads of an attention.
 */
function product(
  node: ReadNode,
  base: Base,
  a: readonly number[],
  b: readonly number[],
  y: readonly number[],
  weightFirst: boolean,
): LayerDescription {
  const transposed = node.opType === 'Gemm' && intOf(node, 'transA', 0) !== 0;
  const inner = (transposed ? a.at(-2) : a.at(-1))!;
  const rows = a.length < 2 ? 1 : (transposed ? a.at(-1) : a.at(-2))!;
  const columns = sizeOf(y) / sizeOf(y.slice(0, y.length - (b.length < 2 ? 0 : 1)));
  const [leadA, leadB] = [sizeOf(a.slice(0, -2)), sizeOf(b.slice(0, -2))];
  const pairs = sizeOf(y) / (rows * columns);
  const oneMatrix = weightFirst ? leadA === 1 : leadB === 1;
  const copies = oneMatrix ? 1 : pairs;
  const others = weightFirst
    ? { batch: (pairs / copies) * columns, outChannels: rows }
    : { batch: (pairs / copies) * rows, outChannels: columns };
  return {
    ...base,
    fullyConnected: true,
    ...{ inHeight: 1, inWidth: 1, inChannels: inner, kernel: 1, outHeight: 1, outWidth: 1 },
    ...{ stride: 1, groups: 1, ...others },
    ...(copies > 1 && { copies }),
  };
}
