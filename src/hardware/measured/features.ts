/**
 * @file What the latency of a kernel grows with.
 */
import { OperationKind, type LayerOperation, type Operation } from './operation.js';

/** Output channels that the widest vectors hold: kernels work in whole vectors of them. */
const lanes = 16;

/** Counts that a layer's kernel has work for; each in elements. */
export function layerCounts(operation: LayerOperation): readonly number[] {
  const { batch, inHeight, inWidth, inChannels, kernel, outHeight, outWidth, outChannels, groups } =
    operation;
  const positions = batch * outHeight * outWidth;
  const taps = positions * kernel * kernel;
  const depth = inChannels / groups;
  const wholeVectors = groups * Math.ceil(outChannels / groups / lanes) * lanes;
  return [
    // Operations, and operations as vectors of output channels count them.
    taps * depth * outChannels,
    taps * depth * wholeVectors,
    // Weights, inputs, outputs: what moves.
    kernel * kernel * depth * outChannels,
    batch * inHeight * inWidth * inChannels,
    positions * outChannels,
    // Places that a window looks at: what an indirect convolution has addresses for.
    taps,
  ];
}

/** The counts of any operation: for those on maps, its elements. */
export function countsOf(operation: Operation): readonly number[] {
  if (operation.kind === OperationKind.Layer) return layerCounts(operation);
  const { batch, height, width, channels } = operation;
  return [batch * height * width * channels];
}

/** Operations of one class are alike enough to be fitted together: one kernel each. */
export function classOf(operation: Operation): string {
  return operation.kind === OperationKind.Layer ? operation.primitive : operation.kind;
}
