/**
 * @file The candidates of a layer: its blocks while searching, by stage and family.
 *
 * Every stage has a map half as wide as the one before (rounded up) and twice its channels. A layer whose map is wider than its stage's takes
 * the branch with a stride. Biases of a depth-wise layer: of multiplications and of shifts, as published, not of additions.
 */
import { Primitive } from '../../hardware/layer.js';
import { ActivationKind } from '../../nn/activation.js';
import { headsOf } from '../../operators/attention/core.js';
import { familyNamed } from '../../operators/registry.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
import { attentionFamilies, type AttentionBottleneckBlock } from '../blocks/attention-bottleneck.js';
import type { BottleneckBlock } from '../blocks/bottleneck.js';
import { ShortcutKind, type BranchedBlock } from '../blocks/branches.js';
import type { FeatureMap } from '../nodes.js';

/** Where a block stands. */
export interface Place {
  readonly name: string;
  readonly stage: number;
  readonly input: FeatureMap;
  readonly stride: 1 | 2;
  readonly outChannels: number;
}

/** What retrained networks have otherwise than those of the supernet. */
export interface BlockStyle extends Pick<BranchedBlock, 'shortcut' | 'activation'> {
  /** Channels of the block for one of squeeze and excitation; 0 for none. */
  readonly squeezeRatio: number;
}

export const supernetStyle: BlockStyle = {
  shortcut: ShortcutKind.Active,
  activation: ActivationKind.Relu,
  squeezeRatio: 0,
};

export const retrainedStyle: BlockStyle = {
  shortcut: ShortcutKind.Pooled,
  activation: ActivationKind.Silu,
  squeezeRatio: 16,
};

/** Channels of a block for one between its layers. */
export const expansion = 4;

/** The block of a family at a place. */
export function candidateBlock(family: string, place: Place, style: BlockStyle): BlockDescription {
  const { name, stage, input, stride, outChannels } = place;
  const { shortcut, activation, squeezeRatio } = style;
  const midChannels = outChannels / expansion;
  const attends = attentionFamilies.includes(family);
  const common = {
    ...{ name, stage, family },
    ...{ inHeight: input.height, inWidth: input.width, inChannels: input.channels },
    ...{ midChannels, outChannels, stride, shortcut, activation },
    positionBias: attends || familyNamed(family).primitive !== Primitive.Add,
  };
  if (attends) {
    const block: AttentionBottleneckBlock = {
      ...common,
      ...{ kind: BlockKind.AttentionBottleneck, heads: headsOf(midChannels) },
    };
    return block;
  }
  const squeeze = squeezeRatio === 0 ? 0 : Math.max(1, Math.round(outChannels / squeezeRatio));
  const block: BottleneckBlock = { ...common, kind: BlockKind.Bottleneck, squeeze };
  return block;
}

/** The map behind a block at a place. */
export function mapBehind({ input, stride, outChannels }: Place): FeatureMap {
  return {
    height: Math.ceil(input.height / stride),
    width: Math.ceil(input.width / stride),
    channels: outChannels,
  };
}
