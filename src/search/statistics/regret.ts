/**
 * @file What choosing by a score costs: the best there is minus the best among the k that the score puts first.
 */

/**
 * Best of `truths` minus the best among the `k` items of highest score, >= 0. Items of equal score are taken in random
 * order, and the value is the mean over those orders, in closed form. NaN without items; all are taken when k is more.
 */
export function topRegret(scores: readonly number[], truths: readonly number[], k: number): number {
  if (truths.length === 0) return Number.NaN;
  const best = Math.max(...truths);
  if (k >= truths.length) return 0;
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
  const threshold = scores[order[k - 1]!]!;
  const truthsWhere = (chosen: (score: number) => boolean): number[] =>
    order.filter((at) => chosen(scores[at]!)).map((at) => truths[at]!);
  const above = truthsWhere((score) => score > threshold);
  const tied = truthsWhere((score) => score === threshold).sort((a, b) => a - b);
  return expectedShortfall(best, tied, k - above.length, Math.max(-Infinity, ...above));
}

/** Mean of `best` - max(floor, best of `wanted` items drawn from `rising` without return); never below zero. */
function expectedShortfall(best: number, rising: readonly number[], wanted: number, floor: number): number {
  // P(the best is item j, counted from 0) = C(j, wanted - 1) / C(n, wanted); the ratio of neighbours needs no factorials.
  const count = rising.length;
  let share = wanted / count;
  let mean = 0;
  for (let at = count - 1; at >= wanted - 1; at--) {
    mean += share * (best - Math.max(floor, rising[at]!));
    share *= (at - wanted + 1) / Math.max(1, at);
  }
  return mean;
}
