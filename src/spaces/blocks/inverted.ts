/**
 * @file The inverted residual of MobileNetV2 (Sandler et al., CVPR'18, arXiv 1801.04381) in any operator family:
 *
 *     x -> expand (1x1) -> norm+ReLU6 -> depthwise (3x3) -> norm+ReLU6 -> project (1x1) -> norm -> (+ x where it fits)
 *
 * A block that does not expand has no first layer.
 */
import { ActivationKind } from '../../nn/activation.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
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

export interface InvertedBlock extends BlockDescription {
  readonly kind: BlockKind.Inverted;
  /** Side of the depth-wise kernel, odd; 3 when absent. */
  readonly kernel?: number;
}

/** Whether the output is added to the input. */
function isResidual({ stride, inChannels, outChannels }: BlockDescription): boolean {
  return stride === 1 && inChannels === outChannels;
}

export const inverted: BlockRule<InvertedBlock> = {
  kind: BlockKind.Inverted,
  schema: blockSchema(BlockKind.Inverted, { kernel: oddKernel.optional() }),
  problem: problemOfFamily,
  expand(block, nodes, input) {
    const { name, inChannels, midChannels, outChannels, stride, kernel = 3 } = block;
    const family = familyOfBlock(block);
    const clipped = (layer: string): string =>
      nodes.activation(`${layer}.relu6`, nodes.batchNorm(layer), ActivationKind.Relu6);
    const wide =
      inChannels === midChannels
        ? input
        : clipped(nodes.layer(`${name}.expand`, input, { family, outChannels: midChannels }));
    const filtered = clipped(
      nodes.layer(`${name}.depthwise`, wide, {
        ...{ family, kernel, stride, outChannels: midChannels, groups: midChannels },
      }),
    );
    const thin = nodes.batchNorm(nodes.layer(`${name}.project`, filtered, { family, outChannels }));
    return isResidual(block) ? nodes.join(`${name}.join`, thin, input) : thin;
  },
  label: (block) => `${block.midChannels}>${block.outChannels}${kernelLabel(block)}${strideLabel(block)}`,
  lines(block) {
    const { inHeight, inWidth, inChannels, midChannels, outChannels, stride, kernel = 3 } = block;
    return [
      `${inChannels} → ${midChannels} → ${outChannels} ch`,
      mapLine(block, Math.ceil(inHeight / stride), Math.ceil(inWidth / stride)),
      `depth-wise ${kernel}×${kernel}`,
      ...(isResidual(block) ? [] : ['no shortcut']),
    ];
  },
};
