/**
 * @file The Pareto front of accuracy against one cost.
 */

/**
 * The points that no other point beats: sorted by rising cost, accuracy rising strictly. Of points equal in both, the
 * first given stays. O(n log n). Points with a NaN are left out.
 */
export function paretoFront<T>(
  points: readonly T[],
  costOf: (point: T) => number,
  accuracyOf: (point: T) => number,
): T[] {
  const sorted = points
    .map((point) => ({ point, cost: costOf(point), accuracy: accuracyOf(point) }))
    .filter(({ cost, accuracy }) => !Number.isNaN(cost) && !Number.isNaN(accuracy))
    .sort((a, b) => (a.cost !== b.cost ? (a.cost < b.cost ? -1 : 1) : b.accuracy - a.accuracy || 0));
  const front: T[] = [];
  let best: number | undefined;
  for (const { point, accuracy } of sorted) {
    if (best !== undefined && accuracy <= best) continue;
    best = accuracy;
    front.push(point);
  }
  return front;
}
