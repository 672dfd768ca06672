/**
 * @file A layer as nested loops: eight dimensions, three tensors, and which dimension moves which tensor.
 *
 * The letters are those of the loop-nest literature (Timeloop, Parashar et al., ISPASS 2019): N batch, G groups,
 * M output and C input channels of one group, P x Q output rows x columns, R x S kernel rows x columns. Weights are
 * indexed by G M C R S, outputs by N G M P Q, inputs by N G C and two sliding axes, row = stride P + R and
 * column = stride Q + S. A matrix product has P = Q = R = S = 1. Zero padding around the input counts as data.
 */
import { LayerError } from '../errors.js';
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

const largestSize = 2 ** 31 - 1;

/**
 * The loops of a layer.
 * @throws LayerError for a size that is no positive integer, for channels that the groups do not divide, and for more operations than 2^53.
 */
export function problemOf(layer: LayerDescription): Problem {
  const { batch, groups, inChannels, outChannels, outHeight, outWidth, kernel, stride } = layer;
  const sizes = { batch, groups, inChannels, outChannels, outHeight, outWidth, kernel, stride };
  for (const [key, size] of Object.entries(sizes))
    if (!Number.isInteger(size) || size < 1 || size > largestSize)
      throw new LayerError(
        layer.name,
        key,
        `must be an integer from 1 to ${largestSize}, got ${String(size)}`,
      );
  for (const key of ['inChannels', 'outChannels'] as const)
    if (layer[key] % groups !== 0)
      throw new LayerError(layer.name, key, `must be a multiple of groups (${groups}), got ${layer[key]}`);
  const bounds = [
    batch,
    groups,
    outChannels / groups,
    inChannels / groups,
    outHeight,
    outWidth,
    kernel,
    kernel,
  ];
  const problem = { name: layer.name, bounds, stride };
  if (!(4 * operationsOf(problem) <= Number.MAX_SAFE_INTEGER))
    throw new LayerError(
      layer.name,
      'sizes',
      'make the layer too large: its access counts exceed 2^53; check them or split the layer',
    );
  return problem;
}

/** Primitive operations of a problem: the product of all bounds. */
export function operationsOf({ bounds }: Pick<Problem, 'bounds'>): number {
  return bounds.reduce((product, bound) => product * bound, 1);
}

/** The bounds as text: `N1 M64 C3 P112 Q112 R7 S7`, ones left out. */
export function problemText({ bounds, stride }: Problem): string {
  const loops = dimensions.flatMap((name, index) => (bounds[index] === 1 ? [] : [`${name}${bounds[index]}`]));
  return [
    ...(loops.length > 0 ? loops : ['one operation']),
    ...(stride > 1 ? [`stride ${stride}`] : []),
  ].join(' ');
}
