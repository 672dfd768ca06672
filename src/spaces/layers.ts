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
import { layerInput, type LayerPart, type OperatorFamily } from '../operators/contract.js';
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
export type FamilyCost = Pick<OperatorFamily, 'primitive' | 'operandBits' | 'parts' | 'storedActivationBits'>;

/** A layer of arithmetic with its place in the network. */
export interface PricedPart {
  readonly layer: LayerDescription;
  /** Names of the layers of arithmetic that it reads; {@link layerInput} for what the planned layer reads. */
  readonly reads: readonly string[];
  /** Whether it has weights of its own to be stored. */
  readonly hasWeights: boolean;
}

/** The layers of arithmetic of a planned layer, in order of execution: itself, or the parts that its family has. */
export function partsOf(planned: PlannedLayer, familyCost: (family: string) => FamilyCost): PricedPart[] {
  const { primitive, operandBits, parts } = familyCost(planned.family);
  const whole = {
    fullyConnected: planned.fullyConnected,
    batch: 1,
    inHeight: planned.inHeight,
    inWidth: planned.inWidth,
    inChannels: planned.inChannels,
    kernel: planned.kernel,
    outHeight: planned.outHeight,
    outWidth: planned.outWidth,
    outChannels: planned.outChannels,
    stride: planned.stride,
    groups: 1,
  };
  const all: readonly LayerPart[] = parts?.(whole) ?? [
    { ...whole, primitive, operandBits, reads: [layerInput] },
  ];
  const named = (part: string | undefined): string =>
    part === undefined ? planned.name : `${planned.name}.${part}`;
  return all.map(({ name, reads, weightless = false, ...rest }) => ({
    layer: { name: named(name), ...rest },
    reads: reads.map((read) => (read === layerInput ? read : named(read))),
    hasWeights: !weightless,
  }));
}

/**
 * The layers as a cost model prices them: one inference (batch 1), in order of execution. A layer of a family that is
 * several layers of arithmetic is as many here, called `NAME.PART`, the last of them `NAME`.
 */
export function layersOf(
  architecture: Architecture,
  familyCost: (family: string) => FamilyCost,
): readonly LayerDescription[] {
  return planLayers(architecture).flatMap((planned) =>
    partsOf(planned, familyCost).map(({ layer }) => layer),
  );
}

/** Family of the layer called `layerName`, or of which it is a part. Throws when the architecture has no such layer. */
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
