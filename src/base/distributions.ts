/**
 * @file Draws from distributions that take more than one uniform number.
 */
import type { Random } from './random.js';

/**
 * The logarithm of a draw from the gamma distribution with this shape and scale 1 (Marsaglia and Tsang, "A simple method
 * for generating gamma variables", 2000). Logarithms, since draws at small shapes are below the smallest number.
 */
export function logGamma(random: Random, shape: number): number {
  // Gamma(a) = Gamma(a + 1) U^(1 / a).
  if (shape < 1) return logGamma(random, shape + 1) + Math.log(1 - random.uniform()) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v))
      return Math.log(d * v);
  }
}

/** A draw from Beta(a, b), in [0, 1]. @throws RangeError unless a and b are above 0 */
export function beta(random: Random, a: number, b: number): number {
  if (!(a > 0 && b > 0 && Number.isFinite(a + b)))
    throw new RangeError(`Beta(${a}, ${b}): give two numbers above 0`);
  const [first, second] = [logGamma(random, a), logGamma(random, b)];
  return 1 / (1 + Math.exp(second - first));
}
