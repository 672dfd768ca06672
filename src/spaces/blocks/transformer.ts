/**
 * @file A pre-norm transformer layer over a map of tokens (Vaswani et al., NIPS 2017; ViT, ICLR'21), its projections and
 * its two fully connected layers in any operator family:
 *
 *     x -> layerNorm1 -> query, key, value -> attention -> out -> (+ x)
 *       -> layerNorm2 -> fc1 -> GELU -> fc2 -> (+)
 *
 * `midChannels` is the width between `fc1` and `fc2`. The products of the attention multiply activations with each other;
 * they have no weights, and so no family.
 */
import { z } from 'zod';
import { ActivationKind } from '../../nn/activation.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
import { blockSchema, problemOfFamily, type BlockRule } from './contract.js';
import { tokenLayer } from './tokens.js';

export interface TransformerBlock extends BlockDescription {
  readonly kind: BlockKind.Transformer;
  readonly heads: number;
  /** A batch norm behind each layer instead of biases. */
  readonly norm: boolean;
}

export const transformer: BlockRule<TransformerBlock> = {
  kind: BlockKind.Transformer,
  schema: blockSchema(BlockKind.Transformer, { heads: z.int().min(1), norm: z.boolean() }),
  problem(block) {
    const { inChannels, outChannels, stride, heads } = block;
    if (stride !== 1) return 'a transformer block has no stride';
    if (inChannels !== outChannels) return 'a transformer block cannot change the channels';
    if (outChannels % heads !== 0) return `${heads} heads do not divide ${outChannels} channels`;
    return problemOfFamily(block);
  },
  expand(block, nodes, input) {
    const { name, midChannels, outChannels, heads } = block;
    const layer = (part: string, from: string, width = outChannels): string =>
      tokenLayer(block, nodes, part, from, { outChannels: width });
    const first = nodes.layerNorm(`${name}.layerNorm1`, input);
    const [query, key, value] = ['query', 'key', 'value'].map((part) => layer(part, first));
    const mixed = nodes.attention(`${name}.attention`, query!, key!, value!, heads);
    const between = nodes.join(`${name}.join1`, layer('out', mixed), input);
    const second = nodes.layerNorm(`${name}.layerNorm2`, between);
    const wide = nodes.activation(`${name}.gelu`, layer('fc1', second, midChannels), ActivationKind.Gelu);
    return nodes.join(`${name}.join2`, layer('fc2', wide), between);
  },
  label: ({ outChannels, heads }) => `${outChannels} x${heads}`,
  lines: ({ inHeight, inWidth, midChannels, outChannels, heads }) => [
    `${outChannels} ch · ${inHeight * inWidth} tokens`,
    `${heads} heads`,
    `${outChannels} → ${midChannels} → ${outChannels} behind them`,
  ],
};
