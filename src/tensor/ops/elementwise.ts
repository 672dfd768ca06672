/**
 * @file Elementwise ops, on the tape.
 */
import { kernels } from '../device.js';
import { requireShape, requireSameShape } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** max(0, x). */
export function relu(x: Tensor): Tensor {
  const y = record(
    'relu',
    [x],
    x.shape,
    (out) => kernels().relu(x.data, out),
    (dy) => contribute(x, (dx) => kernels().reluGradient(y.data, dy, dx)),
  );
  return y;
}

/** a + b of equal shapes, then max(0, .) when `relu` (the join of a residual block in one pass). @throws ShapeError */
export function add(a: Tensor, b: Tensor, options: { readonly relu?: boolean } = {}): Tensor {
  requireSameShape('add', a, b);
  const withRelu = options.relu ?? false;
  const y = record(
    'add',
    [a, b],
    a.shape,
    (out) => kernels().add(withRelu, a.data, b.data, out),
    (dy) => {
      if (withRelu) kernels().reluGradient(y.data, dy, dy);
      contribute(a, (da) => da.set(dy));
      contribute(b, (db) => db.set(dy));
    },
  );
  return y;
}

/** x [N, 1, 1, C] or [N, C] + bias [C], broadcast over rows. @throws ShapeError */
export function addBias(x: Tensor, bias: Tensor): Tensor {
  const channels = x.shape[x.shape.length - 1] as number;
  requireShape('addBias', 'bias', bias, [channels]);
  return record(
    'addBias',
    [x, bias],
    x.shape,
    (out) => {
      for (let row = 0; row < out.length; row += channels)
        for (let c = 0; c < channels; c++)
          out[row + c] = (x.data[row + c] as number) + (bias.data[c] as number);
    },
    (dy) => {
      contribute(x, (dx) => dx.set(dy));
      contribute(bias, (db) => {
        const sums = new Float64Array(channels);
        for (let i = 0; i < dy.length; i++)
          sums[i % channels] = (sums[i % channels] as number) + (dy[i] as number);
        db.set(sums);
      });
    },
  );
}
