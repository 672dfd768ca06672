/**
 * @file Kendall's rank correlation tau-b (Kendall 1945), by sorting (Knight 1966): O(n log n).
 */

/** Pairs of items by how two rankings order them; what tau is made of, and adds up over groups of items. */
export interface PairCounts {
  /** Pairs ordered alike minus pairs ordered against each other. */
  readonly surplus: number;
  /** Pairs that the first ranking, and that the second, tells apart. */
  readonly apartFirst: number;
  readonly apartSecond: number;
}

/** Counts the pairs of two rankings of the same items. */
export function countPairs(first: readonly number[], second: readonly number[]): PairCounts {
  const count = first.length;
  const order = [...first.keys()].sort((a, b) => first[a]! - first[b]! || second[a]! - second[b]!);
  const a = order.map((at) => first[at]!);
  const b = order.map((at) => second[at]!);
  const all = (count * (count - 1)) / 2;
  const tiedFirst = tiedPairs(count, (at) => a[at] === a[at - 1]);
  const tiedBoth = tiedPairs(count, (at) => a[at] === a[at - 1] && b[at] === b[at - 1]);
  const swaps = sortCounting(b);
  const tiedSecond = tiedPairs(count, (at) => b[at] === b[at - 1]);
  return {
    // Every swap undoes one discordant pair; pairs tied on one side count for neither.
    surplus: all - tiedFirst - tiedSecond + tiedBoth - 2 * swaps,
    apartFirst: all - tiedFirst,
    apartSecond: all - tiedSecond,
  };
}

/** tau-b of counted pairs; NaN where either ranking tells no pair apart. */
export function tauOf({ surplus, apartFirst, apartSecond }: PairCounts): number {
  return surplus / Math.sqrt(apartFirst * apartSecond);
}

/** Kendall's tau-b of two rankings of the same items, in [-1, 1]; NaN where either is constant. */
export function kendallTau(first: readonly number[], second: readonly number[]): number {
  return tauOf(countPairs(first, second));
}

/** tau-b over the pairs inside each group alone: whether items of one group are ordered alike. */
export function kendallTauWithin(
  groups: readonly { readonly first: readonly number[]; readonly second: readonly number[] }[],
): number {
  const counts = groups.map(({ first, second }) => countPairs(first, second));
  const sum = (of: (pairs: PairCounts) => number): number =>
    counts.reduce((total, each) => total + of(each), 0);
  return tauOf({
    surplus: sum(({ surplus }) => surplus),
    apartFirst: sum(({ apartFirst }) => apartFirst),
    apartSecond: sum(({ apartSecond }) => apartSecond),
  });
}

/** Pairs inside runs of items each of which `ties` with the one before it. */
function tiedPairs(count: number, ties: (at: number) => boolean): number {
  let [pairs, run] = [0, 0];
  for (let at = 1; at < count; at++) {
    run = ties(at) ? run + 1 : 0;
    pairs += run;
  }
  return pairs;
}

/** Sorts in place by merging; returns how many neighbours a bubble sort would swap. */
function sortCounting(values: number[]): number {
  let swaps = 0;
  let from = values;
  let to = new Array<number>(values.length);
  for (let width = 1; width < values.length; width *= 2) {
    for (let start = 0; start < values.length; start += 2 * width) {
      const middle = Math.min(start + width, values.length);
      const end = Math.min(start + 2 * width, values.length);
      let [left, right] = [start, middle];
      for (let at = start; at < end; at++)
        if (right >= end || (left < middle && from[left]! <= from[right]!)) to[at] = from[left++]!;
        else {
          to[at] = from[right++]!;
          swaps += middle - left;
        }
    }
    [from, to] = [to, from];
  }
  if (from !== values) from.forEach((value, at) => (values[at] = value));
  return swaps;
}
