/**
 * @file From an architecture to its layers as cost models see them, and the counts that follow from them.
 *
 * Whoever builds, prices or exports a network walks its nodes (`expand.ts`) and uses their names; the layers with weights
 * are those of {@link planLayers}.
 */
import { operationCount, Primitive, type LayerDescription } from '../hardware/layer.js';
import { LearnedActivation } from '../nn/activation.js';
import { layerInput, type LayerPart, type OperatorFamily } from '../operators/contract.js';
import { familyNamed } from '../operators/registry.js';
import { sizeOf } from '../tensor/shape.js';
import { type Architecture, BlockKind } from './architecture.js';
import { fixedFamily } from './blocks/ends.js';
import { nodesOf } from './expand.js';
import { NodeKind, type AttentionNode, type LayerNode, type Node } from './nodes.js';

/** Every layer with weights in order of execution. */
export function planLayers(architecture: Architecture): readonly LayerNode[] {
  return nodesOf(architecture).filter((node) => node.kind === NodeKind.Layer);
}

/** What a cost model needs to know of a family. */
export type FamilyCost = Pick<OperatorFamily, 'primitive' | 'operandBits' | 'parts' | 'storedActivationBits'>;

type FamilyCostOf = (family: string) => FamilyCost;

/** A layer of arithmetic with its place in the network. */
export interface PricedPart {
  readonly layer: LayerDescription;
  /** Names of the layers of arithmetic that it reads; {@link layerInput} for what the planned layer reads. */
  readonly reads: readonly string[];
  /** Whether it has weights of its own to be stored. */
  readonly hasWeights: boolean;
}

/** The layers of arithmetic of a layer, in order of execution: itself, or the parts that its family has. */
export function partsOf(node: LayerNode, familyCost: FamilyCostOf): readonly PricedPart[] {
  const { primitive, operandBits, parts } = familyCost(node.family);
  const whole = {
    fullyConnected: node.fullyConnected,
    batch: 1,
    inHeight: node.inHeight,
    inWidth: node.inWidth,
    inChannels: node.inChannels,
    kernel: node.kernel,
    outHeight: node.outHeight,
    outWidth: node.outWidth,
    outChannels: node.outChannels,
    stride: node.stride,
    groups: node.groups,
  };
  const all: readonly LayerPart[] = parts?.(whole) ?? [
    { ...whole, primitive, operandBits, reads: [layerInput] },
  ];
  const named = (part: string | undefined): string =>
    part === undefined ? node.name : `${node.name}.${part}`;
  return all.map(({ name, reads, weightless = false, ...rest }) => ({
    layer: { name: named(name), ...rest },
    reads: reads.map((read) => (read === layerInput ? read : named(read))),
    hasWeights: !weightless,
  }));
}

/** Names of the two products of an attention between layers. */
export function productNames(attention: string): { readonly scores: string; readonly values: string } {
  return { scores: `${attention}.scores`, values: `${attention}.values` };
}

/** An attention between layers is two products with one copy for each head, of activations alone. */
function productsOf(node: AttentionNode, { operandBits }: FamilyCost): readonly PricedPart[] {
  const tokens = node.outHeight * node.outWidth;
  const width = node.outChannels / node.heads;
  const { scores, values } = productNames(node.name);
  const product = (name: string, inChannels: number, outChannels: number): PricedPart => ({
    layer: {
      ...{ name, primitive: Primitive.Multiply, fullyConnected: true, batch: tokens },
      ...{ inHeight: 1, inWidth: 1, inChannels, kernel: 1, outHeight: 1, outWidth: 1, outChannels },
      ...{ stride: 1, groups: 1, copies: node.heads, operandBits },
    },
    reads: [layerInput],
    hasWeights: false,
  });
  return [product(scores, width, tokens), product(values, tokens, width)];
}

/** Every layer of arithmetic of one inference (batch 1), in order of execution. */
export function pricedParts(architecture: Architecture, familyCost: FamilyCostOf): readonly PricedPart[] {
  const parts: PricedPart[] = [];
  for (const node of nodesOf(architecture))
    if (node.kind === NodeKind.Layer) parts.push(...partsOf(node, familyCost));
    else if (node.kind === NodeKind.Attention) parts.push(...productsOf(node, familyCost(fixedFamily)));
  return parts;
}

/** What {@link layersOf} made last of an architecture: every quantity of a budget asks for it. */
const described = new WeakMap<
  Architecture,
  { readonly familyCost: FamilyCostOf; readonly layers: readonly LayerDescription[] }
>();

/**
 * The layers as a cost model prices them: one inference (batch 1), in order of execution. A layer of a family that is
 * several layers of arithmetic is as many here, called `NAME.PART`, the last of them `NAME`. An attention is two
 * products, `NAME.scores` and `NAME.values`, each with one copy for each head.
 */
export function layersOf(architecture: Architecture, familyCost: FamilyCostOf): readonly LayerDescription[] {
  const known = described.get(architecture);
  if (known?.familyCost === familyCost) return known.layers;
  const layers = pricedParts(architecture, familyCost).map(({ layer }) => layer);
  described.set(architecture, { familyCost, layers });
  return layers;
}

/**
 * Family of the layer called `layerName`, or of which it is a part; that of fixed layers for the products of
 * an attention. Throws when the architecture has no such layer.
 */
export function familyOfLayer(architecture: Architecture, layerName: string): string {
  const node = nodesOf(architecture).find(
    ({ name, kind }) =>
      (kind === NodeKind.Layer || kind === NodeKind.Attention) &&
      (layerName === name || layerName.startsWith(`${name}.`)),
  );
  if (node === undefined) throw new Error(`the architecture has no layer '${layerName}'`);
  return node.kind === NodeKind.Layer ? node.family : fixedFamily;
}

/**
 * Values of the parameters, those that are drawn and never trained included: weights and what a family has beside them,
 * biases, scale and offset of every norm, and what else learns.
 */
export function parameterCount(architecture: Architecture): number {
  return nodesOf(architecture).reduce((total, node) => total + nodeParameters(node), 0);
}

/** Those of one node. */
export function nodeParameters(node: Node): number {
  switch (node.kind) {
    case NodeKind.Layer: {
      const { kernel, inChannels, outChannels, groups, bias } = node;
      const family = familyNamed(node.family);
      const own = (family.own ?? []).reduce((sum, { shape }) => sum + sizeOf(shape(node)), 0);
      const shape = family.weightShape?.(node) ?? [kernel, kernel, inChannels / groups, outChannels];
      return sizeOf(shape) + own + (bias ? outChannels : 0);
    }
    case NodeKind.BatchNorm:
    case NodeKind.LayerNorm:
      return 2 * node.outChannels;
    case NodeKind.Activation:
      if (node.activation === LearnedActivation.RPRelu) return 3 * node.outChannels;
      return node.activation === LearnedActivation.Power ? 1 : 0;
    case NodeKind.Position:
      return node.outHeight * node.outWidth * node.outChannels;
    default:
      return 0;
  }
}

/** Primitive operations (multiply-, shift- or add-accumulates) of one inference, all layers. */
export function operationTotal(architecture: Architecture): number {
  return layersOf(architecture, familyNamed).reduce((total, layer) => total + operationCount(layer), 0);
}

/** Kinds of block whose `midChannels` are those of the block before or behind. */
const withoutInside: ReadonlySet<BlockKind> = new Set([BlockKind.Skip, BlockKind.Adapter]);

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
  const { stem, blocks } = architecture;
  return {
    ...architecture,
    genome: null,
    stem: stem && { ...stem, channels: scaled(stem.channels) },
    blocks: blocks.map((block, at) => ({
      ...block,
      // The channels of the input are not ours to scale.
      inChannels: stem === null && at === 0 ? block.inChannels : scaled(block.inChannels),
      midChannels: scaled(block.midChannels, withoutInside.has(block.kind) ? factor : midFactor),
      outChannels: scaled(block.outChannels),
    })),
  };
}
