/**
 * @file Reference functions of one variable and their derivatives, in float64.
 */
import { UnaryKind } from '../kinds.js';

type Function = (x: number, low: number, high: number) => number;

/** a times a share that is zero far out, where an infinite a takes nothing of it. */
const shareOf = (a: number, share: number): number => (share === 0 ? 0 : a * share);

const sign: Function = (x) => (x > 0 ? 1 : x < 0 ? -1 : x);
const sigmoid: Function = (x) => 1 / (1 + Math.exp(-x));
const clamp: Function = (x, low, high) => Math.max(low, Math.min(high, x));
const hardSigmoid: Function = (x) => clamp(x + 3, 0, 6) / 6;
/** Twice what the tanh form of gelu takes the tanh of, and its derivative. */
const geluArgument: Function = (x) => Math.sqrt(8 / Math.PI) * (x + 0.044715 * x ** 3);
const geluArgumentSlope: Function = (x) => Math.sqrt(8 / Math.PI) * (1 + 3 * 0.044715 * x ** 2);
const normalDensity: Function = (x) => Math.exp(-(x ** 2) / 2) / Math.sqrt(2 * Math.PI);

/**
 * The standard normal distribution: 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...) in the middle, and a continued fraction of
 * the tail further out (Abramowitz and Stegun, 26.2.11 and 26.2.14).
 */
export function normalDistribution(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 3) return 1 - normalDistribution(-x);
  if (x < -3) {
    let fraction = -x;
    for (let k = 60; k >= 1; k--) fraction = -x + k / fraction;
    return normalDensity(x, 0, 0) / fraction;
  }
  let [term, sum] = [x, x];
  for (let k = 3; k < 120; k += 2) sum += term *= x ** 2 / k;
  return 0.5 + normalDensity(x, 0, 0) * sum;
}

const functions: Readonly<Record<UnaryKind, Function>> = {
  [UnaryKind.Negate]: (x) => -x,
  [UnaryKind.Absolute]: (x) => Math.abs(x),
  [UnaryKind.Sign]: sign,
  [UnaryKind.Square]: (x) => x * x,
  [UnaryKind.SquareRoot]: (x) => Math.sqrt(x),
  [UnaryKind.Exponential]: (x) => Math.exp(x),
  [UnaryKind.Logarithm]: (x) => Math.log(x),
  [UnaryKind.Sigmoid]: sigmoid,
  [UnaryKind.Tanh]: (x) => Math.tanh(x),
  [UnaryKind.Silu]: (x) => shareOf(x, sigmoid(x, 0, 0)),
  [UnaryKind.Gelu]: (x) => shareOf(x, normalDistribution(x)),
  [UnaryKind.GeluTanh]: (x) => shareOf(x, sigmoid(geluArgument(x, 0, 0), 0, 0)),
  [UnaryKind.HardSigmoid]: hardSigmoid,
  [UnaryKind.HardSwish]: (x) => shareOf(x, hardSigmoid(x, 0, 0)),
  [UnaryKind.Clamp]: clamp,
};

/** Derivatives at x, or at y where `slopeNeedsValue`. */
const slopes: Readonly<Record<UnaryKind, Function>> = {
  [UnaryKind.Negate]: () => -1,
  [UnaryKind.Absolute]: sign,
  [UnaryKind.Sign]: () => 0,
  [UnaryKind.Square]: (x) => 2 * x,
  [UnaryKind.SquareRoot]: (y) => 1 / (2 * y),
  [UnaryKind.Exponential]: (y) => y,
  [UnaryKind.Logarithm]: (x) => 1 / x,
  [UnaryKind.Sigmoid]: (y) => y * (1 - y),
  [UnaryKind.Tanh]: (y) => (1 - y) * (1 + y),
  [UnaryKind.Silu]: (x) => {
    const share = sigmoid(x, 0, 0);
    return share + shareOf(x, share * (1 - share));
  },
  [UnaryKind.Gelu]: (x) => normalDistribution(x) + shareOf(x, normalDensity(x, 0, 0)),
  [UnaryKind.GeluTanh]: (x) => {
    const share = sigmoid(geluArgument(x, 0, 0), 0, 0);
    return share + shareOf(x * geluArgumentSlope(x, 0, 0), share * (1 - share));
  },
  [UnaryKind.HardSigmoid]: (x) => (Math.abs(x) < 3 ? 1 / 6 : 0),
  [UnaryKind.HardSwish]: (x) => hardSigmoid(x, 0, 0) + (Math.abs(x) < 3 ? x / 6 : 0),
  [UnaryKind.Clamp]: (x, low, high) => (x >= low && x <= high ? 1 : 0),
};

/** y = the function `kind` of x. `y` may be `x`. */
export function unary(kind: UnaryKind, low: number, high: number, x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) y[i] = functions[kind](x[i]!, low, high);
}

/** Kinds with flat parts, through which nothing of dy passes, a NaN included. */
const flat: ReadonlySet<UnaryKind> = new Set([UnaryKind.Sign, UnaryKind.HardSigmoid, UnaryKind.Clamp]);

/** dx = dy times the derivative. `dx` may be `dy`. */
export function unaryGradient(
  kind: UnaryKind,
  low: number,
  high: number,
  at: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): void {
  for (let i = 0; i < at.length; i++) {
    const slope = slopes[kind](at[i]!, low, high);
    dx[i] = slope === 0 && flat.has(kind) ? 0 : dy[i]! * slope;
  }
}
