/**
 * @file One published figure beside ours: what `shiftaddnas hw validate` prints.
 */

/** A figure from the literature or from a chip, and what this package computes for it. */
export interface Anchor {
  readonly name: string;
  /** Where the published figure stands. */
  readonly source: string;
  readonly ours: number;
  readonly published: number;
  readonly unit: string;
  /** Largest relative deviation that counts as agreement; absent for figures that are shown without a claim. */
  readonly bound?: number;
  readonly note?: string;
}

/** Relative deviation of our figure from the published one; absolute where the published one is 0. */
export function deviationOf({ ours, published }: Pick<Anchor, 'ours' | 'published'>): number {
  return (ours - published) / (published === 0 ? 1 : Math.abs(published));
}

/** Whether an anchor keeps its bound; undefined for one without a claim. */
export function holds(anchor: Anchor): boolean | undefined {
  return anchor.bound === undefined ? undefined : Math.abs(deviationOf(anchor)) <= anchor.bound;
}
