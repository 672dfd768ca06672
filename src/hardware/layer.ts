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
  readonly operandBits: OperandBits;
}

/** Primitive operations of a layer: N E F M (C / groups) R S, times its copies. */
export function operationCount(layer: LayerDescription): number {
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
