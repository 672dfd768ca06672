/**
 * @file What a node of a stand-alone network is made of: its parameters and state, its forward pass, its lowering.
 */
import { Random } from '../base/random.js';
import { activationOf, LearnedActivation } from '../nn/activation.js';
import { BatchNorm } from '../nn/batch-norm.js';
import { Bias } from '../nn/bias.js';
import { dropout } from '../nn/dropout.js';
import { KWinners } from '../nn/k-winners.js';
import { LayerNorm } from '../nn/layer-norm.js';
import { Linear } from '../nn/linear.js';
import { lowerMapAttention, mapAttention } from '../nn/map-attention.js';
import { Mode, type Parameter, type StateBuffer } from '../nn/module.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import {
  lowerAdd,
  lowerFlatten,
  lowerGlobalAveragePool,
  lowerPool,
  lowerRelu,
  lowerTranspose,
  toChannelsLast,
} from '../nn/onnx/layers.js';
import { PositionEmbedding } from '../nn/position-embedding.js';
import { PowerActivation } from '../nn/power-activation.js';
import { RPRelu } from '../nn/rprelu.js';
import { overPositions, swappedAttention } from '../operators/attention/core.js';
import { OperatorLayer } from '../operators/layer.js';
import { familyNamed } from '../operators/registry.js';
import { add, mul } from '../tensor/ops/binary.js';
import { averagePool, globalAveragePool, maxPool } from '../tensor/ops/pooling.js';
import { reshape } from '../tensor/ops/reshape.js';
import { at, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { fixedFamily } from './blocks/ends.js';
import type { ForwardOptions } from './execute.js';
import {
  NodeKind,
  type BatchNormNode,
  type DropoutNode,
  type FeatureMap,
  type JoinNode,
  type KWinnersNode,
  type LayerNode,
  type Node,
} from './nodes.js';

/** The two forms that a value has in an ONNX graph. */
export enum Form {
  /** [N, C, H, W]. */
  Map = 'map',
  /** [N, C], what linear layers take and make there. */
  Vector = 'vector',
}

export interface NodeModule {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  forward(inputs: readonly Tensor[], mode: Mode, options: ForwardOptions): Tensor;
  /** Form in which it takes its inputs; absent: in any. */
  readonly takes?: Form;
  /** Form of its output; absent: that of its input. */
  readonly makes?: Form;
  lower(graph: OnnxGraph, inputs: readonly string[]): string;
  /** The layer of an operator family that it holds. */
  readonly layer?: OperatorLayer;
  readonly linear?: Linear;
  readonly norm?: BatchNorm;
}

/** The module of a node, with fresh parameters from `random`. */
export function moduleOf(node: Node, random: Random): NodeModule {
  const { name } = node;
  switch (node.kind) {
    case NodeKind.Layer:
      return layerModule(node, random);
    case NodeKind.BatchNorm: {
      const norm = batchNormOf(node, name);
      return { ...unary(norm, (x, mode) => norm.forward(x, mode)), norm };
    }
    case NodeKind.LayerNorm: {
      const norm = new LayerNorm(name, node.outChannels);
      return { ...unary(norm, (x) => norm.forward(x)), takes: Form.Map };
    }
    case NodeKind.Position: {
      const position = new PositionEmbedding(name, mapOf(node), random);
      return { ...unary(position, (x) => position.forward(x)), takes: Form.Map };
    }
    case NodeKind.Activation:
      if (node.activation === LearnedActivation.RPRelu) {
        const activation = new RPRelu(name, node.outChannels);
        return { ...unary(activation, (x) => activation.forward(x)), takes: Form.Map };
      }
      if (node.activation === LearnedActivation.Power) {
        const activation = new PowerActivation(name);
        return unary(activation, (x) => activation.forward(x));
      }
      return statelessOf(node)!;
    case NodeKind.KWinners:
      return kWinnersModule(node);
    default:
      return statelessOf(node)!;
  }
}

/** The batch norm of a node, fresh, under a name of the caller's. */
export function batchNormOf({ outChannels, relu, gamma }: BatchNormNode, name: string): BatchNorm {
  return new BatchNorm(name, outChannels, relu, gamma);
}

function mapOf({ outHeight, outWidth, outChannels }: Node): FeatureMap {
  return { height: outHeight, width: outWidth, channels: outChannels };
}

/** Pooling whose last windows hang over the map; what is outside counts for nothing. */
function lowerOverhanging(
  graph: OnnxGraph,
  name: string,
  input: string,
  op: 'MaxPool' | 'AveragePool',
  { kernel, stride, padding }: { readonly kernel: number; readonly stride: number; readonly padding: number },
): string {
  const attributes = {
    kernel_shape: { ints: [kernel, kernel] },
    strides: { ints: [stride, stride] },
    pads: { ints: [padding, padding, padding, padding] },
    ceil_mode: { int: 1 },
  };
  return graph.node(op, [input], attributes, { name });
}

/** The module of a node that has neither parameters nor state; undefined for a node of another kind. */
export function statelessOf(node: Node): NodeModule | undefined {
  const { name } = node;
  switch (node.kind) {
    case NodeKind.Activation: {
      if (node.activation === LearnedActivation.RPRelu || node.activation === LearnedActivation.Power)
        return undefined;
      const { forward, lower } = activationOf(node.activation);
      return plain(name, forward, (graph, input) => lower(graph, name, input));
    }
    case NodeKind.Dropout:
      return dropoutModule(node);
    case NodeKind.Join:
      return joinModule(node);
    case NodeKind.MaxPool:
    case NodeKind.AveragePool: {
      const { kernel, stride, padding, overhang } = node;
      const window = { kernel, stride, padding, overhang };
      const largest = node.kind === NodeKind.MaxPool;
      const op = largest ? 'MaxPool' : 'AveragePool';
      const forward = largest
        ? maxPool
        : (x: Tensor, options: typeof window) => averagePool(x, { ...options, countPadding: !overhang });
      return {
        ...plain(
          name,
          (x) => forward(x, window),
          (graph, input) =>
            overhang
              ? lowerOverhanging(graph, name, input, op, window)
              : lowerPool(graph, name, input, { op, ...window }),
        ),
        takes: Form.Map,
      };
    }
    case NodeKind.GlobalPool:
      return {
        ...plain(name, globalAveragePool, (graph, input) => lowerGlobalAveragePool(graph, name, input)),
        takes: Form.Map,
      };
    case NodeKind.Flatten:
      return {
        ...plain(
          name,
          (x) => reshape(x, [x.shape[0]!, 1, 1, node.outChannels]),
          (graph, input) =>
            lowerFlatten(graph, name, lowerTranspose(graph, `${name}.channelsLast`, input, toChannelsLast)),
        ),
        takes: Form.Map,
        makes: Form.Vector,
      };
    case NodeKind.Attention: {
      const { heads, swapped } = node;
      return {
        ...stateless,
        takes: Form.Map,
        forward: ([q, k, v]) =>
          at(name, () =>
            swapped ? overPositions(swappedAttention, q!, k!, v!, heads) : mapAttention(q!, k!, v!, heads),
          ),
        lower: (graph, [q, k, v]) =>
          lowerMapAttention(graph, name, [q!, k!, v!], { ...mapOf(node), heads }, swapped),
      };
    }
    case NodeKind.Scale:
      return {
        ...stateless,
        takes: Form.Map,
        forward: ([map, factors]) => at(name, () => mul(map!, factors!)),
        lower: (graph, [map, factors]) => graph.node('Mul', [map!, factors!], {}, { name }),
      };
    case NodeKind.Mean:
      return {
        ...stateless,
        forward: ([a, b]) =>
          at(name, () => tidy(() => mul(add(a!, b!), Tensor.view([1], Float32Array.of(0.5))))),
        lower: (graph, inputs) => graph.node('Mean', inputs, {}, { name }),
      };
    default:
      return undefined;
  }
}

const stateless = { parameters: [], buffers: [] };

/** A module of one input that is the same in every mode and has no parameters. */
function plain(
  name: string,
  forward: (x: Tensor) => Tensor,
  lower: (graph: OnnxGraph, input: string) => string,
): NodeModule {
  return {
    ...stateless,
    forward: ([x]) => at(name, () => forward(x!)),
    lower: (graph, [input]) => lower(graph, input!),
  };
}

function unary(
  module: Pick<NodeModule, 'parameters' | 'buffers'> & { lower(graph: OnnxGraph, input: string): string },
  forward: (x: Tensor, mode: Mode) => Tensor,
): NodeModule {
  const { parameters, buffers } = module;
  return {
    ...{ parameters, buffers },
    forward: ([x], mode) => forward(x!, mode),
    lower: (graph, [input]) => module.lower(graph, input!),
  };
}

/** Whether a layer is a plain linear one, which no operator family makes. */
export function isLinear({ fullyConnected, bias, maskable = false, family }: LayerNode): boolean {
  return fullyConnected && bias && !maskable && family === fixedFamily;
}

function layerModule(node: LayerNode, random: Random): NodeModule {
  const { name, bias: biased, inChannels, outChannels } = node;
  if (isLinear(node)) {
    const linear = new Linear(name, inChannels, outChannels, random);
    return { ...unary(linear, (x) => at(name, () => linear.forward(x))), linear, makes: Form.Vector };
  }
  const layer = new OperatorLayer(name, familyNamed(node.family), node, random);
  const bias = biased ? new Bias(name, outChannels) : undefined;
  return {
    parameters: [...layer.parameters, ...(bias?.parameters ?? [])],
    buffers: [],
    layer,
    takes: Form.Map,
    makes: Form.Map,
    forward([x]) {
      const y = layer.forward(x!);
      return bias === undefined ? y : at(name, () => bias.forward(y));
    },
    lower(graph, [input]) {
      const y = layer.lower(graph, input!);
      return bias === undefined ? y : bias.lower(graph, y);
    },
  };
}

function joinModule({ name, relu }: JoinNode): NodeModule {
  return {
    ...stateless,
    takes: Form.Map,
    forward: ([a, b]) => at(name, () => add(a!, b!, { relu })),
    lower(graph, [a, b]) {
      const sum = lowerAdd(graph, name, a!, b!);
      // The ReLU of a block is called after the block: `stage0.block0.relu` behind `stage0.block0.join`.
      return relu ? lowerRelu(graph, name.replace(/join(?=[^.]*$)/, 'relu'), sum) : sum;
    },
  };
}

function kWinnersModule(node: KWinnersNode): NodeModule {
  const { name, settings } = node;
  const winners = new KWinners(name, mapOf(node), settings);
  const { parameters, buffers } = winners;
  return {
    ...{ parameters, buffers },
    takes: Form.Map,
    forward([x], mode, { chance }) {
      if (mode === Mode.Training && chance === undefined)
        throw new Error(`${name}: k winners need the step (ForwardOptions.chance)`);
      const { step = 0, stepsPerEpoch = Infinity } = chance ?? {};
      return at(name, () => winners.forward(x!, mode, Math.floor(step / stepsPerEpoch)));
    },
    lower: (graph, [input]) => winners.lower(graph, input!),
  };
}

function dropoutModule({ name, rate }: DropoutNode): NodeModule {
  return {
    ...stateless,
    forward([x], mode, { chance }) {
      if (mode !== Mode.Training) return x!;
      if (chance === undefined)
        throw new Error(`${name}: dropout needs the chance of the step (ForwardOptions.chance)`);
      const random = Random.stream(chance.seed, 'dropout', chance.step, name);
      return at(name, () => dropout(x!, rate, random));
    },
    lower: (_graph, [input]) => input!,
  };
}
