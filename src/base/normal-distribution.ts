/**
 * @file The standard normal distribution, to the accuracy of doubles.
 */

const peak = 1 / Math.sqrt(2 * Math.PI);
/** From here on the continued fraction of the tail is shorter than the series about zero. */
const tailBegins = 2.5;

export function normalDensity(z: number): number {
  return peak * Math.exp(-0.5 * z * z);
}

/** P(Z <= z), with a small relative error in the lower tail too. */
export function normalCdf(z: number): number {
  if (z < -tailBegins) return normalDensity(z) * millsRatio(-z);
  if (z > tailBegins) return 1 - normalDensity(z) * millsRatio(z);
  // Phi(z) = 1/2 + phi(z) (z + z^3/3 + z^5/(3 5) + ...)
  let [term, sum] = [z, z];
  for (let odd = 3; Math.abs(term) > 1e-17; odd += 2) sum += term *= (z * z) / odd;
  return 0.5 + normalDensity(z) * sum;
}

/** The z below which the share `probability` lies; infinite for 0 and 1. By bisection. */
export function normalQuantile(probability: number): number {
  if (!(probability >= 0 && probability <= 1)) return Number.NaN;
  if (probability === 0 || probability === 1) return probability === 0 ? -Infinity : Infinity;
  let [low, high] = [-40, 40];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * E[max(0, X)] for X normal with this mean and deviation (of an improvement: Mockus 1978; Jones, Schonlau and Welch
 * 1998, eq. 15). Above zero also where the mean is many deviations below, as long as doubles reach.
 */
export function expectedExcess(mean: number, deviation: number): number {
  if (!(deviation > 0)) return Math.max(0, mean);
  const z = mean / deviation;
  // phi(z) + z Phi(z); in the tail as phi (1 - z R(z)), where the sum would cancel.
  if (z < -tailBegins) return deviation * normalDensity(z) * (1 + z * millsRatio(-z));
  return deviation * (normalDensity(z) + z * normalCdf(z));
}

/** (1 - Phi(z)) / phi(z) for z > 0 by Laplace's continued fraction 1/(z + 1/(z + 2/(z + 3/...))). */
function millsRatio(z: number): number {
  let fraction = z;
  for (let k = 120; k >= 1; k--) fraction = z + k / fraction;
  return 1 / fraction;
}
