/**
 * @file What attention layers of every kind compute of their queries, keys and values.
 *
 * Queries, keys and values are tokens [N, T, C] (a map's positions in rows, by {@link overPositions}), whose channels
 * stand in heads. `softmax` is the attention of Vaswani et al. (NIPS 2017), `normalised` the same of queries and keys of one
 * length. `swapped` is that of the released code of
 * ShiftAddNAS, which contracts the other axis of the weights. `linearBinary` is that of ShiftAddViT (NeurIPS'23, arXiv
 * 2306.06446): queries and keys of zeros and ones, so that both products are sums of chosen rows, and (by
 * Q (K' V) = (Q K') V) no square of the tokens.
 */
import { kernels } from '../../tensor/device.js';
import { BinaryKind, UnaryKind } from '../../tensor/kinds.js';
import { attention, softmax } from '../../tensor/ops/attention.js';
import { add, div, mul } from '../../tensor/ops/binary.js';
import { joinHeads, splitHeads } from '../../tensor/ops/heads.js';
import { reshape } from '../../tensor/ops/reshape.js';
import { matmul } from '../../tensor/ops/matmul.js';
import { sum } from '../../tensor/ops/reduction.js';
import { clamp, sqrt, square } from '../../tensor/ops/unary.js';
import { release, take } from '../../tensor/pool.js';
import { contribute, record, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';

/** Channels of a head wherever they divide those of the layer (ShiftAddNAS, and most vision transformers). */
const widestHead = 64;
/** Narrower heads have too few channels to tell positions apart. */
const narrowestHead = 16;

/**
 * Heads of a layer: of 64 channels where they divide its channels, else of the most channels from 16 to 63 that do, else
 * one head of them all.
 */
export function headsOf(channels: number): number {
  for (let width = widestHead; width >= narrowestHead; width--)
    if (channels % width === 0) return channels / width;
  return 1;
}

/** What comes of q, k and v, each [N, T, C]: [N, T, C]. */
export type AttentionRule = (q: Tensor, k: Tensor, v: Tensor, heads: number) => Tensor;

/** softmax(q k' / sqrt(C / heads)) v in each head. @throws ShapeError */
export const softmaxAttention: AttentionRule = (q, k, v, heads) => attention(q, k, v, { heads });

/**
 * As {@link softmaxAttention}, each query and key in each head first brought to the length sqrt(C / heads), at which its
 * channels have a root mean square of 1: the scores are sqrt(C / heads) times a cosine. (Query-key normalisation, Henry et
 * al., EMNLP Findings 2020, arXiv 2010.04245, which learns the factor; here it is fixed.) @throws ShapeError
 */
export const normalisedAttention: AttentionRule = (q, k, v, heads) =>
  tidy(() => {
    const unit = (x: Tensor): Tensor => joinHeads(unitRows(splitHeads(x, heads)), heads);
    return attention(unit(q), unit(k), v, { heads, scale: Math.sqrt((q.shape.at(-1) as number) / heads) });
  });

/**
 * As {@link softmaxAttention}, but P' v in the place of P v for the weights P = softmax(q k' / sqrt(C / heads)): an output
 * is made of the values of all queries, by weights that do not sum to 1. So the networks of ShiftAddNAS were trained.
 * @throws ShapeError
 */
export const swappedAttention: AttentionRule = (q, k, v, heads) =>
  tidy(() => {
    const scale = 1 / Math.sqrt((q.shape.at(-1) as number) / heads);
    const [ofQueries, ofKeys, ofValues] = [q, k, v].map((x) => splitHeads(x, heads)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const weights = softmax(times(matmul(ofQueries, ofKeys, { transposeB: true }), scale));
    return joinHeads(matmul(weights, ofValues, { transposeA: true }), heads);
  });

/**
 * v / 2 + (1 / pi) b(q) (b(k)' v) in each head, each token of a head then divided by its Euclidean length; b makes of
 * queries and keys zeros and ones, see {@link aboveMean}, after the same division. The 1 / pi and 1 / 2 are the first
 * terms of the angular kernel 1/2 + asin(q k) / pi. @throws ShapeError
 */
export const linearBinaryAttention: AttentionRule = (q, k, v, heads) =>
  tidy(() => {
    const bits = (x: Tensor): Tensor => aboveMean(unitRows(splitHeads(x, heads)), heads);
    return joinHeads(unitRows(linearKernel(bits(q), bits(k), splitHeads(v, heads))), heads);
  });

/** v / 2 + (1 / pi) q (k' v), item by item: q, k [N, T, C], v [N, T, D] -> [N, T, D]. @throws ShapeError */
export function linearKernel(q: Tensor, k: Tensor, v: Tensor): Tensor {
  return tidy(() => {
    const reached = matmul(q, matmul(k, v, { transposeA: true }));
    return add(times(v, 0.5), times(reached, 1 / Math.PI));
  });
}

/** `rule` over the positions of maps [N, H, W, C]: [N, H, W, C]. @throws ShapeError */
export function overPositions(rule: AttentionRule, q: Tensor, k: Tensor, v: Tensor, heads: number): Tensor {
  return tidy(() => {
    const rows = ({ shape }: Tensor): readonly number[] => [
      shape[0] as number,
      (shape[1] as number) * (shape[2] as number),
      shape[3] as number,
    ];
    const of = (map: Tensor): Tensor => reshape(map, rows(map));
    return reshape(rule(of(q), of(k), of(v), heads), v.shape);
  });
}

/** Lengths below this count as it, as in PyTorch's `normalize`. */
const leastLength = 1e-12;

/** Every row of x, its last axis, divided by its Euclidean length. */
export function unitRows(x: Tensor): Tensor {
  return tidy(() => {
    const squares = sum(square(x), { axes: [-1], keepDims: true });
    return div(x, sqrt(clamp(squares, leastLength ** 2, Infinity)));
  });
}

/**
 * 1 where x [N * heads, T, C] is above the mean over all heads of its item, else 0. The release takes the mean of the
 * whole batch, by which a prediction would depend on its neighbours; of a single image they are the same. The gradient
 * passes where x lies from 0 to 1 (straight-through over a clip), and the mean has none.
 */
export function aboveMean(x: Tensor, heads: number): Tensor {
  return record(
    'aboveMean',
    [x],
    x.shape,
    (y) => {
      const items = (x.shape[0] as number) / heads;
      const reduced = x.size / items;
      const means = take(items);
      kernels().reduceSum({ outer: items, reduced, inner: 1 }, 1 / reduced, x.data, means);
      const axes = [
        { extent: items, a: true, b: true },
        { extent: reduced, a: true, b: false },
      ];
      kernels().binary(BinaryKind.Subtract, axes, x.data, means, y);
      kernels().unary(UnaryKind.Sign, 0, 0, y, y);
      kernels().relu(y, y);
      release(means);
    },
    (dy) => contribute(x, (dx) => kernels().unaryGradient(UnaryKind.Clamp, 0, 1, x.data, dy, dx)),
    { tensors: [x], output: false },
  );
}

const times = (x: Tensor, factor: number): Tensor => mul(x, Tensor.view([1], Float32Array.of(factor)));
