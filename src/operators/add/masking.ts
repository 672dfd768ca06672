/**
 * @file Leaving terms out of an add layer. No weight makes |x - w| vanish: with w = 0 the term is |x|. So
 *
 *     - sum over kept |x - w|  =  - sum over all |x - w m|  +  conv(|x|, 1 - m)
 *
 * with the mask m, exactly: a layer of the family and a convolution with a filter of ones and zeros, for training and
 * export. The rules of the gradient hold for the kept terms alone: |x| passes dx = dy clamp(x, -1, 1), by which the
 * clamped gradient of a removed term cancels.
 *
 * What matters of a term. A batch norm behind the layer takes out what is constant, so a term contributes by how much it
 * varies, and the smallest change is made by removing that of the smallest variance over the inputs. (The magnitude of
 * the weight says nothing here: |x - w| varies as much as x where w is far from all inputs, and least where w lies in
 * their midst.) The variance of |x_c - w| is taken over the inputs of the step, all positions of channel c, borders aside.
 */
import { lowerAdd, lowerConvolution } from '../../nn/onnx/layers.js';
import { kernels } from '../../tensor/device.js';
import { BinaryKind, UnaryKind } from '../../tensor/kinds.js';
import { add as sum, mul } from '../../tensor/ops/binary.js';
import { conv2d, l1Conv2d } from '../../tensor/ops/convolution.js';
import { contribute, record, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry, Masking, OperatorFamily } from '../contract.js';
import { lowerL1 } from './onnx.js';

/** |x| with the gradient that AdderNet gives the input of a term whose weight is 0: dx = dy clamp(x, -1, 1). */
export function clampedAbs(x: Tensor): Tensor {
  return record(
    'clampedAbs',
    [x],
    x.shape,
    (y) => kernels().unary(UnaryKind.Absolute, 0, 0, x.data, y),
    (dy) =>
      contribute(x, (dx) => {
        kernels().unary(UnaryKind.Clamp, -1, 1, x.data, dx);
        kernels().binary(BinaryKind.Multiply, [{ extent: dx.length, a: true, b: true }], dx, dy, dx);
      }),
    { tensors: [x], output: false },
  );
}

/** Of at most so many inputs a channel the variances are taken. */
const largestSample = 4096;

/** Variance of |x - w| over `sorted` inputs x, for any w: by running sums, in the time of a binary search. */
export function distanceVariance(sorted: Float64Array): (w: number) => number {
  const count = sorted.length;
  const sums = new Float64Array(count + 1);
  let squares = 0;
  sorted.forEach((x, i) => {
    sums[i + 1] = (sums[i] as number) + x;
    squares += x * x;
  });
  const total = sums[count] as number;
  return (w) => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as number) < w) low = middle + 1;
      else high = middle;
    }
    const below = sums[low] as number;
    const mean = (w * low - below + (total - below) - w * (count - low)) / count;
    const square = squares / count - (2 * w * total) / count + w * w;
    return Math.max(0, square - mean * mean);
  };
}

/** The inputs of each channel of x, NHWC, in ascending order; every n-th where there are many. */
function sortedChannels(x: Float32Array, channels: number): readonly Float64Array[] {
  const positions = x.length / channels;
  const stride = Math.ceil(positions / largestSample);
  return Array.from({ length: channels }, (_, c) =>
    Float64Array.from(
      { length: Math.floor((positions - 1) / stride) + 1 },
      (_, i) => x[i * stride * channels + c] as number,
    ).sort(),
  );
}

function removed(mask: Float32Array): Float32Array {
  return mask.map((kept) => 1 - kept);
}

export const addMasking: Masking = {
  importance(weights, { inChannels, outChannels, groups }: LayerGeometry, x) {
    const varianceOf = sortedChannels(x, inChannels).map(distanceVariance);
    const [rows, wide] = [inChannels / groups, outChannels / groups];
    return weights.map((w, i) => {
      const o = i % outChannels;
      const channel = Math.floor(o / wide) * rows + (Math.floor(i / outChannels) % rows);
      return varianceOf[channel]!(w);
    });
  },
  forward: (x, weights, mask, geometry) =>
    tidy(() => {
      const all = l1Conv2d(x, mul(weights, mask), geometry);
      return sum(all, conv2d(clampedAbs(x), Tensor.view(mask.shape, removed(mask.data)), geometry));
    }),
  lower(graph, name, input, weights, mask, geometry) {
    const kept = weights.map((w, i) => w * (mask[i] as number));
    const all = lowerL1(graph, `${name}.all`, input, kept, geometry);
    const magnitudes = graph.node('Abs', [input], {}, { name: `${name}.magnitudes` });
    const taken = lowerConvolution(graph, `${name}.removed`, magnitudes, removed(mask), geometry);
    return lowerAdd(graph, name, all, taken);
  },
};

/** A family with what it has of `family` but its masking, for layers whose terms or rules are others than AdderNet's. */
export function withoutMasking(family: OperatorFamily): OperatorFamily {
  return Object.fromEntries(
    Object.entries(family).filter(([key]) => key !== 'masking'),
  ) as unknown as OperatorFamily;
}
