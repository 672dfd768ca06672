/**
 * @file Statistics of weight tensors.
 */
import { kernels } from '../tensor/device.js';

/** Root mean square: the standard deviation about zero. */
export function deviationOf(values: Float32Array): number {
  return Math.sqrt(kernels().sumOfSquares(values) / values.length);
}
