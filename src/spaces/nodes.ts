/**
 * @file The one intermediate form of a network: a flat list of nodes in order of execution, each naming its inputs.
 *
 * An architecture expands to it (`expand.ts`, `blocks/`), and whoever runs, prices, counts, plans or exports a network
 * walks it and knows nothing of blocks. Every value is a map [N, height, width, channels]; tokens are positions of a map,
 * and a vector is a map of 1x1. A node and the value it makes have one name.
 */
import { ActivationKind, type LearnedActivation } from '../nn/activation.js';
import type { KWinnersSettings } from '../nn/k-winners.js';

/** The value that every network begins with. */
export const inputName = 'input';

export enum NodeKind {
  /** Weights of an operator family over a map; the one kind that has a family. */
  Layer = 'layer',
  /** Batch normalisation, ReLU included where it follows. */
  BatchNorm = 'batchNorm',
  /** Normalisation of each position over its channels. */
  LayerNorm = 'layerNorm',
  Activation = 'activation',
  /** The largest values of a map stay, the others are zero. */
  KWinners = 'kWinners',
  /** Sum of two maps, ReLU included where it follows. */
  Join = 'join',
  MaxPool = 'maxPool',
  AveragePool = 'averagePool',
  /** The mean over the map. */
  GlobalPool = 'globalPool',
  /** A map as a vector, row by row, channels innermost. */
  Flatten = 'flatten',
  Dropout = 'dropout',
  /** softmax(q k' / sqrt(d)) v over the positions of three maps, in heads of the channels. */
  Attention = 'attention',
  /** A learned value added at each position and channel. */
  Position = 'position',
  /** A map times a vector, channel by channel. */
  Scale = 'scale',
  /** The mean of two maps. */
  Mean = 'mean',
}

export interface FeatureMap {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

interface NodeBase {
  readonly name: string;
  readonly inputs: readonly string[];
  /** Index into `architecture.blocks`; null for stem and classifier. */
  readonly block: number | null;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly outChannels: number;
}

/** One layer with weights: its place, shape and family. Weights are [kernel, kernel, inChannels / groups, outChannels]. */
export interface LayerNode extends NodeBase {
  readonly kind: NodeKind.Layer;
  readonly family: string;
  /** A linear layer over vectors. */
  readonly fullyConnected: boolean;
  readonly bias: boolean;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly kernel: number;
  readonly stride: number;
  /** Zeros on each side. */
  readonly padding: number;
  readonly groups: number;
  /** No value that it reads is ever negative: {@link neverNegative}. */
  readonly nonNegativeInput: boolean;
  /** A layer of its family, whose terms can be left out, where a plain linear layer would do. */
  readonly maskable?: boolean;
}

export interface BatchNormNode extends NodeBase {
  readonly kind: NodeKind.BatchNorm;
  readonly relu: boolean;
  /** What its scales start at. */
  readonly gamma: number;
}

export interface ActivationNode extends NodeBase {
  readonly kind: NodeKind.Activation;
  readonly activation: ActivationKind | LearnedActivation;
}

export interface KWinnersNode extends NodeBase {
  readonly kind: NodeKind.KWinners;
  readonly settings: KWinnersSettings;
}

export interface JoinNode extends NodeBase {
  readonly kind: NodeKind.Join;
  readonly relu: boolean;
}

export interface PoolNode extends NodeBase {
  readonly kind: NodeKind.MaxPool | NodeKind.AveragePool;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  /** Whether the last windows hang over the map; what is outside does not count. */
  readonly overhang: boolean;
}

export interface DropoutNode extends NodeBase {
  readonly kind: NodeKind.Dropout;
  /** Share of the values that become zero in training, below 1. */
  readonly rate: number;
}

export interface AttentionNode extends NodeBase {
  readonly kind: NodeKind.Attention;
  readonly heads: number;
  /** The product with the values runs over the queries, as in the released code of ShiftAddNAS. */
  readonly swapped: boolean;
}

export interface PlainNode extends NodeBase {
  readonly kind:
    | NodeKind.LayerNorm
    | NodeKind.GlobalPool
    | NodeKind.Flatten
    | NodeKind.Position
    | NodeKind.Scale
    | NodeKind.Mean;
}

export type Node =
  | LayerNode
  | BatchNormNode
  | ActivationNode
  | KWinnersNode
  | JoinNode
  | PoolNode
  | DropoutNode
  | AttentionNode
  | PlainNode;

/** What a layer may say; the rest is that of a 1x1 layer without bias. */
export interface LayerOptions {
  readonly family: string;
  readonly outChannels: number;
  readonly kernel?: number;
  readonly stride?: number;
  /** Default (kernel - 1) / 2, 'same' for odd kernels and stride 1. */
  readonly padding?: number;
  readonly groups?: number;
  readonly bias?: boolean;
  readonly fullyConnected?: boolean;
  /** {@link LayerNode.maskable} */
  readonly maskable?: boolean;
}

/** Square windows; they do not overlap when nothing else is said. */
export interface PoolOptions {
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  /** Whether the last windows may hang over the map, so that nothing of it is left out. */
  readonly overhang?: boolean;
}

/**
 * A list of nodes under construction. The search expands thousands of architectures a second, hence the plain literals of
 * the nodes that its blocks have. Every method adds one and returns its name.
 */
export class NodeList {
  readonly nodes: Node[] = [];
  /** Block of the nodes that are added. */
  block: number | null = null;
  readonly #maps = new Map<string, FeatureMap>();
  readonly #neverNegative = new Set<string>();

  constructor(input: FeatureMap) {
    this.#maps.set(inputName, input);
  }

  /** Map of a value. */
  mapOf(name: string): FeatureMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no node makes '${name}'`);
    return map;
  }

  layer(name: string, from: string, options: LayerOptions): string {
    const { family, outChannels, kernel = 1, stride = 1, groups = 1 } = options;
    const { padding = (kernel - 1) / 2, bias = false, fullyConnected = false, maskable = false } = options;
    const { height, width, channels } = this.mapOf(from);
    return this.#add({
      kind: NodeKind.Layer,
      name,
      inputs: [from],
      family,
      block: this.block,
      fullyConnected,
      bias,
      inHeight: height,
      inWidth: width,
      inChannels: channels,
      kernel,
      stride,
      padding,
      groups,
      nonNegativeInput: this.#neverNegative.has(from),
      outHeight: windows(height, kernel, stride, padding),
      outWidth: windows(width, kernel, stride, padding),
      outChannels,
      ...(maskable && { maskable }),
    });
  }

  /** `NAME.norm` behind the layer NAME. */
  batchNorm(layer: string, relu = false, gamma = 1): string {
    const { height, width, channels } = this.mapOf(layer);
    return this.#add({
      kind: NodeKind.BatchNorm,
      name: `${layer}.norm`,
      inputs: [layer],
      block: this.block,
      outHeight: height,
      outWidth: width,
      outChannels: channels,
      relu,
      gamma,
    });
  }

  join(name: string, a: string, b: string, relu = false): string {
    const { height, width, channels } = this.mapOf(a);
    return this.#add({
      kind: NodeKind.Join,
      name,
      inputs: [a, b],
      block: this.block,
      outHeight: height,
      outWidth: width,
      outChannels: channels,
      relu,
    });
  }

  layerNorm(name: string, from: string): string {
    return this.#add({ kind: NodeKind.LayerNorm, ...this.#same(name, [from]) });
  }

  activation(name: string, from: string, activation: ActivationNode['activation']): string {
    return this.#add({ kind: NodeKind.Activation, ...this.#same(name, [from]), activation });
  }

  kWinners(name: string, from: string, settings: KWinnersSettings): string {
    return this.#add({ kind: NodeKind.KWinners, ...this.#same(name, [from]), settings });
  }

  pool(
    kind: NodeKind.MaxPool | NodeKind.AveragePool,
    name: string,
    from: string,
    { kernel, stride = kernel, padding = 0, overhang = false }: PoolOptions,
  ): string {
    const { height, width } = this.mapOf(from);
    const behind = overhang ? stride - 1 : 0;
    const outHeight = windows(height + behind, kernel, stride, padding);
    const outWidth = windows(width + behind, kernel, stride, padding);
    const hangs =
      outHeight > windows(height, kernel, stride, padding) ||
      outWidth > windows(width, kernel, stride, padding);
    const map = { ...this.#same(name, [from]), outHeight, outWidth };
    return this.#add({ kind, ...map, kernel, stride, padding, overhang: hangs });
  }

  globalPool(name: string, from: string): string {
    return this.#vector(NodeKind.GlobalPool, name, from, this.mapOf(from).channels);
  }

  /** `from` itself where that is a vector already. */
  flatten(name: string, from: string): string {
    const { height, width, channels } = this.mapOf(from);
    return height * width === 1
      ? from
      : this.#vector(NodeKind.Flatten, name, from, height * width * channels);
  }

  dropout(name: string, from: string, rate: number): string {
    return this.#add({ kind: NodeKind.Dropout, ...this.#same(name, [from]), rate });
  }

  attention(name: string, q: string, k: string, v: string, heads: number, swapped = false): string {
    return this.#add({ kind: NodeKind.Attention, ...this.#same(name, [q, k, v]), heads, swapped });
  }

  /** `map` times the 1x1 map `factors` of as many channels. */
  scale(name: string, map: string, factors: string): string {
    return this.#add({ kind: NodeKind.Scale, ...this.#same(name, [factors, map]), inputs: [map, factors] });
  }

  mean(name: string, a: string, b: string): string {
    return this.#add({ kind: NodeKind.Mean, ...this.#same(name, [a, b]) });
  }

  position(name: string, from: string): string {
    return this.#add({ kind: NodeKind.Position, ...this.#same(name, [from]) });
  }

  #vector(kind: PlainNode['kind'], name: string, from: string, outChannels: number): string {
    return this.#add({ kind, ...this.#same(name, [from]), outHeight: 1, outWidth: 1, outChannels });
  }

  /** A node whose map is that of its last input. */
  #same(name: string, inputs: readonly string[]): NodeBase {
    const { height, width, channels } = this.mapOf(inputs.at(-1)!);
    return { name, inputs, block: this.block, outHeight: height, outWidth: width, outChannels: channels };
  }

  #add(node: Node): string {
    const { name, outHeight, outWidth, outChannels } = node;
    this.nodes.push(node);
    this.#maps.set(name, { height: outHeight, width: outWidth, channels: outChannels });
    if (neverNegative(node, this.#neverNegative)) this.#neverNegative.add(name);
    return name;
  }
}

/** Whether no value that a node makes is ever negative, given the values of which that is known. */
export function neverNegative(node: Node, known: ReadonlySet<string>): boolean {
  switch (node.kind) {
    case NodeKind.BatchNorm:
      return node.relu;
    case NodeKind.Activation:
      return fromZero.has(node.activation);
    case NodeKind.Join:
      return node.relu || node.inputs.every((name) => known.has(name));
    case NodeKind.Layer:
    case NodeKind.LayerNorm:
    case NodeKind.Attention:
    case NodeKind.Position:
      return false;
    case NodeKind.KWinners:
    case NodeKind.MaxPool:
    case NodeKind.AveragePool:
    case NodeKind.GlobalPool:
    case NodeKind.Flatten:
    case NodeKind.Dropout:
    case NodeKind.Scale:
    case NodeKind.Mean:
      return node.inputs.every((name) => known.has(name));
  }
}

const fromZero: ReadonlySet<ActivationNode['activation']> = new Set([
  ...[ActivationKind.Relu, ActivationKind.Relu6, ActivationKind.Sigmoid],
]);

/** Windows along one side of a map. */
function windows(side: number, kernel: number, stride: number, padding: number): number {
  return Math.floor((side + 2 * padding - kernel) / stride) + 1;
}
