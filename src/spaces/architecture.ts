/**
 * @file An architecture as plain data: what `architecture.json` holds, and what is built, priced, drawn and exported.
 *
 * A genome only means something inside its space; an architecture stands alone. It lists resolved blocks with their
 * channel counts, so it can also describe networks that no genome reaches (a width-scaled baseline, a published model).
 * What a block of some kind consists of is said by its rule in `blocks/`.
 */

/** How a block is realised. */
export enum BlockKind {
  /** Two 3x3 layers of one operator family with a residual shortcut. */
  Residual = 'residual',
  /** The identity: the block is left out. */
  Skip = 'skip',
  /** One layer over the map, and a pooling. */
  Convolution = 'convolution',
  /** One fully connected layer. */
  Dense = 'dense',
  /** The inverted residual of MobileNetV2. */
  Inverted = 'inverted',
  /** An image as patches, each a token. */
  Patches = 'patches',
  /** A pre-norm transformer layer. */
  Transformer = 'transformer',
  /** A 1x1 layer, a depth-wise one, a 3x3 and a 1x1 layer with a shortcut (ShiftAddNAS). */
  Bottleneck = 'bottleneck',
  /** The same with attention in the place of the 3x3 layer. */
  AttentionBottleneck = 'attentionBottleneck',
  /** Between stem and first block: a depth-wise layer and a 1x1 layer. */
  Adapter = 'adapter',
}

/** What blocks of every kind have; those of a kind may have more ({@link BlockKind}, `blocks/`). */
export interface BlockDescription {
  /** For example `stage1.block0`. */
  readonly name: string;
  readonly stage: number;
  readonly kind: BlockKind;
  /** Registered operator family of every layer in the block; absent for a skip. */
  readonly family?: string;
  /** Size of the block's input map. */
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  /** Channels between the layers of the block; equal to `outChannels` where nothing is between. */
  readonly midChannels: number;
  readonly outChannels: number;
  readonly stride: number;
}

/** A layer, batch norm and ReLU in front of the blocks. */
export interface StemDescription {
  readonly channels: number;
  readonly stride: number;
  /** Operator family; a convolution when absent, as published networks keep it. */
  readonly family?: string;
  /** Side of its kernel; 3 when absent. */
  readonly kernel?: number;
  /** The largest of 3x3 values at a stride of 2 behind it. */
  readonly pool?: boolean;
}

/** How the map of the last block becomes the features that are classified. */
export enum Features {
  /** The mean over the map. */
  Mean = 'mean',
  /** The whole map. */
  Flatten = 'flatten',
}

/** What stands behind the blocks. */
export interface ClassifierDescription {
  /** Operator family; a convolution, which is a linear layer there, when absent. */
  readonly family?: string;
  /** The mean when absent. */
  readonly features?: Features;
  /** A batch norm on the logits instead of biases, for families whose outputs have no scale of their own. */
  readonly norm?: boolean;
  /** A layer norm in front of the features (pre-norm transformers). */
  readonly layerNorm?: boolean;
  /** Classifiers side by side, whose logits are averaged (one of labels, one of a teacher); 1 when absent. */
  readonly heads?: 1 | 2;
}

export interface Architecture {
  readonly format: 'shiftaddnas-architecture';
  readonly version: 1;
  /** The space the architecture came from, with its options. */
  readonly space: string;
  /** The genome inside that space; null for an architecture that no genome reaches. */
  readonly genome: readonly number[] | null;
  readonly input: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes: number;
  /** Null where the blocks begin at the input. */
  readonly stem: StemDescription | null;
  readonly blocks: readonly BlockDescription[];
  readonly classifier?: ClassifierDescription;
}
