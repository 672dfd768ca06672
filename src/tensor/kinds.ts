/**
 * @file The kinds of elementwise ops. Compiled devices count them in the order in which they stand here
 * (native/unary.h, native/broadcast.h).
 */

/** Functions of one variable. */
export enum UnaryKind {
  Negate = 'neg',
  Absolute = 'abs',
  /** 1, 0 or -1; its gradient is zero. */
  Sign = 'sign',
  Square = 'square',
  SquareRoot = 'sqrt',
  Exponential = 'exp',
  Logarithm = 'log',
  Sigmoid = 'sigmoid',
  Tanh = 'tanh',
  /** x sigmoid(x) (swish). */
  Silu = 'silu',
  /** x P(x), P the standard normal distribution. */
  Gelu = 'gelu',
  /** x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): gelu by a tanh. */
  GeluTanh = 'geluTanh',
  /** min(max(x + 3, 0), 6) / 6. */
  HardSigmoid = 'hardSigmoid',
  /** x hardSigmoid(x). */
  HardSwish = 'hardSwish',
  /** min(max(x, low), high). */
  Clamp = 'clamp',
}

/** Whether the derivative is computed from the value and not from the argument. */
export function slopeNeedsValue(kind: UnaryKind): boolean {
  return valueKinds.has(kind);
}

const valueKinds: ReadonlySet<UnaryKind> = new Set([
  UnaryKind.SquareRoot,
  UnaryKind.Exponential,
  UnaryKind.Sigmoid,
  UnaryKind.Tanh,
]);

/** Functions of two operands, a and b. A NaN in either is a NaN in the result. */
export enum BinaryKind {
  Add = 'add',
  Subtract = 'sub',
  Multiply = 'mul',
  Divide = 'div',
  Maximum = 'maximum',
  Minimum = 'minimum',
}

/** Derivatives of functions of two operands that are not such functions themselves, times dy. */
export enum BinaryGradientKind {
  /** Of a / b by b: -dy a / b^2. */
  Divisor = 'divisor',
  /** Of max(a, b) by a: dy where a is the larger, half of it where they are equal, else 0. */
  Maximum = 'maximum',
  /** Of min(a, b) by a. */
  Minimum = 'minimum',
}
