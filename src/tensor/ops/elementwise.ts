/**
 * @file Elementwise ops, on the tape.
 */
import { kernels } from '../device.js';
import { release, share } from '../pool.js';
import { requireShape, requireSameShape } from '../shape.js';
import { contribute, contributeInPlace, ownedOrNew, passOn, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** max(0, x). */
export function relu(x: Tensor): Tensor {
  const y = record(
    'relu',
    [x],
    x.shape,
    (out) => kernels().relu(x.data, out),
    (dy) => contributeInPlace(x, dy, (dx) => kernels().reluGradient(y.data, dy, dx)),
    { tensors: [], output: true },
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
      const passed = withRelu ? ownedOrNew(dy) : share(dy);
      if (withRelu) kernels().reluGradient(y.data, dy, passed);
      passOn(a, passed);
      passOn(b, passed);
      release(passed);
    },
    { tensors: [], output: withRelu },
  );
  return y;
}

/** x [N, 1, 1, C] or [N, C] + bias [C], broadcast over rows. @throws ShapeError */
export function addBias(x: Tensor, bias: Tensor): Tensor {
  const channels = x.shape[x.shape.length - 1] as number;
  requireShape('addBias', 'bias', bias, [channels], x);
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
      passOn(x, dy);
      contribute(bias, (db) => {
        const sums = new Float64Array(channels);
        for (let i = 0; i < dy.length; i++)
          sums[i % channels] = (sums[i % channels] as number) + (dy[i] as number);
        db.set(sums);
      });
    },
    { tensors: [], output: false },
  );
}
