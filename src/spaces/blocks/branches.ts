/**
 * @file What the blocks of ShiftAddNAS (ICML 2022, arXiv 2205.08119) have in common: the way in, and the shortcut.
 *
 *     in    x -> 1x1 -> depth-wise 3x3 -> norm -> activation          the depth-wise layer has the stride, and tells positions
 *     short x, or where map or channels change one of {@link ShortcutKind}
 *
 * While searching, a block of one place is met with the map before it or with a smaller one, and has weights of its own for
 * both: those of a stride are called `inDown`, `positionDown` and `shortcutDown`, the others `in`, `position` and `shortcut`.
 */
import { z } from 'zod';
import { ActivationKind } from '../../nn/activation.js';
import type { BlockDescription } from '../architecture.js';
import { NodeKind, type NodeList } from '../nodes.js';

export enum ShortcutKind {
  /** A layer (1x1, or 3x3 where it has the stride), a norm and an activation of its own (the supernet). */
  Active = 'active',
  /** The mean of 2x2 where there is a stride (of what there is of it, at the end of an odd map), a 1x1 layer and a norm (the retrained networks). */
  Pooled = 'pooled',
}

export const bottleneckActivations = [ActivationKind.Relu, ActivationKind.Silu] as const;

export interface BranchedBlock extends BlockDescription {
  readonly shortcut: ShortcutKind;
  readonly activation: (typeof bottleneckActivations)[number];
  /** Whether the depth-wise layer has biases. */
  readonly positionBias: boolean;
}

export const branchFields = {
  stride: z.union([z.literal(1), z.literal(2)]),
  shortcut: z.enum(ShortcutKind),
  activation: z.enum(bottleneckActivations),
  positionBias: z.boolean(),
};

/** Whether there is a layer on the shortcut. */
export function changes({ stride, inChannels, outChannels }: BlockDescription): boolean {
  return stride !== 1 || inChannels !== outChannels;
}

/** The norm of a layer, and the block's activation behind it. */
export function active(block: BranchedBlock, nodes: NodeList, layer: string): string {
  const relu = block.activation === ActivationKind.Relu;
  const normed = nodes.batchNorm(layer, relu);
  return relu ? normed : nodes.activation(`${layer}.activation`, normed, block.activation);
}

/** The way in, of layers of `family`. */
export function expandEntry(block: BranchedBlock, family: string, nodes: NodeList, input: string): string {
  const { name, stride, midChannels: outChannels, positionBias: bias } = block;
  const branch = branchOf(block);
  const thin = nodes.layer(`${name}.in${branch}`, input, { family, outChannels });
  const positioned = nodes.layer(`${name}.position${branch}`, thin, {
    ...{ family, kernel: 3, stride, groups: outChannels, outChannels, bias },
  });
  return active(block, nodes, positioned);
}

/** The sum of `straight` and the shortcut, of a layer of `family` where it has one, behind the block's activation. */
export function expandJoin(
  block: BranchedBlock,
  family: string,
  nodes: NodeList,
  input: string,
  straight: string,
): string {
  const relu = block.activation === ActivationKind.Relu;
  const sum = nodes.join(`${block.name}.join`, straight, shortcut(block, family, nodes, input), relu);
  return relu ? sum : nodes.activation(`${block.name}.activation`, sum, block.activation);
}

function shortcut(block: BranchedBlock, family: string, nodes: NodeList, input: string): string {
  if (!changes(block)) return input;
  const { name, stride, outChannels } = block;
  const layer = `${name}.shortcut${branchOf(block)}`;
  if (block.shortcut === ShortcutKind.Active) {
    const kernel = stride === 1 ? 1 : 3;
    return active(block, nodes, nodes.layer(layer, input, { family, kernel, stride, outChannels }));
  }
  const pooled =
    stride === 1
      ? input
      : nodes.pool(NodeKind.AveragePool, `${name}.shortcutPool`, input, { kernel: 2, overhang: true });
  return nodes.batchNorm(nodes.layer(layer, pooled, { family, outChannels }));
}

function branchOf({ stride }: BlockDescription): string {
  return stride === 1 ? '' : 'Down';
}
