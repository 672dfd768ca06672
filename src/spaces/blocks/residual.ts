/**
 * @file The residual block of ResNet-20 (He et al., CVPR'16, arXiv 1512.03385) in any operator family:
 *
 *     x -> conv1 -> norm+ReLU -> conv2 -> norm -> (+ shortcut) -> ReLU
 *
 * `conv1` and `conv2` are 3x3, the first has the block's stride. The shortcut is the identity, or `shortcut`, a 1x1 layer
 * of the family with its own norm, where map or channels change.
 */
import { BlockKind, type BlockDescription } from '../architecture.js';
import {
  blockSchema,
  familyOfBlock,
  mapLine,
  problemOfFamily,
  strideLabel,
  type BlockRule,
} from './contract.js';

/** True when a residual block needs a 1x1 layer on its shortcut, because map or channels change. */
export function hasShortcutLayer(block: BlockDescription): boolean {
  return block.kind === BlockKind.Residual && (block.stride !== 1 || block.inChannels !== block.outChannels);
}

export const residual: BlockRule = {
  kind: BlockKind.Residual,
  schema: blockSchema(BlockKind.Residual),
  problem: problemOfFamily,
  expand(block, nodes, input) {
    const { name, stride, midChannels, outChannels } = block;
    const family = familyOfBlock(block);
    const first = nodes.layer(`${name}.conv1`, input, {
      family,
      kernel: 3,
      stride,
      outChannels: midChannels,
    });
    const between = nodes.batchNorm(first, true);
    const outer = nodes.batchNorm(nodes.layer(`${name}.conv2`, between, { family, kernel: 3, outChannels }));
    const straight = hasShortcutLayer(block)
      ? nodes.batchNorm(nodes.layer(`${name}.shortcut`, input, { family, stride, outChannels }))
      : input;
    return nodes.join(`${name}.join`, outer, straight, true);
  },
  label: (block) => `${block.midChannels}${strideLabel(block)}`,
  lines(block) {
    const { inHeight, inWidth, inChannels, midChannels, outChannels, stride } = block;
    return [
      `${inChannels} → ${midChannels} → ${outChannels} ch`,
      mapLine(block, Math.ceil(inHeight / stride), Math.ceil(inWidth / stride)),
      ...(hasShortcutLayer(block) ? ['1×1 on the shortcut'] : []),
    ];
  },
};
