/**
 * @file Another shape for the same values, on the tape.
 */
import { ShapeError } from '../../base/errors.js';
import { requireElements, shapeText, sizeOf } from '../shape.js';
import { passOn, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** The values of x, row-major, as `shape`. @throws ShapeError when the sizes differ or there are none */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  requireElements('reshape', [x]);
  if (sizeOf(shape) !== x.size)
    throw new ShapeError(`reshape: x ${shapeText(x.shape)} does not fill ${shapeText(shape)}`);
  return record(
    'reshape',
    [x],
    shape,
    (y) => y.set(x.data),
    (dy) => passOn(x, dy),
    { tensors: [], output: false },
  );
}
