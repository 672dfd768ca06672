/**
 * @file A block that is left out: no nodes at all.
 */
import { BlockKind } from '../architecture.js';
import { blockSchema, type BlockRule } from './contract.js';

export const skip: BlockRule = {
  kind: BlockKind.Skip,
  schema: blockSchema(BlockKind.Skip),
  problem({ family, stride, inChannels, midChannels, outChannels }) {
    if (family !== undefined) return 'a skip has no family';
    if (stride !== 1) return 'a skip cannot have a stride';
    if (inChannels !== outChannels) return 'a skip cannot change the channels';
    if (midChannels !== outChannels) return 'midChannels of a skip must equal outChannels';
    return null;
  },
  expand: (_block, _nodes, input) => input,
  label: () => '',
  lines: ({ inHeight, inWidth, inChannels }) => [`${inChannels} ch · ${inHeight}×${inWidth}`],
};
