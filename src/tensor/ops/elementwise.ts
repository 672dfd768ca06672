/**
 * @file ReLU and biases, on the tape; further functions are in `unary.ts` and `binary.ts`.
 */
import { kernels } from '../device.js';
import { BinaryKind } from '../kinds.js';
import { requireShape } from '../shape.js';
import { contribute, contributeInPlace, passOn, record } from '../tape.js';
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

/** x [..., C] + bias [C]. @throws ShapeError */
export function addBias(x: Tensor, bias: Tensor): Tensor {
  const channels = x.shape[x.shape.length - 1] as number;
  requireShape('addBias', 'bias', bias, [channels], x);
  const rows = x.size / channels;
  const axes = [
    { extent: rows, a: true, b: false },
    { extent: channels, a: true, b: true },
  ];
  return record(
    'addBias',
    [x, bias],
    x.shape,
    (out) => kernels().binary(BinaryKind.Add, axes, x.data, bias.data, out),
    (dy) => {
      passOn(x, dy);
      contribute(bias, (db) => kernels().reduceSum({ outer: 1, reduced: rows, inner: channels }, 1, dy, db));
    },
    { tensors: [], output: false },
  );
}
