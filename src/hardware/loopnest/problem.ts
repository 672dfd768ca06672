/**
 * @file A layer as nested loops: eight dimensions, three tensors, and which dimension moves which tensor.
 *
 * The letters are those of the loop-nest literature (Timeloop, Parashar et al., ISPASS 2019): N batch, G groups,
 * M output and C input channels of one group, P x Q output rows x columns, R x S kernel rows x columns. Weights are
 * indexed by G M C R S, outputs by N G M P Q, inputs by N G C and two sliding axes, row = stride P + R and
 * column = stride Q + S. A matrix product has P = Q = R = S = 1. Zero padding around the input counts as data.
 */
import { checkLayer } from '../check-layer.js';
import type { LayerDescription } from '../layer.js';

/** The loop dimensions, in the order in which arrays over dimensions are laid out here. */
export const dimensions = ['N', 'G', 'M', 'C', 'P', 'Q', 'R', 'S'] as const;
export type Dimension = (typeof dimensions)[number];

/** Indexes into {@link dimensions}. */
export const dim = { N: 0, G: 1, M: 2, C: 3, P: 4, Q: 5, R: 6, S: 7 } as const;
export const dimensionCount = dimensions.length;

/** The three operands of a layer. */
export enum Tensor {
  Weights = 'weights',
  Inputs = 'inputs',
  Outputs = 'outputs',
}

/** Tensors in the order in which arrays over tensors are laid out here. */
export const tensors = [Tensor.Weights, Tensor.Inputs, Tensor.Outputs] as const;
export const tensorCount = tensors.length;
export const weightsIndex = 0;
export const inputsIndex = 1;
export const outputsIndex = 2;

/** Whether a dimension moves a tensor, by tensor index and dimension index. */
export const isRelevant: readonly (readonly boolean[])[] = [
  dimensions.map((name) => 'GMCRS'.includes(name)),
  dimensions.map((name) => 'NGCPQRS'.includes(name)),
  dimensions.map((name) => 'NGMPQ'.includes(name)),
];

/** The loop bounds of a layer. */
export interface Problem {
  readonly name: string;
  /** By dimension, in the order of {@link dimensions}. */
  readonly bounds: readonly number[];
  readonly stride: number;
}

/**
 * The loops of a layer. Its copies are further groups: they too share neither inputs nor weights.
 * @throws LayerError as {@link checkLayer}.
 */
export function problemOf(layer: LayerDescription): Problem {
  checkLayer(layer);
  const { batch, groups, inChannels, outChannels, outHeight, outWidth, kernel, stride } = layer;
  return {
    name: layer.name,
    bounds: [
      batch,
      groups * (layer.copies ?? 1),
      outChannels / groups,
      inChannels / groups,
      outHeight,
      outWidth,
      kernel,
      kernel,
    ],
    stride,
  };
}

/** Primitive operations of a problem: the product of all bounds. */
export function operationsOf({ bounds }: Pick<Problem, 'bounds'>): number {
  return bounds.reduce((product, bound) => product * bound, 1);
}
