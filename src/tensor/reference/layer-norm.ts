/**
 * @file Reference layer normalisation (Ba, Kiros and Hinton 2016) of each row of x [rows, channels].
 */
import type { NormalisationForm } from '../kernels.js';

/** Normalises each row by its biased moments, which it also writes, then y = max(0, y) when `relu`. */
export function layerNorm(
  { rows, channels, relu, epsilon }: NormalisationForm,
  x: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  mean: Float32Array,
  inverseStd: Float32Array,
  y: Float32Array,
): void {
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * channels, (r + 1) * channels);
    const centre = row.reduce((sum, value) => sum + value, 0) / channels;
    const variance = row.reduce((sum, value) => sum + (value - centre) ** 2, 0) / channels;
    mean[r] = centre;
    inverseStd[r] = 1 / Math.sqrt(variance + epsilon);
    for (let c = 0; c < channels; c++) {
      const value = valueAt(row[c]!, mean[r]!, inverseStd[r]!, gamma[c]!, beta[c]!);
      y[r * channels + c] = relu ? Math.max(0, value) : value;
    }
  }
}

/** From the moments as they are stored, so that forward and backward find the same units cut by a ReLU. */
function valueAt(x: number, mean: number, inverseStd: number, gamma: number, beta: number): number {
  return (x - mean) * inverseStd * gamma + beta;
}

/**
 * With unit = (x - mean) * inverseStd, dy cut where y is not positive when `relu`, and g = dy * gamma: dgamma = sum over
 * rows of dy * unit, dbeta = sum over rows of dy, dx = inverseStd * (g - mean of g - unit * mean of g * unit), the means
 * over the row.
 */
export function layerNormGradient(
  form: NormalisationForm,
  x: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  inverseStd: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  dx: Float32Array,
  dgamma: Float32Array,
  dbeta: Float32Array,
): void {
  layerNormParameterGradient(form, x, dy, mean, inverseStd, gamma, beta, dgamma, dbeta);
  const { rows, channels, relu } = form;
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    let product = 0;
    const slopes = new Float64Array(channels);
    for (let c = 0; c < channels; c++) {
      const at = r * channels + c;
      const unit = (x[at]! - mean[r]!) * inverseStd[r]!;
      const open = !relu || valueAt(x[at]!, mean[r]!, inverseStd[r]!, gamma[c]!, beta[c]!) > 0;
      slopes[c] = open ? dy[at]! * gamma[c]! : 0;
      sum += slopes[c]!;
      product += slopes[c]! * unit;
    }
    for (let c = 0; c < channels; c++) {
      const at = r * channels + c;
      const unit = (x[at]! - mean[r]!) * inverseStd[r]!;
      dx[at] = inverseStd[r]! * (slopes[c]! - sum / channels - (unit * product) / channels);
    }
  }
}

/** dgamma and dbeta alone. */
export function layerNormParameterGradient(
  { rows, channels, relu }: NormalisationForm,
  x: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  inverseStd: Float32Array,
  gamma: Float32Array,
  beta: Float32Array,
  dgamma: Float32Array,
  dbeta: Float32Array,
): void {
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    let product = 0;
    for (let r = 0; r < rows; r++) {
      const at = r * channels + c;
      if (relu && !(valueAt(x[at]!, mean[r]!, inverseStd[r]!, gamma[c]!, beta[c]!) > 0)) continue;
      sum += dy[at]!;
      product += dy[at]! * (x[at]! - mean[r]!) * inverseStd[r]!;
    }
    dbeta[c] = sum;
    dgamma[c] = product;
  }
}
