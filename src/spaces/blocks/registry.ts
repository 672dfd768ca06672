/**
 * @file The kinds of block.
 */
import { BlockKind, type BlockDescription } from '../architecture.js';
import { adapter } from './adapter.js';
import { attentionBottleneck } from './attention-bottleneck.js';
import { bottleneck } from './bottleneck.js';
import { ruleFor, type BlockRule } from './contract.js';
import { convolution } from './convolution.js';
import { dense } from './dense.js';
import { inverted } from './inverted.js';
import { patches } from './patches.js';
import { residual } from './residual.js';
import { skip } from './skip.js';
import { transformer } from './transformer.js';

const rules: Readonly<Record<BlockKind, BlockRule>> = {
  [BlockKind.Adapter]: adapter,
  [BlockKind.AttentionBottleneck]: ruleFor(attentionBottleneck),
  [BlockKind.Bottleneck]: ruleFor(bottleneck),
  [BlockKind.Convolution]: ruleFor(convolution),
  [BlockKind.Dense]: ruleFor(dense),
  [BlockKind.Inverted]: ruleFor(inverted),
  [BlockKind.Patches]: ruleFor(patches),
  [BlockKind.Transformer]: ruleFor(transformer),
  [BlockKind.Residual]: ruleFor(residual),
  [BlockKind.Skip]: skip,
};

/** The rule of a block's kind. */
export function ruleOf({ kind }: Pick<BlockDescription, 'kind'>): BlockRule {
  return rules[kind];
}

/** The rules of all kinds. */
export function listRules(): readonly BlockRule[] {
  return Object.values(rules);
}
