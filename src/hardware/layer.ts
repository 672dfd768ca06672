/**
 * @file What a cost model prices: one layer as plain data (shape, primitive, operand widths), no tensors.
 */

/** Which arithmetic primitive a layer is made of, once per (output, weight) pair. */
export enum Primitive {
  /** Multiply and accumulate; with operands of 1 bit, an XNOR and a count. */
  Multiply = 'multiply',
  /** Bit shift (a power-of-two weight) and accumulate. */
  Shift = 'shift',
  /** |x - w| and accumulate. */
  Add = 'add',
}

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

/** Operations per weight and output, each with its accumulation. */
export function stepCount(steps: WeightSteps | undefined): number {
  return steps === undefined ? 1 : steps.signs + steps.shifts + steps.multiplications;
}

/** Primitive operations of a layer: N E F M (C / groups) R S, times its copies and the steps per weight. */
export function operationCount(layer: LayerDescription): number {
  return (
    stepCount(layer.steps) *
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
