/**
 * @file What is timed on a machine: a layer with the norm or bias behind it, the join of a residual block, or the pooling
 * before the classifier; by their shapes alone, so that equal ones are timed once.
 */
import type { LayerDescription } from '../layer.js';

/** The kinds of operation that a network for images is made of when it runs. */
export enum OperationKind {
  /** A layer with weights, and the batch norm (or bias) behind it. */
  Layer = 'layer',
  /** Sum of two maps, then ReLU. */
  Join = 'join',
  /** Mean over each map. */
  Pool = 'pool',
}

/** A layer by its shape: what of a {@link LayerDescription} the kernels of this machine see. */
export interface LayerOperation extends Omit<LayerDescription, 'name' | 'copies' | 'role' | 'operandBits'> {
  readonly kind: OperationKind.Layer;
}

/** An operation on whole maps. */
export interface MapOperation {
  readonly kind: OperationKind.Join | OperationKind.Pool;
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export type Operation = LayerOperation | MapOperation;

/** The operation that a priced layer stands for; how often it runs is the layer's `copies`. */
export function operationOf(layer: LayerDescription): LayerOperation {
  const { primitive, fullyConnected, batch, inHeight, inWidth, inChannels } = layer;
  const { kernel, outHeight, outWidth, outChannels, stride, groups } = layer;
  return {
    kind: OperationKind.Layer,
    ...{ primitive, fullyConnected, batch, inHeight, inWidth, inChannels },
    ...{ kernel, outHeight, outWidth, outChannels, stride, groups },
  };
}

/** Equal for operations of equal shape: `shift 3x3 1x32x32x16 -> 32x32x16 /1`. */
export function operationKey(operation: Operation): string {
  if (operation.kind !== OperationKind.Layer) {
    const { kind, batch, height, width, channels } = operation;
    return `${kind} ${batch}x${height}x${width}x${channels}`;
  }
  const { primitive, fullyConnected, batch, inHeight, inWidth, inChannels } = operation;
  const { kernel, outHeight, outWidth, outChannels, stride, groups } = operation;
  const what = fullyConnected ? 'linear' : `${kernel}x${kernel}`;
  const grouped = groups === 1 ? '' : ` g${groups}`;
  return (
    `${primitive} ${what} ${batch}x${inHeight}x${inWidth}x${inChannels} -> ` +
    `${outHeight}x${outWidth}x${outChannels} /${stride}${grouped}`
  );
}
