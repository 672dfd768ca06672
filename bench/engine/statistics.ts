/**
 * @file Repetitions of one measurement, and what is said of them.
 */
import { quantileSorted } from 'd3-array';

/** Repetitions in milliseconds, and whether the system took the processor away during each. */
export interface Samples {
  readonly ms: readonly number[];
  readonly disturbed: readonly boolean[];
}

export interface Summary {
  readonly medianMs: number;
  /** First and third quartile. */
  readonly quartilesMs: readonly [number, number];
  readonly repetitions: number;
}

/** At least so many repetitions, and this share of all, must be left when the disturbed ones are dropped. */
const leastKept = 5;
const leastShare = 1 / 3;

/**
 * The repetitions to count on each of the compared sides: the undisturbed ones when every side has enough of them, all
 * otherwise. One rule for all sides, because short repetitions escape the scheduler more easily than long ones.
 */
export function countedMs(sides: readonly Samples[]): readonly (readonly number[])[] {
  const calm = sides.map(({ ms, disturbed }) => ms.filter((_, i) => disturbed[i] === false));
  const enough = calm.every(
    (kept, i) => kept.length >= Math.max(leastKept, leastShare * (sides[i] as Samples).ms.length),
  );
  return enough ? calm : sides.map(({ ms }) => ms);
}

/** @throws RangeError without values */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('no repetitions to summarise');
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => quantileSorted(sorted, share) as number;
  return { medianMs: at(0.5), quartilesMs: [at(0.25), at(0.75)], repetitions: values.length };
}

/** Half the distance between the quartiles over the median. */
export function spread({ medianMs, quartilesMs: [low, high] }: Summary): number {
  return (high - low) / 2 / medianMs;
}
