/**
 * @file Statistics of weight tensors.
 */

/** Root mean square: the standard deviation about zero. */
export function deviationOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum / values.length);
}
