/**
 * @file The layers of AlexNet and VGG-16 that the Eyeriss papers measure, 16-bit operands.
 */
import { Primitive, type LayerDescription } from '../layer.js';

/** A square convolution with `out` x `out` outputs. */
export function alexNetLayer(shape: {
  readonly name: string;
  readonly batch: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
}): LayerDescription {
  const { out, stride, kernel, ...rest } = shape;
  return {
    ...rest,
    primitive: Primitive.Multiply,
    fullyConnected: false,
    inHeight: out * stride,
    inWidth: out * stride,
    kernel,
    outHeight: out,
    outWidth: out,
    stride,
    groups: 1,
    operandBits: { weight: 16, activation: 16, partialSum: 16 },
  };
}
