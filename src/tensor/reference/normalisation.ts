/**
 * @file Reference batch normalisation (Ioffe and Szegedy, ICML 2015) over x [rows, channels].
 *
 * Forward and backward share the affine map that the normalisation comes to, rounded to float32 as it is stored, so
 * that both find the same units cut by a ReLU. The gradient is of the whole normalisation, with mean and variance
 * themselves functions of x.
 */
import type { NormalisationForm } from '../kernels.js';

/** y = x * scale[c] + shift[c], then max(0, .) when `relu`. `y` may be `x`. */
export function channelAffine(
  rows: number,
  channels: number,
  relu: boolean,
  x: Float32Array,
  scale: Float32Array,
  shift: Float32Array,
  y: Float32Array,
): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < channels; c++) {
      const value = x[r * channels + c]! * scale[c]! + shift[c]!;
      y[r * channels + c] = relu ? Math.max(0, value) : value;
    }
  }
}

/** Normalises by the biased moments of each channel, which it also writes, then y = max(0, y) when `relu`. */
export function batchNorm(
  form: NormalisationForm,
  x: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  mean: Float32Array,
  variance: Float32Array,
  y: Float32Array,
): void {
  const { rows, channels, relu, epsilon } = form;
  for (let c = 0; c < channels; c++) [mean[c], variance[c]] = moments(rows, channels, x, c);
  const { scale, shift } = affineMap(epsilon, mean, variance, gamma, beta);
  channelAffine(rows, channels, relu, x, scale, shift, y);
}

/** In two passes, so that a large mean costs no digits of the variance. */
function moments(rows: number, channels: number, x: Float32Array, c: number): [number, number] {
  let sum = 0;
  for (let r = 0; r < rows; r++) sum += x[r * channels + c]!;
  const centre = sum / rows;
  let squares = 0;
  for (let r = 0; r < rows; r++) squares += (x[r * channels + c]! - centre) ** 2;
  return [centre, squares / rows];
}

/** The normalisation as x * scale + shift. */
function affineMap(
  epsilon: number,
  mean: Float32Array,
  variance: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
): { readonly scale: Float32Array; readonly shift: Float32Array } {
  const scale = gamma.map((each, c) => each / Math.sqrt(variance[c]! + epsilon));
  return { scale, shift: beta.map((each, c) => each - mean[c]! * scale[c]!) };
}

/**
 * With xhat = (x - mean) / sqrt(variance + epsilon) and dy cut where y is not positive when `relu`: dbeta = sum dy,
 * dgamma = sum dy * xhat, dx = gamma / sqrt(variance + epsilon) * (dy - dbeta / rows - xhat * dgamma / rows).
 */
export function batchNormGradient(
  form: NormalisationForm,
  x: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  variance: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  dx: Float32Array,
  dgamma: Float32Array,
  dbeta: Float32Array,
): void {
  const { rows, channels, epsilon } = form;
  const reaches = cutGradient(form, x, dy, affineMap(epsilon, mean, variance, gamma, beta));
  for (let c = 0; c < channels; c++) {
    const [sum, product] = gradientSums(form, x, reaches, mean[c]!, variance[c]!, c);
    const inverseStd = 1 / Math.sqrt(variance[c]! + epsilon);
    for (let r = 0; r < rows; r++) {
      const at = r * channels + c;
      const normalised = (x[at]! - mean[c]!) * inverseStd;
      dx[at] = gamma[c]! * inverseStd * (reaches(at) - sum / rows - (normalised * product) / rows);
    }
    dgamma[c] = product;
    dbeta[c] = sum;
  }
}

/** dbeta and dgamma alone. */
export function batchNormParameterGradient(
  form: NormalisationForm,
  x: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  variance: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  dgamma: Float32Array,
  dbeta: Float32Array,
): void {
  const reaches = cutGradient(form, x, dy, affineMap(form.epsilon, mean, variance, gamma, beta));
  for (let c = 0; c < form.channels; c++)
    [dbeta[c], dgamma[c]] = gradientSums(form, x, reaches, mean[c]!, variance[c]!, c);
}

/** What of dy reaches the normalised value. */
function cutGradient(
  { channels, relu }: NormalisationForm,
  x: Float32Array,
  dy: Float32Array,
  map: { readonly scale: Float32Array; readonly shift: Float32Array },
): (at: number) => number {
  if (!relu) return (at) => dy[at]!;
  const { scale, shift } = map;
  return (at) => (x[at]! * scale[at % channels]! + shift[at % channels]! > 0 ? dy[at]! : 0);
}

/** Over the rows of channel c: the sums of dy and of dy * xhat. */
function gradientSums(
  { rows, channels, epsilon }: NormalisationForm,
  x: Float32Array,
  reaches: (at: number) => number,
  mean: number,
  variance: number,
  c: number,
): [number, number] {
  let sum = 0;
  let product = 0;
  for (let r = 0; r < rows; r++) {
    const at = r * channels + c;
    sum += reaches(at);
    product += (reaches(at) * (x[at]! - mean)) / Math.sqrt(variance + epsilon);
  }
  return [sum, product];
}
