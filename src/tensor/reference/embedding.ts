/**
 * @file Reference rows of a table by their indices.
 */
import type { EmbeddingForm } from '../kernels.js';

/** y[i] = table[indices[i]]. */
export function embedding(
  { count, width }: EmbeddingForm,
  table: Float32Array,
  indices: Int32Array,
  y: Float32Array,
): void {
  for (let i = 0; i < count; i++)
    for (let j = 0; j < width; j++) y[i * width + j] = table[indices[i]! * width + j]!;
}

/** dtable = the sum of dy over the uses of each row. */
export function embeddingGradient(
  { count, rows, width }: EmbeddingForm,
  indices: Int32Array,
  dy: Float32Array,
  dtable: Float32Array,
): void {
  const sums = new Float64Array(rows * width);
  for (let i = 0; i < count; i++)
    for (let j = 0; j < width; j++) sums[indices[i]! * width + j]! += dy[i * width + j]!;
  dtable.set(sums);
}
