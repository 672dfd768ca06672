/**
 * @file What trained weights are distributed like: near a Gaussian where they multiply, near a Laplacian where they are
 * subtracted (ShiftAddNAS, arXiv 2205.08119, section 3.2). Both laws are symmetric about zero.
 */
import { normalCdf, normalDensity } from '../base/normal-distribution.js';
import type { Random } from '../base/random.js';

export enum WeightLaw {
  Gaussian = 'gaussian',
  Laplacian = 'laplacian',
}

/** The fourth standardised moment: 3 and 6. */
export const kurtosisOf: Readonly<Record<WeightLaw, number>> = {
  [WeightLaw.Gaussian]: 3,
  [WeightLaw.Laplacian]: 6,
};

/** Part of a law of unit variance that lies at or below x. */
export function distributionOf(law: WeightLaw, x: number): number {
  if (law === WeightLaw.Gaussian) return normalCdf(x);
  const tail = 0.5 * Math.exp(-Math.SQRT2 * Math.abs(x));
  return x < 0 ? tail : 1 - tail;
}

/** A draw from the law whose scale (deviation of the Gaussian, mean magnitude of the Laplacian) is `scale`. */
export function drawFrom(law: WeightLaw, scale: number, random: Random): number {
  if (law === WeightLaw.Gaussian) return scale * random.normal();
  const magnitude = -scale * Math.log(1 - random.uniform());
  return random.uniform() < 0.5 ? -magnitude : magnitude;
}

const known = new Map<string, Float64Array>();

/**
 * `count` ascending values that stand for the law: its quantiles at (i + 1/2) / count, scaled to a root mean square of 1.
 * They are kept and only lent: a network has layers of a few sizes, and asks for them again in every step.
 */
export function quantilesOf(law: WeightLaw, count: number): Float64Array {
  const key = `${law} ${count}`;
  const held = known.get(key);
  if (held !== undefined) return held;
  const quantiles = new Float64Array(count);
  let z = 0;
  // From the middle outwards, each normal quantile a guess of the next; with an odd count the middle one is 0.
  for (let i = Math.ceil(count / 2); i < count; i++) {
    const tail = (count - i - 0.5) / count;
    z = law === WeightLaw.Gaussian ? normalWithTail(tail, z) : -Math.log(2 * tail);
    quantiles[i] = z;
    quantiles[count - 1 - i] = -z;
  }
  const size = Math.sqrt(quantiles.reduce((sum, each) => sum + each * each, 0) / count);
  if (size > 0) quantiles.forEach((each, i) => (quantiles[i] = each / size));
  known.set(key, quantiles);
  return quantiles;
}

/**
 * The z >= 0 that a standard normal exceeds with probability `tail`, from a guess at or below it, by Newton's steps on the
 * logarithm of the tail: that is concave, so that the first step goes to the right of the root and the others come down
 * to it. The first may not go past the root of the upper bound exp(-z^2 / 2) / 2 of the tail.
 */
function normalWithTail(tail: number, guess: number): number {
  const bound = Math.sqrt(-2 * Math.log(2 * tail));
  let z = guess;
  for (let step = 0; step < 60; step++) {
    const reached = normalCdf(-z);
    const next = Math.min(bound, z + (Math.log(reached / tail) * reached) / normalDensity(z));
    if (Math.abs(next - z) <= 1e-13 * (1 + z)) return next;
    z = next;
  }
  return z;
}
