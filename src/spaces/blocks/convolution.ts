/**
 * @file One layer over a map, without a shortcut: layer - batch norm - ReLU, and a largest-value pooling where there is
 * one (VGG, LeNet). Biases may take the place of the batch norm. K winners, where they take the place of the ReLU, are
 * chosen behind the pooling, as nupic.torch does on MNIST: pooled losers would be no zeros.
 */
import { z } from 'zod';
import { ActivationKind } from '../../nn/activation.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
import { NodeKind } from '../nodes.js';
import {
  blockSchema,
  familyOfBlock,
  mapLine,
  problemOfFamily,
  strideLabel,
  type BlockRule,
} from './contract.js';
import { activationLines, activationSchema, type KWinnersActivation } from './k-winners.js';

export interface ConvolutionBlock extends BlockDescription {
  readonly kind: BlockKind.Convolution;
  /** Side of the kernel. */
  readonly kernel: number;
  /** Zeros on each side. */
  readonly padding: number;
  /** Side of the windows that are pooled behind the layer; 1 for none. */
  readonly pool: number;
  /** False: biases instead of the batch norm. */
  readonly norm?: boolean;
  /** ReLU when absent. */
  readonly activation?: KWinnersActivation;
}

const count = z.int().min(1).max(15);

export const convolution: BlockRule<ConvolutionBlock> = {
  kind: BlockKind.Convolution,
  schema: blockSchema(BlockKind.Convolution, {
    ...{ kernel: count, padding: z.int().min(0).max(7), pool: count },
    ...{ norm: z.boolean().optional(), activation: activationSchema },
  }),
  problem: (block) =>
    problemOfFamily(block) ??
    (block.midChannels === block.outChannels
      ? null
      : 'midChannels of a convolution block must equal outChannels'),
  expand(block, nodes, input) {
    const { name, outChannels, kernel, stride, padding, pool, norm = true, activation } = block;
    const layer = nodes.layer(`${name}.conv`, input, {
      ...{ family: familyOfBlock(block), outChannels, kernel, stride, padding, bias: !norm },
    });
    const pooled = (from: string): string =>
      pool === 1 ? from : nodes.pool(NodeKind.MaxPool, `${name}.pool`, from, { kernel: pool });
    if (activation !== undefined)
      return nodes.kWinners(`${name}.winners`, pooled(norm ? nodes.batchNorm(layer) : layer), activation);
    return pooled(
      norm ? nodes.batchNorm(layer, true) : nodes.activation(`${name}.relu`, layer, ActivationKind.Relu),
    );
  },
  label: (block) =>
    `${block.outChannels}${strideLabel(block)}${block.pool === 1 ? '' : ` pool ${block.pool}`}`,
  lines(block) {
    const { inHeight, inWidth, inChannels, outChannels, kernel, stride, padding, pool, activation } = block;
    const out = (side: number): number =>
      Math.floor((Math.floor((side + 2 * padding - kernel) / stride) + 1) / pool);
    return [
      `${inChannels} → ${outChannels} ch, ${kernel}×${kernel}`,
      mapLine(block, out(inHeight), out(inWidth)),
      ...(pool === 1 ? [] : [`largest of ${pool}×${pool}`]),
      ...activationLines(activation),
    ];
  },
};
