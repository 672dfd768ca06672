/**
 * @file From an architecture to its layers as cost models see them, and the counts that follow from them.
 *
 * Whoever builds, prices or exports a network walks its nodes (`expand.ts`) and uses their names; the layers with weights
 * are those of {@link planLayers}.
 */
import { operationCount, Primitive, type LayerDescription } from '../hardware/layer.js';
import { LearnedActivation } from '../nn/activation.js';
import type { OperatorFamily } from '../operators/contract.js';
import { familyNamed } from '../operators/registry.js';
import { type Architecture, BlockKind } from './architecture.js';
import { fixedFamily } from './blocks/ends.js';
import { nodesOf } from './expand.js';
import { NodeKind, type AttentionNode, type LayerNode, type Node } from './nodes.js';

/** Every layer with weights in order of execution. */
export function planLayers(architecture: Architecture): readonly LayerNode[] {
  return nodesOf(architecture).filter((node) => node.kind === NodeKind.Layer);
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
 * layers of arithmetic is two here: `NAME.PRECEDING` and `NAME`. An attention is two products, `NAME.scores` and
 * `NAME.values`, each with one copy for each head.
 */
export function layersOf(architecture: Architecture, familyCost: FamilyCostOf): readonly LayerDescription[] {
  const known = described.get(architecture);
  if (known?.familyCost === familyCost) return known.layers;
  const layers: LayerDescription[] = [];
  for (const node of nodesOf(architecture))
    if (node.kind === NodeKind.Layer) pushLayer(layers, node, familyCost(node.family));
    else if (node.kind === NodeKind.Attention) pushProducts(layers, node, familyCost(fixedFamily));
  described.set(architecture, { familyCost, layers });
  return layers;
}

type FamilyCostOf = (family: string) => FamilyCost;

/** What {@link layersOf} made last of an architecture: every quantity of a budget asks for it. */
const described = new WeakMap<
  Architecture,
  { readonly familyCost: FamilyCostOf; readonly layers: readonly LayerDescription[] }
>();

function pushLayer(layers: LayerDescription[], node: LayerNode, family: FamilyCost): void {
  const { primitive, operandBits, preceding } = family;
  const whole = {
    name: node.name,
    primitive,
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
    operandBits,
  };
  if (preceding === undefined) {
    layers.push(whole);
    return;
  }
  const { outHeight, outWidth, outChannels } = node;
  layers.push(
    {
      ...whole,
      name: precedingName(node.name, preceding),
      primitive: preceding.primitive,
      operandBits: preceding.operandBits,
    },
    { ...whole, inHeight: outHeight, inWidth: outWidth, inChannels: outChannels, stride: 1 },
  );
}

/** Names of the two products of an attention. */
export function productNames(attention: string): { readonly scores: string; readonly values: string } {
  return { scores: `${attention}.scores`, values: `${attention}.values` };
}

function pushProducts(layers: LayerDescription[], node: AttentionNode, { operandBits }: FamilyCost): void {
  const tokens = node.outHeight * node.outWidth;
  const width = node.outChannels / node.heads;
  const { scores, values } = productNames(node.name);
  const product = (name: string, inChannels: number, outChannels: number): LayerDescription => ({
    ...{ name, primitive: Primitive.Multiply, fullyConnected: true, batch: tokens },
    ...{ inHeight: 1, inWidth: 1, inChannels, kernel: 1, outHeight: 1, outWidth: 1, outChannels },
    ...{ stride: 1, groups: 1, copies: node.heads, operandBits },
  });
  layers.push(product(scores, width, tokens), product(values, tokens, width));
}

/**
 * Family of the layer called `layerName`, or of which it is the layer in front; that of fixed layers for the products of
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
  return nodesOf(architecture).reduce((total, node) => total + parametersOf(node), 0);
}

function parametersOf(node: Node): number {
  switch (node.kind) {
    case NodeKind.Layer: {
      const { kernel, inChannels, outChannels, groups, bias } = node;
      const own = (familyNamed(node.family).own ?? []).reduce(
        (sum, { shape }) => sum + shape(node).reduce((product, side) => product * side, 1),
        0,
      );
      return kernel * kernel * (inChannels / groups) * outChannels + own + (bias ? outChannels : 0);
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
      midChannels: scaled(block.midChannels, block.kind === BlockKind.Skip ? factor : midFactor),
      outChannels: scaled(block.outChannels),
    })),
  };
}
