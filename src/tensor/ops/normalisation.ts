/**
 * @file Batch normalisation (Ioffe & Szegedy 2015), optionally fused with ReLU, on the tape.
 */
import { kernels } from '../device.js';
import { release, take } from '../pool.js';
import { requireShape } from '../shape.js';
import { give, isRecomputing, ownedOrNew, record } from '../tape.js';
import { Tensor } from '../tensor.js';

export interface BatchMoments {
  /** Per channel, biased. */
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/**
 * Normalises x [..., C] by the moments of this batch: gamma (x - mean) / sqrt(variance + epsilon) + beta.
 * `onMoments` sees the batch's moments (for running statistics) before they go, once per pass: not when a checkpoint
 * runs the pass again. @throws ShapeError
 */
export function batchNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: {
    readonly epsilon: number;
    readonly relu: boolean;
    readonly onMoments?: (moments: BatchMoments) => void;
  },
): Tensor {
  const { channels, rows } = rowsOf(x, gamma, beta);
  const mean = Tensor.temporary([channels]);
  const inverseStd = Tensor.temporary([channels]);
  kernels().channelMoments(rows, channels, x.data, mean.data, inverseStd.data);
  if (!isRecomputing()) options.onMoments?.({ mean: mean.data, variance: inverseStd.data });
  invertStd(inverseStd.data, options.epsilon);
  const y = record(
    'batchNorm',
    [x, gamma, beta],
    x.shape,
    (out) =>
      affine(
        rows,
        channels,
        options.relu,
        x.data,
        { mean: mean.data, inverseStd: inverseStd.data, gamma, beta },
        out,
      ),
    (dy) => {
      const [dgamma, dbeta] = [take(channels), take(channels)];
      const { relu } = options;
      const before = [
        rows,
        channels,
        relu,
        x.data,
        relu ? y.data : x.data,
        dy,
        mean.data,
        inverseStd.data,
      ] as const;
      if (x.requiresGradient) {
        const dx = ownedOrNew(dy);
        kernels().batchNormGradient(...before, gamma.data, dx, dgamma, dbeta);
        give(x, dx);
      } else kernels().batchNormParameterGradient(...before, dgamma, dbeta);
      give(gamma, dgamma);
      give(beta, dbeta);
    },
    {
      tensors: x.requiresGradient ? [x, mean, inverseStd, gamma] : [x, mean, inverseStd],
      output: options.relu,
    },
  );
  return y;
}

/** Normalises by given moments (running or recalibrated statistics); not differentiable, for evaluation. */
export function batchNormInference(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  moments: BatchMoments,
  options: { readonly epsilon: number; readonly relu: boolean },
): Tensor {
  const { channels, rows } = rowsOf(x, gamma, beta);
  const inverseStd = invertStd(moments.variance.slice(), options.epsilon);
  return record(
    'batchNormInference',
    [x, gamma, beta],
    x.shape,
    (out) =>
      affine(rows, channels, options.relu, x.data, { mean: moments.mean, inverseStd, gamma, beta }, out),
    () => {
      throw new Error('batchNormInference is for evaluation; it has no gradient');
    },
    { tensors: [], output: false },
  );
}

/** Turns variances into 1 / sqrt(variance + epsilon), in place. */
function invertStd(variance: Float32Array, epsilon: number): Float32Array {
  for (let c = 0; c < variance.length; c++) variance[c] = 1 / Math.sqrt((variance[c] as number) + epsilon);
  return variance;
}

interface Affine {
  readonly mean: Float32Array;
  readonly inverseStd: Float32Array;
  readonly gamma: Tensor;
  readonly beta: Tensor;
}

function affine(
  rows: number,
  channels: number,
  relu: boolean,
  x: Float32Array,
  by: Affine,
  y: Float32Array,
): void {
  const scale = take(channels);
  const shift = take(channels);
  for (let c = 0; c < channels; c++) {
    scale[c] = (by.gamma.data[c] as number) * (by.inverseStd[c] as number);
    shift[c] = (by.beta.data[c] as number) - (by.mean[c] as number) * (scale[c] as number);
  }
  kernels().channelAffine(rows, channels, relu, x, scale, shift, y);
  release(scale);
  release(shift);
}

function rowsOf(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
): { readonly rows: number; readonly channels: number } {
  const channels = x.shape[x.shape.length - 1] as number;
  requireShape('batchNorm', 'gamma', gamma, [channels]);
  requireShape('batchNorm', 'beta', beta, [channels]);
  return { channels, rows: x.size / channels };
}
