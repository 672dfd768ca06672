/**
 * @file What layers of attention have in common, whatever their rule: queries, keys and values are convolutions of the
 * input with the layer's kernel, stride and groups, each [in -> out], and attention runs over all positions of the
 * output map, in heads (`headsOf`) of the output channels.
 *
 * The weights proper are those of the values, which is where a convolution's are; so in a supernet they share the tensor
 * of the other families. The weights of queries and keys are the layer's own.
 */
import { Primitive, type OperandBits } from '../../hardware/layer.js';
import type { OnnxGraph } from '../../nn/onnx/graph.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { tidy } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import {
  layerInput,
  type LayerGeometry,
  type LayerOnMap,
  type LayerPart,
  type OperatorFamily,
  type OwnTensor,
} from '../contract.js';
import { kaimingNormal } from '../initialisation.js';
import { weightShape } from '../layer.js';
import { identitySharing } from '../sharing.js';
import { productVariance } from '../variance.js';
import { headsOf, overPositions, type AttentionRule } from './core.js';

export const fp32: OperandBits = { weight: 32, activation: 32, partialSum: 32 };

/**
 * Over a map of hundreds of positions attention begins as an average, whose deviation from position to position is
 * small; the batch norm behind the layer divides by it, and so the gradients of queries and keys are very large at first.
 * SGD at a rate that suits the other layers then diverges within an epoch. Their root mean square is therefore held at
 * this, as that of add layers is at 0.2; to AdamW it makes no difference.
 */
const projectionRate = 0.02;

const projection = (name: string): OwnTensor => ({
  name,
  shape: weightShape,
  initialValues: kaimingNormal,
  decay: true,
  adaptiveRate: projectionRate,
});

/** The layer's own tensors, in this order. */
export const queryAndKey: readonly OwnTensor[] = [projection('query'), projection('key')];

/** Own tensor `at`, of a layer or of its export. */
export function ownOf<T>(own: readonly T[] | undefined, at: number): T {
  const found = own?.[at];
  if (found === undefined) throw new Error('a layer of attention needs the tensors beside its weights');
  return found;
}

/** Queries, keys and values of the output map, [N, H', W', out] each. */
export function projections(
  x: Tensor,
  weights: Tensor,
  geometry: LayerGeometry,
  own: readonly Tensor[] | undefined,
): readonly [Tensor, Tensor, Tensor] {
  return [
    conv2d(x, ownOf(own, 0), geometry),
    conv2d(x, ownOf(own, 1), geometry),
    conv2d(x, weights, geometry),
  ];
}

/** Emits the three convolutions and returns the names of their outputs, that of the values last. */
export function lowerProjections(
  graph: OnnxGraph,
  name: string,
  input: string,
  weights: Float32Array,
  geometry: LayerGeometry,
  own: readonly Float32Array[] | undefined,
): readonly [string, string, string] {
  const of = (part: string, values: Float32Array): string =>
    lowerConvolution(graph, `${name}.${part}`, input, values, geometry);
  return [of('query', ownOf(own, 0)), of('key', ownOf(own, 1)), of('value', weights)];
}

/** The three convolutions as they are priced. */
export function projectionParts(layer: LayerOnMap): readonly LayerPart[] {
  const cost = { primitive: Primitive.Multiply, operandBits: fp32, reads: [layerInput] };
  return ['query', 'key', 'value'].map((name) => ({ ...layer, name, ...cost }));
}

/** Positions of the output map, heads, and channels of a head. */
export function headSizes(layer: LayerOnMap): {
  readonly tokens: number;
  readonly heads: number;
  readonly width: number;
} {
  const heads = headsOf(layer.outChannels);
  return { tokens: layer.outHeight * layer.outWidth, heads, width: layer.outChannels / heads };
}

/** A matrix product [rows, depth] x [depth, columns] in every head, of outputs of other parts. */
export function productPart(rows: number, depth: number, columns: number, heads: number) {
  return {
    ...{ fullyConnected: true, batch: rows, inChannels: depth, outChannels: columns },
    ...(heads > 1 && { copies: heads }),
    ...{ inHeight: 1, inWidth: 1, outHeight: 1, outWidth: 1, kernel: 1, stride: 1, groups: 1 },
    weightless: true,
  };
}

/** What tells layers of softmax attention apart, for their export. */
interface SoftmaxKind {
  /** Whether the weights are contracted over the queries. */
  readonly swapped: boolean;
  /** Whether queries and keys are of one length. */
  readonly normalised: boolean;
}

/** A layer whose `rule` multiplies by weights of all positions, by softmax. */
export function softmaxLayer(
  shown: Pick<OperatorFamily, 'name' | 'shortName' | 'title' | 'colour'>,
  rule: AttentionRule,
  { swapped, normalised }: SoftmaxKind,
): OperatorFamily {
  return {
    ...shown,
    initialWeights: kaimingNormal,
    own: queryAndKey,
    forward: (x, weights, geometry, own) =>
      tidy(() => {
        const [q, k, v] = projections(x, weights, geometry, own);
        return overPositions(rule, q, k, v, headsOf(geometry.outChannels));
      }),
    effectiveWeights: (weights) => weights,
    sharing: identitySharing,
    // Of the values; weights of positions that add up to one leave that when one position has them all.
    variance: productVariance(1),
    primitive: Primitive.Multiply,
    operandBits: fp32,
    // As the published tables price it: scores, then values by scores, head by head; softmax is free.
    parts(layer) {
      const { tokens, heads, width } = headSizes(layer);
      const cost = { primitive: Primitive.Multiply, operandBits: fp32 };
      return [
        ...projectionParts(layer),
        { ...productPart(tokens, width, tokens, heads), ...cost, name: 'scores', reads: ['query', 'key'] },
        { ...productPart(width, tokens, tokens, heads), ...cost, reads: ['scores', 'value'] },
      ];
    },
    lower(graph, name, input, weights, geometry, own) {
      const heads = headsOf(geometry.outChannels);
      const width = geometry.outChannels / heads;
      const [q, k, v] = lowerProjections(graph, name, input, weights, geometry, own);
      const split = graph.initializer(
        `${name}.heads`,
        [4],
        BigInt64Array.of(0n, BigInt(heads), BigInt(width), -1n),
      );
      // [N, heads, C, T]: the positions stand last, as on the map.
      const inHeads = (of: string, part: string): string =>
        graph.node('Reshape', [of, split], {}, { name: `${name}.${part}.heads` });
      // Of length 1 if anything: the factor of the scores makes up for the rest.
      const compared = (of: string, part: string): string => {
        const rows = inHeads(of, part);
        if (!normalised) return rows;
        const attributes = { axis: { int: 2 }, p: { int: 2 } };
        return graph.node('LpNormalization', [rows], attributes, { name: `${name}.${part}.unit` });
      };
      const turned = (of: string, part: string): string =>
        graph.node('Transpose', [of], { perm: { ints: [0, 1, 3, 2] } }, { name: `${name}.${part}.turned` });
      const scale = graph.initializer(
        `${name}.scale`,
        [1],
        Float32Array.of(normalised ? Math.sqrt(width) : 1 / Math.sqrt(width)),
      );
      const queries = graph.node(
        'Mul',
        [turned(compared(q, 'query'), 'query'), scale],
        {},
        { name: `${name}.scaled` },
      );
      const scores = graph.node('MatMul', [queries, compared(k, 'key')], {}, { name: `${name}.scores` });
      const shares = graph.node('Softmax', [scores], { axis: { int: -1 } }, { name: `${name}.shares` });
      const by = swapped ? shares : turned(shares, 'shares');
      const attended = graph.node('MatMul', [inHeads(v, 'value'), by], {}, { name });
      return graph.node(
        'Reshape',
        [attended, graph.node('Shape', [v], {}, { name: `${name}.shape` })],
        {},
        { name: `${name}.onMap` },
      );
    },
  };
}
