/**
 * @file Convolution and the L1 ("adder") layer, on the tape.
 */
import { OptionError } from '../../base/errors.js';
import { kernels } from '../device.js';
import { convGeometry, convOutputShape, type ConvOptions } from '../shape.js';
import { contribute, ifTrained, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** x [N, H, W, C] * w [kh, kw, C / groups, O] -> [N, H', W', O]. @throws ShapeError */
export function conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const g = convGeometry('conv2d', x, w, options);
  return record(
    'conv2d',
    [x, w],
    convOutputShape(g),
    (y) => kernels().conv2dForward(g, x.data, w.data, y),
    (dy) => {
      contribute(w, (dw) => kernels().conv2dWeightGradient(g, x.data, dy, dw));
      contribute(x, (dx) => kernels().conv2dInputGradient(g, dy, w.data, dx));
    },
    { tensors: [...ifTrained(w, x), ...ifTrained(x, w)], output: false },
  );
}

/**
 * AdderNet layer (Chen et al., CVPR'20, arXiv 1912.13200): y = -sum |x - w| over each window.
 *
 * The gradients are the published rules, not the derivative: dw = sum dy (x - w), and dx = sum dy clamp(w - x, -1, 1).
 * The adaptive learning rate of the paper is the optimiser's business. @throws ShapeError
 */
export function l1Conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const g = convGeometry('l1Conv2d', x, w, options);
  return record(
    'l1Conv2d',
    [x, w],
    convOutputShape(g),
    (y) => kernels().l1Forward(g, x.data, w.data, y),
    (dy) => {
      contribute(w, (dw) => kernels().l1WeightGradient(g, x.data, w.data, dy, dw));
      contribute(x, (dx) => kernels().l1InputGradient(g, x.data, w.data, dy, dx));
    },
    { tensors: [x, w], output: false },
  );
}

/**
 * As {@link l1Conv2d}, with the sign rule for both gradients: dw = sum dy sgn(x - w), dx = sum dy sgn(w - x), the signs
 * smoothed to d / (|d| + 1e-8). @throws ShapeError
 */
export function l1SignConv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  const g = convGeometry('l1SignConv2d', x, w, options);
  return record(
    'l1SignConv2d',
    [x, w],
    convOutputShape(g),
    (y) => kernels().l1Forward(g, x.data, w.data, y),
    (dy) => {
      contribute(w, (dw) => kernels().lpWeightGradient(g, 1, x.data, w.data, dy, dw));
      contribute(x, (dx) => kernels().lpInputGradient(g, 1, x.data, w.data, dy, dx));
    },
    { tensors: [x, w], output: false },
  );
}

/**
 * The adder layer of another norm ("Universal Adder Neural Networks", arXiv 2105.14202): y = -sum |x - w|^exponent with
 * the exponent from 1 to 2, and the derivative as gradient (smoothed at 0, see `kernels.ts`). At 1 it is {@link l1Conv2d}
 * with the rules of that, which are not the derivative. @throws ShapeError, OptionError
 */
export function lpConv2d(x: Tensor, w: Tensor, exponent: number, options: ConvOptions = {}): Tensor {
  const g = convGeometry('lpConv2d', x, w, options);
  if (!(exponent >= 1 && exponent <= 2))
    throw new OptionError(`lpConv2d: the exponent ${exponent} is not from 1 to 2`);
  if (exponent === 1) return l1Conv2d(x, w, options);
  return record(
    'lpConv2d',
    [x, w],
    convOutputShape(g),
    (y) => kernels().lpForward(g, exponent, x.data, w.data, y),
    (dy) => {
      contribute(w, (dw) => kernels().lpWeightGradient(g, exponent, x.data, w.data, dy, dw));
      contribute(x, (dx) => kernels().lpInputGradient(g, exponent, x.data, w.data, dy, dx));
    },
    { tensors: [x, w], output: false },
  );
}
