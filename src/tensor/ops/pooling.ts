/**
 * @file Pooling, on the tape.
 */
import { ShapeError } from '../../base/errors.js';
import { kernels } from '../device.js';
import { shapeText } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** Mean over the map: x [N, H, W, C] -> [N, 1, 1, C]. @throws ShapeError */
export function globalAveragePool(x: Tensor): Tensor {
  if (x.shape.length !== 4) throw new ShapeError(`globalAveragePool: x ${shapeText(x.shape)} is not NHWC`);
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const positions = height * width;
  return record(
    'globalAveragePool',
    [x],
    [batch, 1, 1, channels],
    (y) => kernels().globalAveragePool(batch, positions, channels, x.data, y),
    (dy) => contribute(x, (dx) => kernels().globalAveragePoolGradient(batch, positions, channels, dy, dx)),
    { tensors: [], output: false },
  );
}
