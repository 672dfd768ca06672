/**
 * @file Reference global average pooling: x [batch, positions, channels] -> y [batch, channels].
 */

/** y[n, c] = mean over positions of x[n, ., c]. */
export function globalAveragePool(
  batch: number,
  positions: number,
  channels: number,
  x: Float32Array,
  y: Float32Array,
): void {
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let p = 0; p < positions; p++) sum += x[(n * positions + p) * channels + c]!;
      y[n * channels + c] = sum / positions;
    }
  }
}

/** dx[n, p, c] = dy[n, c] / positions. */
export function globalAveragePoolGradient(
  batch: number,
  positions: number,
  channels: number,
  dy: Float32Array,
  dx: Float32Array,
): void {
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < positions; p++) {
      for (let c = 0; c < channels; c++) {
        dx[(n * positions + p) * channels + c] = dy[n * channels + c]! / positions;
      }
    }
  }
}
