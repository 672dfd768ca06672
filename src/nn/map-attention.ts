/**
 * @file Multi-head attention between the positions of three maps: softmax(q k' / sqrt(d)) v in equal parts of the channels
 * (Vaswani et al., NIPS 2017). The projections are layers of their own.
 */
import { attention } from '../tensor/ops/attention.js';
import { reshape } from '../tensor/ops/reshape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { OnnxGraph } from './onnx/graph.js';
import { lowerReshape, lowerTranspose } from './onnx/layers.js';

/** q, k, v [N, H, W, C] -> [N, H, W, C of v]. */
export function mapAttention(q: Tensor, k: Tensor, v: Tensor, heads: number): Tensor {
  const tokens = (x: Tensor): Tensor => {
    const [batch, height, width, channels] = x.shape as [number, number, number, number];
    return reshape(x, [batch, height * width, channels]);
  };
  const y = attention(tokens(q), tokens(k), tokens(v), { heads });
  return reshape(y, [...q.shape.slice(0, 3), v.shape[3] as number]);
}

/** Sizes of the maps of an attention, equal for queries, keys and values. */
export interface AttentionMap {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly heads: number;
}

/**
 * The same over [N, C, H, W], whose products are `NAME.scores` and `NAME.values`; `swapped` sums the values over the queries
 * instead of the keys.
 */
export function lowerMapAttention(
  graph: OnnxGraph,
  name: string,
  [q, k, v]: readonly [string, string, string],
  { height, width, channels, heads }: AttentionMap,
  swapped = false,
): string {
  const headChannels = channels / heads;
  // [N, heads, channels of a head, tokens]; 0 keeps the batch.
  const split = (of: string, input: string): string =>
    lowerReshape(graph, `${name}.${of}`, input, [0, heads, headChannels, height * width]);
  const queries = lowerTranspose(graph, `${name}.queriesByToken`, split('queries', q), [0, 1, 3, 2]);
  const scores = graph.node('MatMul', [queries, split('keys', k)], {}, { name: `${name}.scores` });
  const scale = graph.initializer(`${name}.scale`, [], Float32Array.of(1 / Math.sqrt(headChannels)));
  const scaled = graph.node('Mul', [scores, scale], {}, { name: `${name}.scaled` });
  const weights = graph.node('Softmax', [scaled], { axis: { int: -1 } }, { name: `${name}.weights` });
  const byKey = swapped ? weights : lowerTranspose(graph, `${name}.weightsByKey`, weights, [0, 1, 3, 2]);
  const values = graph.node('MatMul', [split('valuesOfHeads', v), byKey], {}, { name: `${name}.values` });
  return lowerReshape(graph, name, values, [0, channels, height, width]);
}
