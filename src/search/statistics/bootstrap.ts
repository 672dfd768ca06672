/**
 * @file Confidence intervals by the bootstrap (Efron 1979), for statistics of which nothing else is known.
 *
 * Items are drawn with return, by a seed, and the statistic is taken of each sample drawn. The interval is either the
 * percentile one (quantiles of those values) or BCa (Efron 1987, DiCiccio and Efron 1996, eq. 2.3), which shifts
 * the quantiles by the bias of the statistic and by how its spread changes with its value, and so keeps its promise better
 * for skewed statistics such as correlations near 1.
 */
import { normalCdf, normalQuantile } from '../../base/normal-distribution.js';
import { Random } from '../../base/random.js';
import { quantile } from '../../base/statistics.js';

export enum IntervalKind {
  /** Bias-corrected and accelerated. */
  Bca = 'bca',
  Percentile = 'percentile',
}

/** A statistic and its confidence interval. NaN (null in JSON) where the items do not determine it. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  readonly seed: number;
  /** Samples drawn; default 2000. */
  readonly resamples?: number;
  /** Share of the intervals that should hold the true value; default 0.95. */
  readonly confidence?: number;
}

export const defaultResamples = 2000;
export const defaultConfidence = 0.95;

/** A sample as indices of items, possibly repeated, to the values of several statistics. */
export type Statistics = (indices: readonly number[]) => readonly number[];

/**
 * Estimates of several statistics of `count` items, all on the same samples, `kinds` saying which interval each gets.
 * Samples on which a statistic is NaN are left out; where that is more than half of them there is no interval.
 * Where BCa is not defined (every sample on one side of the value) the percentiles stand in.
 */
export function bootstrap(
  count: number,
  statistics: Statistics,
  kinds: readonly IntervalKind[],
  options: BootstrapOptions,
): readonly Estimate[] {
  const { seed, resamples = defaultResamples, confidence = defaultConfidence } = options;
  const whole = Array.from({ length: count }, (_, at) => at);
  const values = statistics(whole);
  const drawn = kinds.map((): number[] => []);
  const random = Random.stream(seed, 'bootstrap');
  for (let i = 0; i < resamples && count > 0; i++)
    statistics(whole.map(() => random.integer(count))).forEach((value, at) => {
      if (!Number.isNaN(value)) drawn[at]!.push(value);
    });
  const left = kinds.includes(IntervalKind.Bca)
    ? whole.map((out) => statistics(whole.filter((at) => at !== out)))
    : [];
  return kinds.map((kind, at): Estimate => {
    const value = values[at]!;
    const sample = drawn[at]!;
    if (Number.isNaN(value) || sample.length <= resamples / 2)
      return { value, low: Number.NaN, high: Number.NaN };
    const shares = [(1 - confidence) / 2, (1 + confidence) / 2];
    const [low, high] = (
      kind === IntervalKind.Bca
        ? bcaShares(
            value,
            sample,
            left.map((each) => each[at]!),
            shares,
          )
        : shares
    ).map((share) => quantile(sample, share));
    return { value, low: low!, high: high! };
  });
}

/** The shares of the bootstrap distribution that BCa takes in place of `shares`. */
function bcaShares(
  value: number,
  sample: readonly number[],
  jackknife: readonly number[],
  shares: readonly number[],
): readonly number[] {
  // Half of the samples that hit the value itself count as below, as for any distribution with atoms.
  const below = sample.reduce((sum, each) => sum + (each < value ? 1 : each === value ? 0.5 : 0), 0);
  const bias = normalQuantile(below / sample.length);
  const known = jackknife.filter((each) => !Number.isNaN(each));
  const mean = known.reduce((sum, each) => sum + each, 0) / known.length;
  const moment = (power: number): number => known.reduce((sum, each) => sum + (mean - each) ** power, 0);
  const acceleration = moment(3) / (6 * moment(2) ** 1.5);
  if (!Number.isFinite(bias) || !Number.isFinite(acceleration)) return shares;
  return shares.map((share) => {
    const z = bias + normalQuantile(share);
    return normalCdf(bias + z / (1 - acceleration * z));
  });
}
