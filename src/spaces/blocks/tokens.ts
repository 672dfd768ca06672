/**
 * @file The layers of a transformer over maps of tokens.
 */
import type { BlockDescription } from '../architecture.js';
import type { LayerOptions, NodeList } from '../nodes.js';
import { familyOfBlock } from './contract.js';

/** The layer `BLOCK.PART` with biases, or with a batch norm in their place. */
export function tokenLayer(
  block: BlockDescription & { readonly norm: boolean },
  nodes: NodeList,
  part: string,
  input: string,
  options: Omit<LayerOptions, 'family' | 'bias'>,
): string {
  const layer = nodes.layer(`${block.name}.${part}`, input, {
    ...options,
    ...{ family: familyOfBlock(block), bias: !block.norm },
  });
  return block.norm ? nodes.batchNorm(layer) : layer;
}
