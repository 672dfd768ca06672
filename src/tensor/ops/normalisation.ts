/**
 * @file Batch normalisation (Ioffe & Szegedy 2015), optionally fused with ReLU, on the tape.
 */
import { kernels } from '../device.js';
import { release, take } from '../pool.js';
import { requireElements, requireShape } from '../shape.js';
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
  const form = { ...rowsOf('batchNorm', x, gamma, beta), relu: options.relu, epsilon: options.epsilon };
  const mean = Tensor.temporary([form.channels]);
  const variance = Tensor.temporary([form.channels]);
  return record(
    'batchNorm',
    [x, gamma, beta],
    x.shape,
    (y) => {
      kernels().batchNorm(form, x.data, gamma.data, beta.data, mean.data, variance.data, y);
      if (!isRecomputing()) options.onMoments?.({ mean: mean.data, variance: variance.data });
    },
    (dy) => {
      const [dgamma, dbeta] = [take(form.channels), take(form.channels)];
      const before = [form, x.data, dy, mean.data, variance.data, gamma.data, beta.data] as const;
      if (x.requiresGradient) {
        const dx = ownedOrNew(dy);
        kernels().batchNormGradient(...before, dx, dgamma, dbeta);
        give(x, dx);
      } else kernels().batchNormParameterGradient(...before, dgamma, dbeta);
      give(gamma, dgamma);
      give(beta, dbeta);
    },
    { tensors: [x, mean, variance, gamma, beta], output: false },
  );
}

/** Normalises by given moments (running or recalibrated statistics); not differentiable, for evaluation. @throws ShapeError */
export function batchNormInference(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  moments: Readonly<Record<keyof BatchMoments, Float32Array>>,
  options: { readonly epsilon: number; readonly relu: boolean },
): Tensor {
  const op = 'batchNormInference';
  const { channels, rows } = rowsOf(op, x, gamma, beta);
  for (const [what, { length }] of Object.entries(moments))
    requireShape(op, what, { shape: [length] }, [channels], x);
  return record(
    op,
    [x, gamma, beta],
    x.shape,
    (y) => {
      const [scale, shift] = [take(channels), take(channels)];
      for (let c = 0; c < channels; c++) {
        const std = Math.sqrt((moments.variance[c] as number) + options.epsilon);
        scale[c] = (gamma.data[c] as number) / std;
        shift[c] = (beta.data[c] as number) - (moments.mean[c] as number) * (scale[c] as number);
      }
      kernels().channelAffine(rows, channels, options.relu, x.data, scale, shift, y);
      release(scale);
      release(shift);
    },
    () => {
      throw new Error('batchNormInference is for evaluation; it has no gradient');
    },
    { tensors: [], output: false },
  );
}

function rowsOf(
  op: string,
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
): { readonly rows: number; readonly channels: number } {
  const channels = x.shape[x.shape.length - 1] as number;
  requireElements(op, [x]);
  requireShape(op, 'gamma', gamma, [channels], x);
  requireShape(op, 'beta', beta, [channels], x);
  return { channels, rows: x.size / channels };
}

/**
 * Normalises each last-axis row of x [..., C] by its own moments: gamma (x - mean) / sqrt(variance + epsilon) + beta, then
 * max(0, .) when `relu` (Ba, Kiros and Hinton 2016). @throws ShapeError
 */
export function layerNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: { readonly epsilon: number; readonly relu?: boolean },
): Tensor {
  const channels = x.shape[x.shape.length - 1] ?? 0;
  requireShape('layerNorm', 'gamma', gamma, [channels], x);
  requireShape('layerNorm', 'beta', beta, [channels], x);
  requireElements('layerNorm', [x]);
  const form = { rows: x.size / channels, channels, relu: options.relu ?? false, epsilon: options.epsilon };
  const mean = Tensor.temporary([form.rows]);
  const inverseStd = Tensor.temporary([form.rows]);
  return record(
    'layerNorm',
    [x, gamma, beta],
    x.shape,
    (y) => kernels().layerNorm(form, x.data, gamma.data, beta.data, mean.data, inverseStd.data, y),
    (dy) => {
      const [dgamma, dbeta] = [take(channels), take(channels)];
      const before = [form, x.data, dy, mean.data, inverseStd.data, gamma.data, beta.data] as const;
      if (x.requiresGradient) {
        const dx = ownedOrNew(dy);
        kernels().layerNormGradient(...before, dx, dgamma, dbeta);
        give(x, dx);
      } else kernels().layerNormParameterGradient(...before, dgamma, dbeta);
      give(gamma, dgamma);
      give(beta, dbeta);
    },
    { tensors: [x, mean, inverseStd, gamma, beta], output: false },
  );
}
