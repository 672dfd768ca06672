/**
 * @file Batch normalisation (Ioffe & Szegedy 2015) and layer normalisation (Ba, Kiros & Hinton 2016), optionally fused
 * with ReLU, on the tape.
 */
import { kernels } from '../device.js';
import { release, take } from '../pool.js';
import { requireElements, requireShape } from '../shape.js';
import { contribute, give, isRecomputing, ownedOrNew, record } from '../tape.js';
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
  const form = {
    ...rowsOf('batchNorm', x, gamma, beta),
    relu: options.relu,
    epsilon: positiveEpsilon('batchNorm', options.epsilon),
  };
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

/**
 * Normalises by given moments (running or recalibrated statistics), which are constants: for evaluation, and for training
 * on with frozen statistics. @throws ShapeError
 */
export function batchNormInference(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  moments: Readonly<Record<keyof BatchMoments, Float32Array>>,
  options: { readonly epsilon: number; readonly relu: boolean },
): Tensor {
  const op = 'batchNormInference';
  const { channels, rows } = rowsOf(op, x, gamma, beta);
  const { relu } = options;
  const epsilon = positiveEpsilon(op, options.epsilon);
  const withScale = (use: (scale: Float32Array) => void): void => {
    const scale = take(channels);
    for (let c = 0; c < channels; c++)
      scale[c] = (gamma.data[c] as number) * (1 / Math.sqrt((moments.variance[c] as number) + epsilon));
    use(scale);
    release(scale);
  };
  for (const [what, { length }] of Object.entries(moments))
    requireShape(op, what, { shape: [length] }, [channels], x);
  const trained = gamma.requiresGradient || beta.requiresGradient;
  const y: Tensor = record(
    op,
    [x, gamma, beta],
    x.shape,
    (out) =>
      withScale((scale) => {
        const shift = take(channels);
        for (let c = 0; c < channels; c++)
          shift[c] = (beta.data[c] as number) - (moments.mean[c] as number) * (scale[c] as number);
        kernels().channelAffine(rows, channels, relu, x.data, scale, shift, out);
        release(shift);
      }),
    (dy) => {
      const cut = relu ? take(dy.length) : dy;
      if (relu) kernels().reluGradient(y.data, dy, cut);
      contribute(x, (dx) =>
        withScale((scale) => {
          const none = take(channels).fill(0);
          kernels().channelAffine(rows, channels, false, cut, scale, none, dx);
          release(none);
        }),
      );
      if (trained) {
        const [dgamma, dbeta] = [take(channels), take(channels)];
        const form = { rows, channels, relu: false, epsilon };
        const { mean, variance } = moments;
        kernels().batchNormParameterGradient(
          ...([form, x.data, cut, mean, variance, gamma.data, beta.data, dgamma, dbeta] as const),
        );
        give(gamma, dgamma);
        give(beta, dbeta);
      }
      if (relu) release(cut);
    },
    { tensors: trained ? [x, gamma, beta] : [gamma], output: relu },
  );
  return y;
}

function positiveEpsilon(op: string, epsilon: number): number {
  if (!(epsilon >= 0 && Number.isFinite(epsilon)))
    throw new RangeError(`${op}: epsilon ${epsilon} is not a number from 0 on`);
  return epsilon;
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
  const epsilon = positiveEpsilon('layerNorm', options.epsilon);
  requireShape('layerNorm', 'gamma', gamma, [channels], x);
  requireShape('layerNorm', 'beta', beta, [channels], x);
  requireElements('layerNorm', [x]);
  const form = { rows: x.size / channels, channels, relu: options.relu ?? false, epsilon };
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
