/**
 * @file Layer lists of the published ShiftAddNAS translation networks (WMT'14 En-De; You et al., ICML 2022), as their
 * simulator lists them: one sentence of 30 source and 30 target tokens, teacher-forced, without the vocabulary
 * projection, embeddings and norms.
 *
 * A self-attention block has queries, keys and values of width 512, the products of every head and the output map.
 * A mixed block gives half of the features to such an attention and half to a light branch: linear, kernel over the
 * tokens, linear. The simulator knows square kernels only and lists that kernel with floor(sqrt K) taps on a side instead
 * of K in one row; and it prices it as dense over the channels of each head, though it is depth-wise, which the
 * groups of this list say.
 */
import { fp32OperandBits } from '../csv.js';
import { LayerRole, Primitive, type LayerDescription } from '../layer.js';

/** Attention alone, or beside a light branch of convolution, add or shift-add. */
export enum TranslationBlock {
  Attention = 'attention',
  Conv = 'conv',
  Add = 'add',
  ShiftAdd = 'shiftadd',
}

export interface EncoderLayer {
  readonly block: TranslationBlock;
  readonly heads: number;
  readonly ffn: number;
}

export interface DecoderLayer extends EncoderLayer {
  readonly crossHeads: number;
  /** How many encoder layers' outputs the cross attention reads (their tokens side by side). */
  readonly crossLayers: number;
}

export interface TranslationNetwork {
  readonly embedding: number;
  /** Inner width of attention. */
  readonly attention: number;
  readonly encoder: readonly EncoderLayer[];
  readonly decoder: readonly DecoderLayer[];
}

const tokens = 30;
/** Kernel sizes by layer, of encoder and decoder alike. */
const kernels = [3, 7, 15, 31, 31, 31];

/** What a light branch computes: in its kernel, and in the linears around it. */
const lightPrimitives = {
  [TranslationBlock.Conv]: { kernel: Primitive.Multiply, linear: Primitive.Multiply },
  [TranslationBlock.Add]: { kernel: Primitive.Add, linear: Primitive.Multiply },
  [TranslationBlock.ShiftAdd]: { kernel: Primitive.Add, linear: Primitive.Shift },
} as const;

/** Which of the plain linears are made of shifts: none as published, the feed-forward ones, or all of them. */
export enum ShiftedLinears {
  None = 'none',
  FeedForward = 'feedForward',
  All = 'all',
}

/** The priced layers in order of execution. */
export function translationNetwork(
  { embedding, attention: inner, encoder, decoder }: TranslationNetwork,
  shifted: ShiftedLinears = ShiftedLinears.None,
): LayerDescription[] {
  const layers: LayerDescription[] = [];
  const push = (
    name: string,
    primitive: Primitive,
    sizes: Partial<LayerDescription> & Pick<LayerDescription, 'batch' | 'inChannels' | 'outChannels'>,
  ): number =>
    layers.push({
      name,
      primitive,
      fullyConnected: true,
      ...{ inHeight: 1, inWidth: 1, kernel: 1, outHeight: 1, outWidth: 1, stride: 1, groups: 1 },
      operandBits: fp32OperandBits(primitive),
      ...sizes,
    });
  const projection = shifted === ShiftedLinears.All ? Primitive.Shift : Primitive.Multiply;
  const feedForward = shifted === ShiftedLinears.None ? Primitive.Multiply : Primitive.Shift;

  const attend = (name: string, width: number, heads: number, keys: number): void => {
    const perHead = inner / heads;
    push(`${name}.q`, projection, { batch: tokens, inChannels: width, outChannels: inner });
    push(`${name}.k`, projection, { batch: keys, inChannels: width, outChannels: inner });
    push(`${name}.v`, projection, { batch: keys, inChannels: width, outChannels: inner });
    const product = { batch: tokens, copies: heads };
    push(`${name}.scores`, Primitive.Multiply, { ...product, inChannels: perHead, outChannels: keys });
    push(`${name}.context`, Primitive.Multiply, { ...product, inChannels: keys, outChannels: perHead });
    push(`${name}.out`, projection, { batch: tokens, inChannels: inner, outChannels: width });
  };
  const block = (name: string, { block: kind, heads }: EncoderLayer, at: number): void => {
    if (kind === TranslationBlock.Attention) return attend(name, embedding, heads, tokens);
    const half = embedding / 2;
    attend(name, half, heads, tokens);
    const { kernel, linear } = lightPrimitives[kind];
    const linearSizes = { batch: tokens, inChannels: half, outChannels: half, role: LayerRole.LightLinear };
    push(`${name}.light1`, linear, linearSizes);
    push(`${name}.kernel`, kernel, {
      role: LayerRole.LightKernel,
      fullyConnected: false,
      batch: half / heads,
      inHeight: tokens,
      inChannels: heads,
      kernel: Math.floor(Math.sqrt(kernels[at]!)),
      outHeight: tokens,
      outChannels: heads,
      groups: heads,
    });
    push(`${name}.light2`, linear, linearSizes);
  };
  const transform = (name: string, ffn: number): void => {
    push(`${name}.ffn1`, feedForward, { batch: tokens, inChannels: embedding, outChannels: ffn });
    push(`${name}.ffn2`, feedForward, { batch: tokens, inChannels: ffn, outChannels: embedding });
  };
  encoder.forEach((layer, at) => {
    block(`encoder.${at}`, layer, at);
    transform(`encoder.${at}`, layer.ffn);
  });
  decoder.forEach((layer, at) => {
    block(`decoder.${at}`, layer, at);
    attend(`decoder.${at}.cross`, embedding, layer.crossHeads, tokens * layer.crossLayers);
    transform(`decoder.${at}`, layer.ffn);
  });
  return layers;
}

const blockOfLetter: Readonly<Record<string, TranslationBlock>> = {
  H: TranslationBlock.Attention,
  C: TranslationBlock.Conv,
  A: TranslationBlock.Add,
  S: TranslationBlock.ShiftAdd,
};

/** A found network by its published lists: block letters, FFN widths in 1024, heads. */
function found(
  encoder: readonly [blocks: string, ffn: readonly number[], heads: readonly number[]],
  decoder: readonly [
    blocks: string,
    ffn: readonly number[],
    heads: readonly number[],
    crossHeads: readonly number[],
    crossLayers: readonly number[],
  ],
): TranslationNetwork {
  const layersOf = (blocks: string, ffn: readonly number[], heads: readonly number[]): EncoderLayer[] =>
    [...blocks].map((letter, at) => ({
      block: blockOfLetter[letter]!,
      ffn: 1024 * ffn[at]!,
      heads: heads[at]!,
    }));
  const [blocks, ffn, heads, crossHeads, crossLayers] = decoder;
  return {
    embedding: 512,
    attention: 512,
    encoder: layersOf(...encoder),
    decoder: layersOf(blocks, ffn, heads).map((layer, at) => ({
      ...layer,
      crossHeads: crossHeads[at]!,
      crossLayers: crossLayers[at]!,
    })),
  };
}

/** A plain Transformer of six encoder and six decoder layers; its attention is 512 wide whatever the embedding. */
function plain(embedding: number, ffn: number, heads: number): TranslationNetwork {
  const layer = { block: TranslationBlock.Attention, heads, ffn };
  return {
    embedding,
    attention: 512,
    encoder: Array.from({ length: 6 }, () => layer),
    decoder: Array.from({ length: 6 }, () => ({ ...layer, crossHeads: heads, crossLayers: 1 })),
  };
}

/** The published baselines and the networks found under latency limits of 100 to 400 ms (En-De, final lists). */
export const translationNetworks = {
  'transformer-base': plain(512, 2048, 8),
  'transformer-big': plain(1024, 4096, 16),
  'transformer-small': plain(256, 2048, 8),
  'found-100': found(['ASHASH', [1, 1, 1, 4, 3, 4], [8, 8, 16, 8, 4, 16]], ['H', [4], [8], [4], [3]]),
  'found-120': found(['ACHCSC', [1, 3, 1, 1, 2, 4], [8, 8, 4, 8, 8, 8]], ['H', [4], [8], [4], [3]]),
  'found-150': found(
    ['CHCCHH', [2, 1, 3, 1, 1, 4], [4, 16, 8, 16, 8, 4]],
    ['CH', [4, 4], [4, 16], [4, 4], [3, 3]],
  ),
  'found-180': found(
    ['HCSHHH', [4, 4, 4, 2, 1, 1], [8, 8, 4, 4, 8, 8]],
    ['CH', [4, 4], [4, 16], [16, 4], [3, 3]],
  ),
  'found-200': found(
    ['HSCCCH', [2, 4, 2, 1, 1, 3], [8, 4, 4, 4, 4, 8]],
    ['CHH', [4, 4, 4], [4, 8, 16], [4, 4, 4], [3, 3, 3]],
  ),
  'found-250': found(
    ['CCAAHH', [2, 2, 4, 4, 1, 4], [8, 4, 16, 16, 8, 4]],
    ['CHH', [4, 3, 3], [4, 16, 8], [4, 16, 4], [3, 3, 3]],
  ),
  'found-300': found(
    ['CCHAHH', [2, 1, 1, 1, 2, 4], [4, 8, 8, 4, 4, 8]],
    ['CHH', [4, 3, 3], [4, 16, 8], [4, 16, 16], [3, 3, 1]],
  ),
  'found-350': found(
    ['AHAAHH', [3, 2, 4, 2, 4, 4], [16, 4, 4, 16, 4, 16]],
    ['CHH', [4, 4, 3], [4, 16, 8], [4, 4, 4], [3, 3, 3]],
  ),
  'found-400': found(
    ['HCHHAH', [3, 4, 4, 3, 3, 4], [16, 16, 8, 8, 16, 16]],
    ['CHA', [4, 4, 3], [4, 16, 4], [4, 4, 4], [3, 3, 3]],
  ),
} as const satisfies Readonly<Record<string, TranslationNetwork>>;
