/**
 * @file The hypervolume of a front: how much of the objective space, up to a reference point, some point of it dominates.
 *
 * All objectives are minimised. The volume is exact for any number of objectives, by slicing along the last one
 * (Zitzler 1999; Fleischer 2003 for its properties): it is the only common indicator that never prefers a front that
 * another dominates. Its unit is the product of the objectives' units; comparisons also give it as a share of the box
 * that the fronts span, which has none.
 */
import { OptionError } from '../base/errors.js';
import { nonDominated, type Objectives } from './dominance.js';

/**
 * Volume of what is dominated by some of `points` and dominates `reference`. Points that are not better than the
 * reference in every objective add nothing.
 * @throws OptionError for points of another dimension than the reference, or values that are not numbers
 */
export function hypervolume(points: readonly Objectives[], reference: Objectives): number {
  for (const point of points)
    if (point.length !== reference.length || point.some(Number.isNaN))
      throw new OptionError(
        `a hypervolume over ${reference.length} objectives has no room for the point (${point.join(', ')})`,
      );
  const inside = points.filter((point) => point.every((value, at) => value < reference[at]!));
  return sliced(nonDominated(inside), reference, reference.length);
}

/** Volume in the first `dimensions` objectives. */
function sliced(points: readonly Objectives[], reference: Objectives, dimensions: number): number {
  const last = dimensions - 1;
  if (dimensions === 1) return points.reduce((most, point) => Math.max(most, reference[0]! - point[0]!), 0);
  const rising = [...points].sort((a, b) => a[last]! - b[last]!);
  if (dimensions === 2) {
    let [volume, ceiling] = [0, reference[0]!];
    for (const point of rising) {
      const [first, second] = point as readonly [number, number];
      if (first >= ceiling) continue;
      volume += (ceiling - first) * (reference[1]! - second);
      ceiling = first;
    }
    return volume;
  }
  let volume = 0;
  for (let at = 0; at < rising.length; at++) {
    const depth = (rising[at + 1]?.[last] ?? reference[last]!) - rising[at]![last]!;
    if (depth > 0) volume += depth * sliced(rising.slice(0, at + 1), reference, last);
  }
  return volume;
}

/** One of several fronts under comparison. */
export interface ComparedFront {
  readonly name: string;
  /** Points of it that none of its own dominates. */
  readonly points: number;
  readonly hypervolume: number;
  /** Of the box from the ideal to the reference point, 0 to 1. */
  readonly share: number;
  /** Part of the volume of all fronts together that would be missing without this one, 0 to 1. */
  readonly onlyHere: number;
}

export interface HypervolumeComparison {
  /** Least of each objective over all fronts, and the reference point. */
  readonly ideal: Objectives;
  readonly reference: Objectives;
  /** Of all fronts together. */
  readonly together: number;
  /** In the order given. */
  readonly fronts: readonly ComparedFront[];
}

/** How far beyond the worst point the reference lies, as a share of the range, so that extreme points count too. */
const margin = 0.1;

/**
 * Fronts over the same objectives under one reference point: `reference`, or else a tenth of the range beyond the
 * worst value of each objective over all fronts (Ishibuchi et al. 2018 discuss the choice).
 * @throws OptionError without any point, or as {@link hypervolume}
 */
export function compareFronts(
  fronts: Readonly<Record<string, readonly Objectives[]>>,
  reference?: Objectives,
): HypervolumeComparison {
  const all = Object.values(fronts).flat();
  const { ideal, reference: common } = boxOf(all, reference);
  const box = common.reduce((product, value, at) => product * (value - ideal[at]!), 1);
  const together = hypervolume(all, common);
  return {
    ideal,
    reference: common,
    together,
    fronts: Object.entries(fronts).map(([name, points]) => {
      const volume = hypervolume(points, common);
      const others = Object.entries(fronts).flatMap(([other, its]) => (other === name ? [] : its));
      return {
        name,
        points: nonDominated(points).length,
        hypervolume: volume,
        share: box > 0 ? volume / box : 0,
        onlyHere: together > 0 ? 1 - hypervolume(others, common) / together : 0,
      };
    }),
  };
}

/** The ideal point of `points`, and `reference` or the one that {@link compareFronts} takes. */
export function boxOf(
  points: readonly Objectives[],
  reference?: Objectives,
): { readonly ideal: Objectives; readonly reference: Objectives } {
  if (points.length === 0) throw new OptionError('there is no point whose hypervolume could be taken');
  const extreme = (of: (...values: number[]) => number): number[] =>
    points[0]!.map((_, at) => points.reduce((best, point) => of(best, point[at]!), points[0]![at]!));
  const ideal = extreme(Math.min);
  const worst = extreme(Math.max);
  // An objective in which all points agree still needs a side of some length.
  const beyond = (value: number, at: number): number =>
    value + (margin * (value - ideal[at]!) || margin * Math.abs(value) || 1);
  return { ideal, reference: reference ?? worst.map(beyond) };
}
