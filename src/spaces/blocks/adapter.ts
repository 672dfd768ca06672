/**
 * @file From the channels of the stem to those of the first block (ShiftAddNAS, ICML 2022):
 *
 *     x -> depth-wise, kernel and stride of the block's stride -> 1x1 -> norm
 */
import { z } from 'zod';
import { BlockKind, type BlockDescription } from '../architecture.js';
import {
  blockSchema,
  familyOfBlock,
  mapLine,
  problemOfFamily,
  strideLabel,
  type BlockRule,
} from './contract.js';

export const adapter: BlockRule<BlockDescription> = {
  kind: BlockKind.Adapter,
  schema: blockSchema(BlockKind.Adapter, { stride: z.int().min(1).max(8) }),
  problem: (block) =>
    problemOfFamily(block) ??
    (block.inHeight % block.stride === 0 && block.inWidth % block.stride === 0
      ? null
      : `its stride of ${block.stride} does not divide a map of ${block.inHeight}x${block.inWidth}`) ??
    (block.midChannels === block.inChannels ? null : 'midChannels of an adapter must equal inChannels'),
  expand(block, nodes, input) {
    const { name, inChannels, outChannels, stride } = block;
    const family = familyOfBlock(block);
    const filtered = nodes.layer(`${name}.depthwise`, input, {
      ...{ family, kernel: stride, stride, padding: 0, groups: inChannels, outChannels: inChannels },
    });
    return nodes.batchNorm(nodes.layer(`${name}.project`, filtered, { family, outChannels }));
  },
  label: (block) => `${block.outChannels}${strideLabel(block)}`,
  lines: (block) => [
    `${block.inChannels} → ${block.outChannels} ch`,
    mapLine(block, block.inHeight / block.stride, block.inWidth / block.stride),
  ],
};
