/**
 * @file How far predicted latencies are from the measured ones.
 */
import { median, quantile, rankCorrelation } from '../../base/statistics.js';

/** How far predictions are from the truth. */
export interface PredictionErrors {
  /** Values compared. */
  readonly count: number;
  /** Mean of |prediction / truth - 1|. */
  readonly meanRelative: number;
  readonly medianRelative: number;
  readonly p90Relative: number;
  /** Spearman's rank correlation: 1 when the order is right; NaN where either side is constant. */
  readonly rankCorrelation: number;
}

/** Errors of `predicted` against `truth`, both above zero. */
export function predictionErrors(predicted: readonly number[], truth: readonly number[]): PredictionErrors {
  const relative = predicted.map((value, at) => Math.abs(value / truth[at]! - 1));
  return {
    count: truth.length,
    meanRelative: relative.reduce((sum, each) => sum + each, 0) / relative.length,
    medianRelative: median(relative),
    p90Relative: quantile(relative, 0.9),
    rankCorrelation: rankCorrelation(predicted, truth),
  };
}
