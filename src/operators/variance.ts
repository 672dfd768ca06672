/**
 * @file How far the outputs of a layer spread, in closed form: the variance transfer of the families, without a tensor.
 *
 * Inputs are independent with known mean and variance; weights are standard normal values as the family sees them (its
 * rounding applied, its unit taken as one deviation), so that families compare at one scale. Zero padding is left out.
 *
 *     products    y = sum x w        D E[w^2] E[x^2]
 *     distances   y = -sum |x - w|   D Var|x - w|; for inputs of mean zero D (1 - 2/pi) (var x + 1)
 *     signs       y = E|w| sum +-1   D E|w|^2 = D 2/pi
 */
import { normalCdf } from '../base/normal-distribution.js';
import type { LayerGeometry } from './contract.js';

/** Of one value of a map. */
export interface Moments {
  readonly mean: number;
  readonly variance: number;
}

/** Variance of one output of a layer whose inputs have these moments. */
export type VarianceTransfer = (input: Moments, geometry: LayerGeometry) => number;

/** D: what one output sums up. */
export function termCount({ kernel, inChannels, groups }: LayerGeometry): number {
  return (kernel * kernel * inChannels) / groups;
}

/** Of sums of products with weights of this mean square and mean zero. */
export function productVariance(weightSquare: number): VarianceTransfer {
  return ({ mean, variance }, geometry) => termCount(geometry) * weightSquare * (mean * mean + variance);
}

/** Of sums of distances: x - w is taken as normal, its absolute value then is folded normal. */
export const distanceVariance: VarianceTransfer = ({ mean, variance }, geometry) =>
  termCount(geometry) * foldedVariance(mean, Math.sqrt(variance + 1));

/** Of sums of signs times the mean magnitude of the weights, sqrt(2 / pi). */
export const signVariance: VarianceTransfer = (_, geometry) => (termCount(geometry) * 2) / Math.PI;

/** Of values that are only moved. */
export const movedVariance: VarianceTransfer = ({ variance }) => variance;

/** Of `first`, and behind it `second` on inputs that are brought to mean 0 and variance 1; scales multiply. */
export function chainedVariance(
  first: VarianceTransfer,
  second: VarianceTransfer,
  secondGeometry: (geometry: LayerGeometry) => LayerGeometry,
): VarianceTransfer {
  return (input, geometry) =>
    first(input, geometry) * second({ mean: 0, variance: 1 }, secondGeometry(geometry));
}

/** Var|X| of X normal with this mean and deviation. */
function foldedVariance(mean: number, deviation: number): number {
  const z = mean / deviation;
  const folded = deviation * Math.sqrt(2 / Math.PI) * Math.exp(-0.5 * z * z) + mean * (1 - 2 * normalCdf(-z));
  return mean * mean + deviation * deviation - folded * folded;
}

/**
 * E[w^2] of a standard normal value whose magnitude is rounded to `levels`, rising, with the borders between neighbours
 * at `borders` (one fewer).
 */
export function roundedSquare(levels: readonly number[], borders: readonly number[]): number {
  const below = (border: number): number => 2 * normalCdf(border) - 1;
  return levels.reduce((sum, level, at) => {
    const from = at === 0 ? 0 : below(borders[at - 1]!);
    const to = at === borders.length ? 1 : below(borders[at]!);
    return sum + level * level * (to - from);
  }, 0);
}

/** E[w^2] of a standard normal value rounded to a power of two, the border above 2^k at `border` 2^k. */
export function powerOfTwoSquare(border: number): number {
  // From where a value adds nothing to the square to where no value of a network comes.
  const exponents = Array.from({ length: 34 }, (_, i) => i - 30);
  return roundedSquare(
    exponents.map((k) => 2 ** k),
    exponents.slice(0, -1).map((k) => border * 2 ** k),
  );
}
