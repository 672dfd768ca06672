/**
 * @file The blocks ResConv, ResAdd and ResShift of ShiftAddNAS (ICML 2022), in any operator family:
 *
 *     x -> way in -> 3x3 -> norm -> activation -> 1x1 -> norm (begins at 0) -> (squeeze and excitation) -> (+ shortcut) -> activation
 *
 * Way in and shortcut are those of `branches.ts`. Squeeze and excitation (Hu et al., CVPR'18), which only retrained networks
 * have, multiplies each channel by a sigmoid of what two convolutions make of the means of all.
 */
import { z } from 'zod';
import { ActivationKind } from '../../nn/activation.js';
import { BlockKind } from '../architecture.js';
import { active, branchFields, changes, expandEntry, expandJoin, type BranchedBlock } from './branches.js';
import {
  blockSchema,
  familyOfBlock,
  mapLine,
  problemOfFamily,
  strideLabel,
  type BlockRule,
} from './contract.js';
import { fixedFamily } from './ends.js';
import type { NodeList } from '../nodes.js';

export interface BottleneckBlock extends BranchedBlock {
  readonly kind: BlockKind.Bottleneck;
  /** Channels between the two layers of squeeze and excitation; 0 for none. */
  readonly squeeze: number;
}

export const bottleneck: BlockRule<BottleneckBlock> = {
  kind: BlockKind.Bottleneck,
  schema: blockSchema(BlockKind.Bottleneck, { ...branchFields, squeeze: z.int().min(0) }),
  problem: problemOfFamily,
  expand(block, nodes, input) {
    const { name, midChannels, outChannels, squeeze } = block;
    const family = familyOfBlock(block);
    const entered = expandEntry(block, family, nodes, input);
    const inner = nodes.layer(`${name}.middle`, entered, { family, kernel: 3, outChannels: midChannels });
    const wide = nodes.layer(`${name}.out`, active(block, nodes, inner), { family, outChannels });
    const normed = nodes.batchNorm(wide, false, 0);
    const straight = squeeze === 0 ? normed : excited(name, squeeze, nodes, normed);
    return expandJoin(block, family, nodes, input, straight);
  },
  label: (block) => `${block.outChannels}${strideLabel(block)}${block.squeeze > 0 ? ' +se' : ''}`,
  lines(block) {
    const { inHeight, inWidth, inChannels, midChannels, outChannels, stride, squeeze } = block;
    return [
      `${inChannels} → ${midChannels} → ${outChannels} ch`,
      mapLine(block, Math.ceil(inHeight / stride), Math.ceil(inWidth / stride)),
      ...(changes(block) ? ['a layer on the shortcut'] : []),
      ...(squeeze > 0 ? [`squeeze to ${squeeze}`] : []),
    ];
  },
};

/** Always of multiplications, as published. */
function excited(name: string, squeeze: number, nodes: NodeList, map: string): string {
  const { channels } = nodes.mapOf(map);
  const layer = (part: string, from: string, outChannels: number): string =>
    nodes.layer(`${name}.${part}`, from, { family: fixedFamily, outChannels, bias: true });
  const thin = layer('squeeze', nodes.globalPool(`${name}.means`, map), squeeze);
  const between = nodes.activation(`${name}.squeezed`, thin, ActivationKind.Relu);
  const wide = layer('excite', between, channels);
  return nodes.scale(`${name}.excited`, map, nodes.activation(`${name}.gate`, wide, ActivationKind.Sigmoid));
}
