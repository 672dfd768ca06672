/**
 * @file The two ops of a binary layer: the sign of an activation and the convolution of signs, with the gradient rules of
 * ReActNet (Liu et al., ECCV'20, arXiv 2003.03488) and Bi-Real Net (Liu et al., ECCV'18, arXiv 1808.00278).
 *
 * A sign is +1 above zero and -1 at zero and below, as the paper has it: behind a ReLU, where many activations are
 * exactly zero, this is what tells them from the rest. A zero in the padding is no sign; it adds nothing.
 */
import { kernels } from '../../tensor/device.js';
import { BinaryKind, UnaryKind } from '../../tensor/kinds.js';
import { release, take } from '../../tensor/pool.js';
import { convGeometry, convOutputShape, type ConvOptions } from '../../tensor/shape.js';
import { contribute, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';

const half = Float32Array.of(0.5);
const one = Float32Array.of(1);

/** `signs` = 1 where x > 0, else -1. */
export function signsInto(x: Float32Array, signs: Float32Array): void {
  // sign(sign(x) - 1/2) is exact, and takes zero down.
  const axes = [{ extent: x.length, a: true, b: false }];
  kernels().unary(UnaryKind.Sign, 0, 0, x, signs);
  kernels().binary(BinaryKind.Subtract, axes, signs, half, signs);
  kernels().unary(UnaryKind.Sign, 0, 0, signs, signs);
}

/** `scales` = the mean of |w| for each output channel, the last axis of `weights`: the L2-optimal scale of their signs. */
export function scalesInto(weights: Float32Array, scales: Float32Array): void {
  const magnitudes = take(weights.length);
  kernels().unary(UnaryKind.Absolute, 0, 0, weights, magnitudes);
  const reduced = weights.length / scales.length;
  kernels().reduceSum({ outer: 1, reduced, inner: scales.length }, 1 / reduced, magnitudes, scales);
  release(magnitudes);
}

/**
 * The sign of x. Its gradient is that of Bi-Real Net's piecewise quadratic approximation ("ApproxSign"):
 * dx = dy max(0, 2 - 2 |x|).
 */
export function approxSign(x: Tensor): Tensor {
  return record(
    'approxSign',
    [x],
    x.shape,
    (signs) => signsInto(x.data, signs),
    (dy) =>
      contribute(x, (dx) => {
        const [extent, both] = [dx.length, true];
        kernels().unary(UnaryKind.Absolute, 0, 0, x.data, dx);
        kernels().binary(BinaryKind.Subtract, [{ extent, a: false, b: true }], one, dx, dx);
        kernels().relu(dx, dx);
        kernels().binary(BinaryKind.Multiply, [{ extent, a: both, b: both }], dx, dy, dx);
        kernels().scale(2, dx);
      }),
    { tensors: [x], output: false },
  );
}

/**
 * x [N, H, W, C], signs, with weights w [kh, kw, C / groups, O] of which only the signs and, for each output channel, the
 * mean magnitude s count: y = s conv(x, sign w). The products are counted exactly and scaled once.
 *
 * Gradients: dx = conv^T(s dy, sign w), the true one. dw is that of a convolution with the weights s sign w, passed to w
 * where |w| <= 1 and nowhere else, with s held fixed (the released code detaches it). @throws ShapeError
 */
export function binaryConv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const g = convGeometry('binaryConv2d', x, w, options);
  const shape = convOutputShape(g);
  const channels = shape[3] as number;
  const withScales = (use: (scales: Float32Array) => void): void => {
    const scales = take(channels);
    scalesInto(w.data, scales);
    use(scales);
    release(scales);
  };
  const withSigns = (use: (signs: Float32Array) => void): void => {
    const signs = take(w.size);
    signsInto(w.data, signs);
    use(signs);
    release(signs);
  };
  const scaled = (y: Float32Array, to: Float32Array): void =>
    withScales((scales) => {
      const axes = [
        { extent: y.length / channels, a: true, b: false },
        { extent: channels, a: true, b: true },
      ];
      kernels().binary(BinaryKind.Multiply, axes, y, scales, to);
    });
  return record(
    'binaryConv2d',
    [x, w],
    shape,
    (y) => {
      withSigns((signs) => kernels().conv2dForward(g, x.data, signs, y));
      scaled(y, y);
    },
    (dy) => {
      contribute(w, (dw) => {
        kernels().conv2dWeightGradient(g, x.data, dy, dw);
        kernels().unaryGradient(UnaryKind.Clamp, -1, 1, w.data, dw, dw);
      });
      contribute(x, (dx) => {
        const scaledGradient = take(dy.length);
        scaled(dy, scaledGradient);
        withSigns((signs) => kernels().conv2dInputGradient(g, scaledGradient, signs, dx));
        release(scaledGradient);
      });
    },
    { tensors: [x, w], output: false },
  );
}
