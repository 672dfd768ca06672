/**
 * @file The few statistics that measurements need: quantiles, relative errors, rank correlation.
 */

/** The value below which a `share` of the values lies, interpolated; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (at - Math.floor(at)) * (sorted[Math.ceil(at)]! - low);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

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

/** Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [ranksA, ranksB] = [ranks(a), ranks(b)];
  const mean = (a.length - 1) / 2;
  let [covariance, varianceA, varianceB] = [0, 0, 0];
  for (const [at, rank] of ranksA.entries()) {
    covariance += (rank - mean) * (ranksB[at]! - mean);
    varianceA += (rank - mean) ** 2;
    varianceB += (ranksB[at]! - mean) ** 2;
  }
  return covariance / Math.sqrt(varianceA * varianceB);
}

function ranks(values: readonly number[]): readonly number[] {
  const order = [...values.keys()].sort((a, b) => values[a]! - values[b]!);
  const found = new Array<number>(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]!] === values[order[from]!]) to++;
    for (let at = from; at <= to; at++) found[order[at]!] = (from + to) / 2;
    from = to + 1;
  }
  return found;
}
