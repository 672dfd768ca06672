/**
 * @file Rows of a table by their indices (token embeddings), on the tape.
 */
import { ShapeError } from '../../base/errors.js';
import { kernels } from '../device.js';
import { requireIntegers, shapeText, sizeOf } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/**
 * The rows of table [R, C] at `indices`: [...shape, C], `shape` being that of the indices ([N] when left out). The gradient
 * of a row is the sum over its uses, in their order. The indices are copied, so that the caller may reuse them.
 * @throws ShapeError, and RangeError for an index outside [0, R)
 */
export function embedding(
  table: Tensor,
  indices: Int32Array,
  shape: readonly number[] = [indices.length],
): Tensor {
  const [rows, width] = table.shape as [number, number];
  if (table.shape.length !== 2 || table.size === 0)
    throw new ShapeError(`embedding: table ${shapeText(table.shape)} is not [rows, channels]`);
  requireIntegers('embedding', 'indices', indices);
  if (sizeOf(shape) !== indices.length || indices.length === 0)
    throw new ShapeError(
      `embedding: ${indices.length} indices do not fill ${shapeText(shape)}, for table ${shapeText(table.shape)}`,
    );
  const foreign = indices.find((index) => index < 0 || index >= rows);
  if (foreign !== undefined)
    throw new RangeError(
      `embedding: index ${foreign} is outside the ${rows} rows of table ${shapeText(table.shape)} (0 to ${rows - 1})`,
    );
  const form = { count: indices.length, rows, width };
  const used = table.requiresGradient ? indices.slice() : indices;
  return record(
    'embedding',
    [table],
    [...shape, width],
    (y) => kernels().embedding(form, table.data, used, y),
    (dy) => contribute(table, (dtable) => kernels().embeddingGradient(form, used, dy, dtable)),
    { tensors: [], output: false },
  );
}
