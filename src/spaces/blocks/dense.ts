/**
 * @file A fully connected layer over the whole map of its input: layer - ReLU (or k winners) - dropout, with biases, or
 * with a batch norm in their place.
 */
import { z } from 'zod';
import { ActivationKind } from '../../nn/activation.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
import { blockSchema, familyOfBlock, problemOfFamily, type BlockRule } from './contract.js';
import { activationLines, activationSchema, type KWinnersActivation } from './k-winners.js';

export interface DenseBlock extends BlockDescription {
  readonly kind: BlockKind.Dense;
  /** A batch norm behind the layer instead of biases. */
  readonly norm: boolean;
  /** Share of the outputs that training drops; 0 for none. */
  readonly dropout: number;
  /** ReLU when absent. */
  readonly activation?: KWinnersActivation;
  /** A layer of its family, whose terms can be left out, where a plain linear layer would do. */
  readonly maskable?: boolean;
}

export const dense: BlockRule<DenseBlock> = {
  kind: BlockKind.Dense,
  schema: blockSchema(BlockKind.Dense, {
    ...{ norm: z.boolean(), dropout: z.number().min(0).lt(1) },
    ...{ activation: activationSchema, maskable: z.boolean().optional() },
  }),
  problem: (block) =>
    problemOfFamily(block) ??
    (block.stride === 1 ? null : 'a dense block has no stride') ??
    (block.midChannels === block.outChannels ? null : 'midChannels of a dense block must equal outChannels'),
  expand(block, nodes, input) {
    const { name, outChannels, norm, dropout, activation, maskable = false } = block;
    const layer = nodes.layer(`${name}.linear`, nodes.flatten(`${name}.flatten`, input), {
      ...{ family: familyOfBlock(block), outChannels, bias: !norm, fullyConnected: true, maskable },
    });
    const relu = (): string =>
      norm ? nodes.batchNorm(layer, true) : nodes.activation(`${name}.relu`, layer, ActivationKind.Relu);
    const active =
      activation === undefined
        ? relu()
        : nodes.kWinners(`${name}.winners`, norm ? nodes.batchNorm(layer) : layer, activation);
    return dropout === 0 ? active : nodes.dropout(`${name}.dropout`, active, dropout);
  },
  label: ({ outChannels }) => String(outChannels),
  lines: ({ inHeight, inWidth, inChannels, outChannels, dropout, activation }) => [
    `${inHeight * inWidth * inChannels} → ${outChannels}, fully connected`,
    ...activationLines(activation),
    ...(dropout === 0 ? [] : [`dropout ${dropout}`]),
  ],
};
