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
  for (let c = 0; c < channels; c++) {
    const [sum, product] = gradientSums(c, rows, channels, relu, x, y, dy, mean, inverseStd);
    for (let r = 0; r < rows; r++) {
      const at = r * channels + c;
      const reaches = relu && !(y[at]! > 0) ? 0 : dy[at]!;
      const normalised = (x[at]! - mean[c]!) * inverseStd[c]!;
      dx[at] = gamma[c]! * inverseStd[c]! * (reaches - sum / rows - (normalised * product) / rows);
    }
    dgamma[c] = product;
    dbeta[c] = sum;
  }
}

/** dbeta = sum dy and dgamma = sum dy * xhat, dy masked by y > 0 when `relu`. */
export function batchNormParameterGradient(
  rows: number,
  channels: number,
  relu: boolean,
  x: Float32Array,
  y: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  inverseStd: Float32Array,
  dgamma: Float32Array,
  dbeta: Float32Array,
): void {
  for (let c = 0; c < channels; c++)
    [dbeta[c], dgamma[c]] = gradientSums(c, rows, channels, relu, x, y, dy, mean, inverseStd);
}

/** Over the rows of channel c: sum of masked dy, and of masked dy * xhat. */
function gradientSums(
  c: number,
  rows: number,
  channels: number,
  relu: boolean,
  x: Float32Array,
  y: Float32Array,
  dy: Float32Array,
  mean: Float32Array,
  inverseStd: Float32Array,
): [number, number] {
  let sum = 0;
  let product = 0;
  for (let r = 0; r < rows; r++) {
    const at = r * channels + c;
    const reaches = relu && !(y[at]! > 0) ? 0 : dy[at]!;
    sum += reaches;
    product += reaches * (x[at]! - mean[c]!) * inverseStd[c]!;
  }
  return [sum, product];
}
