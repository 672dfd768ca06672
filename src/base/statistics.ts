/**
 * @file The few statistics that several floors need: quantiles, mean and deviation, ranks, rank correlation.
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

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of what the values are a sample of; NaN for fewer than two. */
export function sampleDeviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** The rank of each value among all, from 0 for the least; equal values share the mean of their ranks. */
export function ranks(values: readonly number[]): readonly number[] {
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

/**
 * Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank. 1 when the order is the same; NaN
 * where either side is constant.
 */
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
