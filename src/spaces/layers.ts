/**
 * @file From an architecture to its layers: names, shapes, families, and the counts that follow from them.
 *
 * This is the one place that knows which layers a block consists of, so whoever builds tensors, prices, counts or
 * exports a network walks {@link planLayers} and uses its names. A residual block is
 * `NAME.conv1` (3x3, carries the stride) - norm - relu - `NAME.conv2` (3x3) - norm, plus the shortcut: the identity,
 * or `NAME.shortcut` (1x1 with the block's stride, same family) - norm where map or channels change. The stem
 * (`stem`, 3x3 - norm - relu) and the `classifier` (linear with bias after global average pooling) stay
 * multiplicative, as in the published networks (ShiftAddNAS, arXiv 2205.08119).
 */
import { operationCount, type LayerDescription } from '../hardware/layer.js';
import { conv } from '../operators/conv/family.js';
import type { OperatorFamily } from '../operators/contract.js';
import { familyNamed } from '../operators/registry.js';
import { type Architecture, type BlockDescription, BlockKind } from './architecture.js';

/** Family of the stem and of the classifier of every network. */
export const fixedFamily = conv.name;
export const stemName = 'stem';
export const classifierName = 'classifier';

/** One layer with weights: its place, shape and family. Weights are [kernel, kernel, inChannels, outChannels]. */
export interface PlannedLayer {
  readonly name: string;
  readonly family: string;
  /** Index into `architecture.blocks`; null for the stem and the classifier. */
  readonly block: number | null;
  /** The classifier: linear with bias and no batch norm. Every other layer has a batch norm and no bias. */
  readonly fullyConnected: boolean;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly kernel: number;
  readonly stride: number;
  /** Zeros on each side: 'same' for stride 1, ceil(in / stride) otherwise. */
  readonly padding: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly outChannels: number;
}

/** True when a residual block needs a 1x1 layer on its shortcut, because map or channels change. */
export function hasShortcutLayer(block: BlockDescription): boolean {
  return block.kind === BlockKind.Residual && (block.stride !== 1 || block.inChannels !== block.outChannels);
}

/** Every layer with weights in order of execution: stem; conv1, conv2, shortcut of each block; classifier. */
export function planLayers(architecture: Architecture): readonly PlannedLayer[] {
  const { input, stem, blocks } = architecture;
  const layers: PlannedLayer[] = [
    convolution(stemName, fixedFamily, null, input, input.channels, 3, stem.stride, stem.channels),
  ];
  blocks.forEach((block, at) => {
    if (block.kind === BlockKind.Skip) return;
    const { name, inChannels, midChannels, outChannels, stride } = block;
    const family = familyOfBlock(block);
    const inMap = { height: block.inHeight, width: block.inWidth };
    const first = convolution(`${name}.conv1`, family, at, inMap, inChannels, 3, stride, midChannels);
    const midMap = { height: first.outHeight, width: first.outWidth };
    layers.push(first, convolution(`${name}.conv2`, family, at, midMap, midChannels, 3, 1, outChannels));
    if (hasShortcutLayer(block))
      layers.push(convolution(`${name}.shortcut`, family, at, inMap, inChannels, 1, stride, outChannels));
  });
  const features = blocks.at(-1)?.outChannels ?? stem.channels;
  const pooled = { height: 1, width: 1 };
  layers.push({
    ...convolution(classifierName, fixedFamily, null, pooled, features, 1, 1, architecture.classes),
    fullyConnected: true,
  });
  return layers;
}

/** What a cost model needs to know of a family. */
export type FamilyCost = Pick<
  OperatorFamily,
  'primitive' | 'operandBits' | 'preceding' | 'storedActivationBits'
>;

/** Name of the layer of arithmetic in front of `layer`, for families of two. */
export function precedingName(layer: string, preceding: { readonly name: string }): string {
  return `${layer}.${preceding.name}`;
}

/**
 * The layers as a cost model prices them: one inference (batch 1), in order of execution. A layer of a family of two
 * layers of arithmetic is two here: `NAME.PRECEDING` and `NAME`.
 */
export function layersOf(
  architecture: Architecture,
  familyCost: (family: string) => FamilyCost,
): readonly LayerDescription[] {
  return planLayers(architecture).flatMap((layer) => {
    const { primitive, operandBits, preceding } = familyCost(layer.family);
    const whole = {
      name: layer.name,
      primitive,
      fullyConnected: layer.fullyConnected,
      batch: 1,
      inHeight: layer.inHeight,
      inWidth: layer.inWidth,
      inChannels: layer.inChannels,
      kernel: layer.kernel,
      outHeight: layer.outHeight,
      outWidth: layer.outWidth,
      outChannels: layer.outChannels,
      stride: layer.stride,
      groups: 1,
      operandBits,
    };
    if (preceding === undefined) return [whole];
    const { outHeight, outWidth, outChannels } = layer;
    return [
      {
        ...whole,
        name: precedingName(layer.name, preceding),
        primitive: preceding.primitive,
        operandBits: preceding.operandBits,
      },
      { ...whole, inHeight: outHeight, inWidth: outWidth, inChannels: outChannels, stride: 1 },
    ];
  });
}

/** Family of the layer called `layerName`, or of which it is the layer in front. Throws when the architecture has no such layer. */
export function familyOfLayer(architecture: Architecture, layerName: string): string {
  const layer = planLayers(architecture).find(
    ({ name }) => layerName === name || layerName.startsWith(`${name}.`),
  );
  if (layer === undefined) throw new Error(`the architecture has no layer '${layerName}'`);
  return layer.family;
}

/**
 * Values of the parameters, those that are drawn and never trained included: weights and what a family has beside them,
 * scale and offset of every batch norm, classifier weights and biases.
 */
export function parameterCount(architecture: Architecture): number {
  return planLayers(architecture).reduce((total, layer) => {
    const weights = layer.kernel * layer.kernel * layer.inChannels * layer.outChannels;
    const own = (familyNamed(layer.family).own ?? []).reduce(
      (sum, { shape }) => sum + shape({ ...layer, groups: 1 }).reduce((product, side) => product * side, 1),
      0,
    );
    return total + weights + own + (layer.fullyConnected ? 1 : 2) * layer.outChannels;
  }, 0);
}

/** Primitive operations (multiply-, shift- or add-accumulates) of one inference, all layers. */
export function operationTotal(architecture: Architecture): number {
  return layersOf(architecture, familyNamed).reduce((total, layer) => total + operationCount(layer), 0);
}

/**
 * The same network with stem and stage channels times `factor` and the channels inside its blocks times `midFactor`
 * (both > 0), rounded to whole channels, at least 1: the width-scaled baselines. Equal channel counts between blocks
 * stay equal, so skips and identity shortcuts stay legal.
 */
export function scaleWidths(architecture: Architecture, factor: number, midFactor = factor): Architecture {
  for (const each of [factor, midFactor])
    if (!(each > 0 && Number.isFinite(each)))
      throw new RangeError(`a width factor must be above 0, not ${each}`);
  const scaled = (channels: number, by = factor): number => Math.max(1, Math.round(channels * by));
  return {
    ...architecture,
    genome: null,
    stem: { ...architecture.stem, channels: scaled(architecture.stem.channels) },
    blocks: architecture.blocks.map((block) => ({
      ...block,
      inChannels: scaled(block.inChannels),
      midChannels: scaled(block.midChannels, block.kind === BlockKind.Skip ? factor : midFactor),
      outChannels: scaled(block.outChannels),
    })),
  };
}

function convolution(
  name: string,
  family: string,
  block: number | null,
  map: { readonly height: number; readonly width: number },
  inChannels: number,
  kernel: number,
  stride: number,
  outChannels: number,
): PlannedLayer {
  return {
    name,
    family,
    block,
    fullyConnected: false,
    inHeight: map.height,
    inWidth: map.width,
    inChannels,
    kernel,
    stride,
    padding: (kernel - 1) / 2,
    // Odd kernels with (kernel - 1) / 2 zeros on each side: floor((in - 1) / stride) + 1.
    outHeight: Math.ceil(map.height / stride),
    outWidth: Math.ceil(map.width / stride),
    outChannels,
  };
}

function familyOfBlock(block: BlockDescription): string {
  if (block.family === undefined) throw new Error(`block ${block.name} names no operator family`);
  return block.family;
}
