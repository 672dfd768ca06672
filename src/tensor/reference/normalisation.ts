/**
 * @file Reference batch normalisation (Ioffe and Szegedy, ICML 2015) over x [rows, channels].
 *
 * The layer is two ops, statistics and affine map, so that training, recalibration and inference share the second.
 * The gradient is of the whole normalisation, with mean and variance themselves functions of x.
 */

/** Biased mean and variance of each channel, in two passes so that a large mean costs no digits of the variance. */
export function channelMoments(
  rows: number,
  channels: number,
  x: Float32Array,
  mean: Float32Array,
  variance: Float32Array,
): void {
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let r = 0; r < rows; r++) sum += x[r * channels + c]!;
    const centre = sum / rows;
    let squares = 0;
    for (let r = 0; r < rows; r++) {
      const deviation = x[r * channels + c]! - centre;
      squares += deviation * deviation;
    }
    mean[c] = centre;
    variance[c] = squares / rows;
  }
}

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

/**
 * With xhat = (x - mean) * inverseStd and dy masked by y > 0 when `relu`: dbeta = sum dy, dgamma = sum dy * xhat,
 * dx = gamma * inverseStd * (dy - dbeta / rows - xhat * dgamma / rows). x, y, dy, dx are [rows, channels].
 */
export function batchNormGradient(
  rows: number,
  channels: number,
  relu: boolean,
  x: Float32Array,
  y: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  inverseStd: Float32Array,
  gamma: Float32Array,
  dx: Float32Array,
  dgamma: Float32Array,
  dbeta: Float32Array,
): void {
  const reaches = (at: number): number => (relu && !(y[at]! > 0) ? 0 : dy[at]!);
  for (let c = 0; c < channels; c++) {
    const normalised = (at: number): number => (x[at]! - mean[c]!) * inverseStd[c]!;
    let sum = 0;
    let product = 0;
    for (let r = 0; r < rows; r++) {
      const at = r * channels + c;
      sum += reaches(at);
      product += reaches(at) * normalised(at);
    }
    for (let r = 0; r < rows; r++) {
      const at = r * channels + c;
      dx[at] = gamma[c]! * inverseStd[c]! * (reaches(at) - sum / rows - (normalised(at) * product) / rows);
    }
    dgamma[c] = product;
    dbeta[c] = sum;
  }
}
