/**
 * @file The Pareto front of two objectives: the least cost, the greatest value.
 */

/** One point; less `cost` and more `value` are better. */
export interface Tradeoff {
  readonly cost: number;
  readonly value: number;
}

/**
 * Indices of the points that no other point dominates, by rising cost. A point dominates another when it is at least
 * as good in both objectives and better in one, so equal points stay together on or off the front. Points with a
 * coordinate that is not finite take no part. O(n log n): sort, then one sweep.
 */
export function paretoFront(points: readonly Tradeoff[]): readonly number[] {
  const order = points
    .map((_, at) => at)
    .filter((at) => Number.isFinite(points[at]!.cost) && Number.isFinite(points[at]!.value))
    .sort((a, b) => points[a]!.cost - points[b]!.cost || points[b]!.value - points[a]!.value || a - b);
  const front: number[] = [];
  let last: Tradeoff = { cost: Number.NEGATIVE_INFINITY, value: Number.NEGATIVE_INFINITY };
  for (const at of order) {
    const point = points[at]!;
    const equal = point.cost === last.cost && point.value === last.value;
    if (!equal && point.value <= last.value) continue;
    front.push(at);
    last = point;
  }
  return front;
}
