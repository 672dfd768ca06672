/**
 * @file Pareto dominance under constraints, fast non-dominated sorting and crowding (Deb, Pratap, Agarwal and Meyarivan
 * 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II"). Objectives are minimised.
 */

/** One point of the objective space. */
export type Objectives = readonly number[];

/** What selection needs to know of a candidate. */
export interface Rated {
  readonly objectives: Objectives;
  /** How far it is beyond its constraints; 0 when it keeps them. Absent means 0. */
  readonly violation?: number;
}

/** A candidate's place in its population. */
export interface Placed<T> {
  readonly item: T;
  /** Of its front; 0 for the Pareto front. */
  readonly rank: number;
  /** How lonely it is within its front; infinite at the ends. */
  readonly crowding: number;
}

/** True when `a` is nowhere worse than `b` and somewhere better. */
export function dominates(a: Objectives, b: Objectives): boolean {
  let better = false;
  for (let at = 0; at < a.length; at++) {
    if (a[at]! > b[at]!) return false;
    if (a[at]! < b[at]!) better = true;
  }
  return better;
}

/** Constrained domination (definition 1): who violates less wins; of two that violate nothing, who {@link dominates}. */
export function constrainedDominates(a: Rated, b: Rated): boolean {
  const [ofA, ofB] = [a.violation ?? 0, b.violation ?? 0];
  return ofA === ofB && ofA === 0 ? dominates(a.objectives, b.objectives) : ofA < ofB;
}

/** Points that no other one dominates, in the order given; of equal points the first. */
export function nonDominated(points: readonly Objectives[]): readonly Objectives[] {
  return paretoSet(points, (point) => point);
}

/** Items that no other one dominates, in the order given; of those with equal objectives the first. */
export function paretoSet<T>(items: readonly T[], objectivesOf: (item: T) => Objectives): readonly T[] {
  // In lexicographic order only earlier points can dominate later ones.
  const points = items.map(objectivesOf);
  const order = [...items.keys()].sort((a, b) => lexicographic(points[a]!, points[b]!) || a - b);
  const kept: number[] = [];
  for (const at of order) {
    const point = points[at]!;
    if (!kept.some((other) => points[other]!.every((value, objective) => value <= point[objective]!)))
      kept.push(at);
  }
  return kept.sort((a, b) => a - b).map((at) => items[at]!);
}

/** Splits a population into fronts: the first is dominated by nobody, the second by members of the first alone, ... */
export function sortIntoFronts<T>(
  items: readonly T[],
  ratedOf: (item: T) => Rated,
): readonly (readonly T[])[] {
  const rated = items.map(ratedOf);
  const inferior = rated.map((): number[] => []);
  const superiors = rated.map(() => 0);
  rated.forEach((a, i) => {
    for (let j = 0; j < i; j++) {
      const b = rated[j]!;
      const [winner, loser] = constrainedDominates(a, b) ? [i, j] : constrainedDominates(b, a) ? [j, i] : [];
      if (winner === undefined) continue;
      inferior[winner]!.push(loser!);
      superiors[loser!]!++;
    }
  });
  const fronts: T[][] = [];
  let current = [...items.keys()].filter((at) => superiors[at] === 0);
  while (current.length > 0) {
    fronts.push(current.map((at) => items[at]!));
    const next: number[] = [];
    for (const at of current)
      for (const loser of inferior[at]!) if (--superiors[loser]! === 0) next.push(loser);
    current = next.sort((a, b) => a - b);
  }
  return fronts;
}

/**
 * Crowding distance of each point of a front: the sum over objectives of the gap between its neighbours, each as a
 * share of the front's range; infinite for the ends of any objective. Neighbours are those of another value, so that
 * points level in one objective are not taken for crowded; of points equal in all, all but the first have distance 0.
 */
export function crowdingDistances(points: readonly Objectives[]): readonly number[] {
  const distances = points.map(() => 0);
  for (let objective = 0; objective < (points[0]?.length ?? 0); objective++) {
    const values = [...new Set(points.map((point) => point[objective]!))].sort((a, b) => a - b);
    const range = values.at(-1)! - values[0]!;
    if (range === 0) continue;
    const gaps = new Map(
      values.map((value, at): [number, number] => [
        value,
        at === 0 || at === values.length - 1 ? Infinity : (values[at + 1]! - values[at - 1]!) / range,
      ]),
    );
    points.forEach((point, at) => (distances[at]! += gaps.get(point[objective]!)!));
  }
  const known = new Set<string>();
  return points.map((point, at) => {
    const key = point.join();
    if (known.has(key)) return 0;
    known.add(key);
    return distances[at]!;
  });
}

/**
 * The `count` members of a population that survive: whole fronts from the best, and of the one that does not fit the
 * least crowded. In that order; equal ones stay in the order given.
 */
export function survivors<T>(
  items: readonly T[],
  ratedOf: (item: T) => Rated,
  count: number,
): readonly Placed<T>[] {
  return sortIntoFronts(items, ratedOf)
    .flatMap((front, rank) => {
      const crowding = crowdingDistances(front.map((item) => ratedOf(item).objectives));
      return front
        .map((item, at): Placed<T> => ({ item, rank, crowding: crowding[at]! }))
        .sort((a, b) => (a.crowding === b.crowding ? 0 : b.crowding - a.crowding));
    })
    .slice(0, count);
}

/** The crowded comparison: negative when `a` is preferred, for its rank or else for its crowding. */
export function crowdedComparison(a: Placed<unknown>, b: Placed<unknown>): number {
  return a.rank - b.rank || (a.crowding === b.crowding ? 0 : b.crowding - a.crowding);
}

function lexicographic(a: Objectives, b: Objectives): number {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return 0;
}
