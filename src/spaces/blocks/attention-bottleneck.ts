/**
 * @file The block ResAtt of ShiftAddNAS (ICML 2022), after BossNAS (ICCV'21), all its layers of multiplications:
 *
 *     x -> way in -> query, key, value (1x1) -> attention over the map -> norm -> activation
 *       -> 1x1 -> norm (begins at 0) -> (+ shortcut) -> activation
 *
 * The three projections are one layer of three times the channels in the released code. The block's family is `attention`,
 * or `attention.compat` for its product over the queries.
 */
import { z } from 'zod';
import { attentionCompat } from '../../operators/attention/compat.js';
import { attention } from '../../operators/attention/family.js';
import { BlockKind } from '../architecture.js';
import { active, branchFields, changes, expandEntry, expandJoin, type BranchedBlock } from './branches.js';
import { blockSchema, mapLine, problemOfFamily, strideLabel, type BlockRule } from './contract.js';
import { fixedFamily } from './ends.js';

export interface AttentionBottleneckBlock extends BranchedBlock {
  readonly kind: BlockKind.AttentionBottleneck;
  readonly heads: number;
}

/** The families that such a block can have. */
export const attentionFamilies: readonly string[] = [attention.name, attentionCompat.name];

export const attentionBottleneck: BlockRule<AttentionBottleneckBlock> = {
  kind: BlockKind.AttentionBottleneck,
  schema: blockSchema(BlockKind.AttentionBottleneck, { ...branchFields, heads: z.int().min(1) }),
  problem(block) {
    const { family, midChannels, heads } = block;
    if (family !== undefined && !attentionFamilies.includes(family))
      return `the family of an attentionBottleneck block is ${attentionFamilies.join(' or ')}, not ${family}`;
    if (midChannels % heads !== 0) return `${heads} heads do not divide ${midChannels} channels`;
    return problemOfFamily(block);
  },
  expand(block, nodes, input) {
    const { name, family, midChannels, outChannels, heads } = block;
    const entered = expandEntry(block, fixedFamily, nodes, input);
    const [query, key, value] = ['query', 'key', 'value'].map((part) =>
      nodes.layer(`${name}.${part}`, entered, { family: fixedFamily, outChannels: midChannels }),
    );
    const swapped = family === attentionCompat.name;
    const mixed = nodes.attention(`${name}.attention`, query!, key!, value!, heads, swapped);
    const wide = nodes.layer(`${name}.out`, active(block, nodes, mixed), {
      ...{ family: fixedFamily, outChannels },
    });
    return expandJoin(block, fixedFamily, nodes, input, nodes.batchNorm(wide, false, 0));
  },
  label: (block) => `${block.outChannels} x${block.heads}${strideLabel(block)}`,
  lines(block) {
    const { inHeight, inWidth, inChannels, midChannels, outChannels, stride, heads } = block;
    return [
      `${inChannels} → ${midChannels} → ${outChannels} ch`,
      mapLine(block, Math.ceil(inHeight / stride), Math.ceil(inWidth / stride)),
      `${heads} head${heads === 1 ? '' : 's'}`,
      ...(changes(block) ? ['a layer on the shortcut'] : []),
    ];
  },
};
