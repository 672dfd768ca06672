/**
 * @file Draws that keep the proportions of the classes.
 */
import { Random } from '../base/random.js';

/**
 * How many of `total` go to each class when class c offers `sizes[c]` and may give at most `caps[c]`: proportional,
 * rounded by largest remainder, ties to the lower class. The counts sum to min(total, sum of caps).
 */
export function proportionalCounts(
  sizes: readonly number[],
  caps: readonly number[],
  total: number,
): number[] {
  const all = sizes.reduce((a, b) => a + b, 0);
  const quotas = sizes.map((size) => (all === 0 ? 0 : (size * total) / all));
  const counts = quotas.map((quota, c) => Math.min(caps[c]!, Math.floor(quota)));
  let left =
    Math.min(
      total,
      caps.reduce((a, b) => a + b, 0),
    ) - counts.reduce((a, b) => a + b, 0);
  const byRemainder = quotas
    .map((quota, c) => ({ c, remainder: quota - Math.floor(quota) }))
    .sort((a, b) => b.remainder - a.remainder || a.c - b.c);
  while (left > 0)
    for (const { c } of byRemainder)
      if (left > 0 && counts[c]! < caps[c]!) {
        counts[c]!++;
        left--;
      }
  return counts;
}

/**
 * Parts `indices` in two, class by class: `taken` holds `counts[c]` images of class c drawn by the stream
 * (seed, label, class), `rest` the others; both ascending.
 */
export function drawPerClass(
  indices: ArrayLike<number>,
  labels: ArrayLike<number>,
  counts: readonly number[],
  seed: number,
  label: string,
): { taken: Uint32Array; rest: Uint32Array } {
  const byClass: number[][] = counts.map(() => []);
  for (let i = 0; i < indices.length; i++) byClass[labels[indices[i]!]!]!.push(indices[i]!);
  const taken: number[] = [];
  const rest: number[] = [];
  byClass.forEach((members, c) => {
    Random.stream(seed, label, c).shuffle(members);
    for (let i = 0; i < members.length; i++) (i < counts[c]! ? taken : rest).push(members[i]!);
  });
  return { taken: Uint32Array.from(taken).sort(), rest: Uint32Array.from(rest).sort() };
}
