/**
 * @file The beginning of a vision transformer (Dosovitskiy et al., ICLR'21, arXiv 2010.11929): the image in patches that
 * do not overlap, each mapped to one token by one layer, plus a learned embedding of its position.
 */
import { z } from 'zod';
import { BlockKind, type BlockDescription } from '../architecture.js';
import { blockSchema, mapLine, problemOfFamily, type BlockRule } from './contract.js';
import { tokenLayer } from './tokens.js';

/** The side of a patch is the block's `stride`. */
export interface PatchesBlock extends BlockDescription {
  readonly kind: BlockKind.Patches;
  /** A batch norm behind the layer instead of biases. */
  readonly norm: boolean;
}

export const patches: BlockRule<PatchesBlock> = {
  kind: BlockKind.Patches,
  schema: blockSchema(BlockKind.Patches, { norm: z.boolean(), stride: z.int().min(1).max(32) }),
  problem: (block) =>
    problemOfFamily(block) ??
    (block.inHeight % block.stride === 0 && block.inWidth % block.stride === 0
      ? null
      : `patches of ${block.stride} do not divide a map of ${block.inHeight}x${block.inWidth}`) ??
    (block.midChannels === block.outChannels ? null : 'midChannels of patches must equal outChannels'),
  expand(block, nodes, input) {
    const { name, stride, outChannels } = block;
    const tokens = tokenLayer(block, nodes, 'embed', input, {
      ...{ kernel: stride, stride, padding: 0, outChannels },
    });
    return nodes.position(`${name}.position`, tokens);
  },
  label: ({ stride, outChannels }) => `${outChannels} patch ${stride}`,
  lines: (block) => [
    `${block.inChannels} → ${block.outChannels} ch`,
    mapLine(block, block.inHeight / block.stride, block.inWidth / block.stride),
    `patches of ${block.stride}×${block.stride}`,
  ],
};
