/**
 * @file The residual block of ResNet-20 (He et al., CVPR'16, arXiv 1512.03385) in any operator family:
 *
 *     x -> conv1 -> norm -> activation -> conv2 -> norm -> (+ shortcut) -> activation
 *
 * `conv1` and `conv2` are 3x3, or have a `kernel` of their own, the first has the block's stride. The shortcut is the identity, or `shortcut`, a 1x1 layer
 * of the family with its own norm, where map or channels change. The activation is a ReLU, or one that learns (RPReLU of
 * ReActNet, ECCV'20; the power of AdderSR, CVPR'21).
 *
 * With `selfShortcut` each layer has a shortcut of its own, instead of one around both (AdderSR; Bi-Real Net, ECCV'18):
 *
 *     x -> conv1 -> norm -> (+ x or shortcut) -> activation -> conv2 -> norm -> (+ its input) -> activation
 */
import { z } from 'zod';
import { ActivationKind, LearnedActivation } from '../../nn/activation.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
import type { NodeList } from '../nodes.js';
import {
  blockSchema,
  familyOfBlock,
  kernelLabel,
  oddKernel,
  mapLine,
  problemOfFamily,
  strideLabel,
  type BlockRule,
} from './contract.js';

/** The activations that a residual block can have. */
export const residualActivations = [
  ActivationKind.Relu,
  LearnedActivation.RPRelu,
  LearnedActivation.Power,
] as const;

export type ResidualActivation = (typeof residualActivations)[number];

export interface ResidualBlock extends BlockDescription {
  readonly kind: BlockKind.Residual;
  /** ReLU when absent. */
  readonly activation?: ResidualActivation;
  /** A shortcut around each layer instead of one around both. */
  readonly selfShortcut?: boolean;
  /** Side of the kernels of both layers, odd; 3 when absent. */
  readonly kernel?: number;
}

/** True when a residual block needs a 1x1 layer on its shortcut, because map or channels change. */
function hasShortcutLayer({ stride, inChannels, outChannels }: BlockDescription): boolean {
  return stride !== 1 || inChannels !== outChannels;
}

export const residual: BlockRule<ResidualBlock> = {
  kind: BlockKind.Residual,
  schema: blockSchema(BlockKind.Residual, {
    activation: z.enum(residualActivations).optional(),
    selfShortcut: z.boolean().optional(),
    kernel: oddKernel.optional(),
  }),
  problem: (block) =>
    problemOfFamily(block) ??
    (block.selfShortcut && block.midChannels !== block.outChannels
      ? 'selfShortcut needs midChannels equal to outChannels'
      : null),
  expand(block, nodes, input) {
    const { name, stride, midChannels, outChannels, selfShortcut = false, kernel = 3 } = block;
    const family = familyOfBlock(block);
    const relu = (block.activation ?? ActivationKind.Relu) === ActivationKind.Relu;
    const straight = (): string =>
      hasShortcutLayer(block)
        ? nodes.batchNorm(nodes.layer(`${name}.shortcut`, input, { family, stride, outChannels }))
        : input;
    const first = nodes.layer(`${name}.conv1`, input, {
      family,
      kernel,
      stride,
      outChannels: midChannels,
    });
    let between: string;
    if (selfShortcut) {
      const inner = nodes.batchNorm(first);
      between = joined(block, nodes, `${name}.join1`, inner, straight(), `${name}.activation1`);
    } else between = active(block, nodes, nodes.batchNorm(first, relu), `${name}.activation1`);
    const outer = nodes.batchNorm(nodes.layer(`${name}.conv2`, between, { family, kernel, outChannels }));
    return joined(
      ...([block, nodes, `${name}.join`, outer] as const),
      selfShortcut ? between : straight(),
      `${name}.activation`,
    );
  },
  label: (block) =>
    `${block.midChannels}${kernelLabel(block)}${strideLabel(block)}${block.selfShortcut ? ' +self' : ''}`,
  lines(block) {
    const { inHeight, inWidth, inChannels, midChannels, outChannels, stride } = block;
    const { activation = ActivationKind.Relu, selfShortcut = false } = block;
    return [
      `${inChannels} → ${midChannels} → ${outChannels} ch`,
      mapLine(block, Math.ceil(inHeight / stride), Math.ceil(inWidth / stride)),
      ...(block.kernel === undefined ? [] : [`${block.kernel}×${block.kernel}`]),
      ...(hasShortcutLayer(block) ? ['1×1 on the shortcut'] : []),
      ...(selfShortcut ? ['a shortcut around each layer'] : []),
      ...(activation === ActivationKind.Relu ? [] : [`${activation} activation`]),
    ];
  },
};

/** The sum of two values behind the block's activation, called `activation` where it is a node of its own. */
function joined(
  block: ResidualBlock,
  nodes: NodeList,
  name: string,
  a: string,
  b: string,
  activation: string,
): string {
  const relu = (block.activation ?? ActivationKind.Relu) === ActivationKind.Relu;
  return active(block, nodes, nodes.join(name, a, b, relu), activation);
}

/** What stands behind a norm or a join; a ReLU is part of these. */
function active(
  { activation = ActivationKind.Relu }: ResidualBlock,
  nodes: NodeList,
  value: string,
  name: string,
): string {
  return activation === ActivationKind.Relu ? value : nodes.activation(name, value, activation);
}
