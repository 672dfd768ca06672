/**
 * @file Functions of one variable, on the tape. `relu` is in `elementwise.ts`.
 */
import { OptionError } from '../../base/errors.js';
import { kernels } from '../device.js';
import { slopeNeedsValue, UnaryKind } from '../kinds.js';
import { contributeInPlace, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** -x. */
export const neg = (x: Tensor): Tensor => apply('neg', UnaryKind.Negate, x);
/** |x|. */
export const abs = (x: Tensor): Tensor => apply('abs', UnaryKind.Absolute, x);
/** 1, 0 or -1; no gradient flows through it. */
export const sign = (x: Tensor): Tensor => apply('sign', UnaryKind.Sign, x);
/** x^2. */
export const square = (x: Tensor): Tensor => apply('square', UnaryKind.Square, x);
/** The square root. */
export const sqrt = (x: Tensor): Tensor => apply('sqrt', UnaryKind.SquareRoot, x);
/** e^x; results below 2^-125 are zero on compiled devices. */
export const exp = (x: Tensor): Tensor => apply('exp', UnaryKind.Exponential, x);
/** The natural logarithm. */
export const log = (x: Tensor): Tensor => apply('log', UnaryKind.Logarithm, x);
/** 1 / (1 + e^-x). */
export const sigmoid = (x: Tensor): Tensor => apply('sigmoid', UnaryKind.Sigmoid, x);
/** The hyperbolic tangent. */
export const tanh = (x: Tensor): Tensor => apply('tanh', UnaryKind.Tanh, x);
/** x sigmoid(x), also called swish. */
export const silu = (x: Tensor): Tensor => apply('silu', UnaryKind.Silu, x);
/** min(max(x + 3, 0), 6) / 6. */
export const hardSigmoid = (x: Tensor): Tensor => apply('hardSigmoid', UnaryKind.HardSigmoid, x);
/** x hardSigmoid(x) (MobileNetV3, ICCV'19). */
export const hardSwish = (x: Tensor): Tensor => apply('hardSwish', UnaryKind.HardSwish, x);
/** min(max(x, 0), 6); the gradient passes from 0 to 6, both included. */
export const relu6 = (x: Tensor): Tensor => apply('relu6', UnaryKind.Clamp, x, 0, 6);

/**
 * x times the standard normal distribution at x (Hendrycks and Gimpel 2016): x (1 + erf(x / sqrt 2)) / 2, as in ONNX and
 * PyTorch. With `approximate: 'tanh'`, its approximation x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
 */
export function gelu(x: Tensor, options: { readonly approximate?: 'tanh' } = {}): Tensor {
  return apply('gelu', options.approximate === 'tanh' ? UnaryKind.GeluTanh : UnaryKind.Gelu, x);
}

/** min(max(x, low), high); the gradient passes from low to high, both included. @throws OptionError */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  if (!(low <= high)) throw new OptionError(`clamp: the bounds ${low} and ${high} are not in order`);
  return apply('clamp', UnaryKind.Clamp, x, low, high);
}

function apply(op: string, kind: UnaryKind, x: Tensor, low = 0, high = 0): Tensor {
  const needsValue = slopeNeedsValue(kind);
  const y: Tensor = record(
    op,
    [x],
    x.shape,
    (out) => kernels().unary(kind, low, high, x.data, out),
    (dy) =>
      contributeInPlace(x, dy, (dx) =>
        kernels().unaryGradient(kind, low, high, (needsValue ? y : x).data, dy, dx),
      ),
    { tensors: needsValue ? [] : [x], output: needsValue },
  );
  return y;
}
