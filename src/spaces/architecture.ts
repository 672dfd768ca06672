/**
 * @file An architecture as plain data: what `architecture.json` holds, and what is built, priced, drawn and exported.
 *
 * A genome only means something inside its space; an architecture stands alone. It lists resolved blocks with their
 * channel counts, so it can also describe networks that no genome reaches (a width-scaled baseline).
 */

/** How a block is realised. */
export enum BlockKind {
  /** Two 3x3 layers of one operator family with a residual shortcut. */
  Residual = 'residual',
  /** The identity: the block is left out. */
  Skip = 'skip',
}

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
  /** Channels between the two 3x3 layers; equal to `outChannels` for a skip. */
  readonly midChannels: number;
  readonly outChannels: number;
  readonly stride: number;
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
  /** The stem is always a 3x3 convolution, the classifier always a linear layer (spec: first and last stay multiplicative). */
  readonly stem: { readonly channels: number; readonly stride: number };
  readonly blocks: readonly BlockDescription[];
}
