/**
 * @file Seeded inputs and weights for tests and benchmarks of exported models.
 */
import { Random } from '../../base/random.js';
import { sizeOf } from '../../tensor/shape.js';
import type { RunTensor } from './run-onnx.cases.js';

/** Normal values of this shape; the same labels give the same values. */
export function normalTensor(dims: readonly number[], ...labels: readonly (string | number)[]): RunTensor {
  const random = Random.stream('onnx', ...labels);
  return { dims, data: Float32Array.from({ length: sizeOf(dims) }, () => random.normal()) };
}
