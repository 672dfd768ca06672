/**
 * @file What a cost model prices: one layer as plain data (shape, primitive, operand widths), no tensors.
 */

/** Which primitive a layer is made of: one of arithmetic, once per (output, weight) pair, or none. */
export enum Primitive {
  /** Multiply and accumulate; with operands of 1 bit, an XNOR and a count. */
  Multiply = 'multiply',
  /** Bit shift (a power-of-two weight) and accumulate. */
  Shift = 'shift',
  /** |x - w| and accumulate. */
  Add = 'add',
  /**
   * No arithmetic: every output channel is one input channel, read elsewhere on the map. Such a layer has as many groups as
   * channels, in and out, and a kernel of 1, since of every window one value is fetched; its weight is the index that says
   * which. No operations are counted, each output takes a step of the array, and the memory traffic is that of any layer.
   */
  Move = 'move',
}

/** Primitives that processing elements are built for. */
export type ArithmeticPrimitive = Exclude<Primitive, Primitive.Move>;

export const arithmeticPrimitives = [Primitive.Multiply, Primitive.Shift, Primitive.Add] as const;

/** Where the published translation tables price a layer by its place instead of its primitive. */
export enum LayerRole {
  /** The kernel of a light (convolution, add or shift-add) branch. */
  LightKernel = 'lightKernel',
  /** A linear map around such a kernel. */
  LightLinear = 'lightLinear',
}

/** Bit width of each operand as it is stored and moved. */
export interface OperandBits {
  readonly weight: number;
  readonly activation: number;
  readonly partialSum: number;
}

/**
 * What is done per weight and output where weights are sums, each followed by an accumulation; fractions are means over
 * the weights. Weights of 3 binary codes take 3 signs, and a shift per code for the scale of each group of weights.
 */
export interface WeightSteps {
  /** Changes of sign: the accumulation adds or subtracts. */
  readonly signs: number;
  readonly shifts: number;
  readonly multiplications: number;
}

/** One priced layer. Sizes are counts; all integers >= 1. `inChannels` and `outChannels` are totals over the groups. */
export interface LayerDescription {
  readonly name: string;
  readonly primitive: Primitive;
  /** A fully connected layer or matrix product: N rows, C in, M out, all maps 1x1. */
  readonly fullyConnected: boolean;
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly kernel: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly outChannels: number;
  readonly stride: number;
  readonly groups: number;
  /** Independent layers of this shape that stand for one, such as the heads of an attention product; 1 when absent. */
  readonly copies?: number;
  readonly role?: LayerRole;
  /** Of shift layers whose weights are sums; the weight's width is that of all its parts, a mean. Absent: one shift. */
  readonly steps?: WeightSteps;
  readonly operandBits: OperandBits;
}

/** The primitive whose widths and clock a profile has for a layer: of moves, addition, whose element is the simplest. */
export function pricedAs(primitive: Primitive): ArithmeticPrimitive {
  return primitive === Primitive.Move ? Primitive.Add : primitive;
}

/**
 * The shape of a layer that only moves values, given by its window: see {@link Primitive.Move}. Places outside of the map
 * that it reads count as places of the map.
 */
export function asMoves<
  T extends Pick<
    LayerDescription,
    'inHeight' | 'inWidth' | 'outHeight' | 'outWidth' | 'outChannels' | 'stride'
  >,
>(layer: T): T & Pick<LayerDescription, 'inChannels' | 'groups' | 'kernel'> {
  const { inHeight, inWidth, outHeight, outWidth, outChannels, stride } = layer;
  const reached = (inSize: number, outSize: number): number => Math.max(inSize, (outSize - 1) * stride + 1);
  return {
    ...layer,
    ...{ inHeight: reached(inHeight, outHeight), inWidth: reached(inWidth, outWidth) },
    ...{ inChannels: outChannels, groups: outChannels, kernel: 1 },
  };
}

/** Operations per weight and output, each with its accumulation. */
export function stepCount(steps: WeightSteps | undefined): number {
  return steps === undefined ? 1 : steps.signs + steps.shifts + steps.multiplications;
}

/** Primitive operations of a layer: N E F M (C / groups) R S, times its copies and the steps per weight; of moves, none. */
export function operationCount(layer: LayerDescription): number {
  return layer.primitive === Primitive.Move ? 0 : stepCount(layer.steps) * visitCount(layer);
}

/** Pairs of output and weight. */
export function visitCount(layer: LayerDescription): number {
  return (
    (layer.copies ?? 1) *
    layer.batch *
    layer.outHeight *
    layer.outWidth *
    layer.outChannels *
    (layer.inChannels / layer.groups) *
    layer.kernel *
    layer.kernel
  );
}
