/**
 * @file Integers for add layers, y = -sum |x - w| (Wang et al., arXiv 2101.10015; grouping and clamp after Nie et al.,
 * "Redistribution of weights and activations", NeurIPS'22, arXiv 2212.10200).
 *
 * |x - w| of integers means something only if one step is worth the same for both: s |a - b| = |s a - s b|, while
 * |s_x a - s_w b| has no common factor for a sum of integers to be multiplied by. So a {@link SharedGrid} belongs to both
 * operands, and nothing here takes a scale for one of them. Two codes of b bits differ by at most 2^b - 1, a number of
 * b + 1 bits with its sign, and D terms add ceil(log2 D) bits: {@link distanceAccumulatorBits}.
 *
 * Codes have a shared zero too: a translation of both operands changes no distance, so where all activations are at least
 * zero the grid may begin there.
 */
import type { LayerGeometry } from '../operators/contract.js';
import { codesOf, rangeOf, signedGrid, storableScale, type Grid } from './grid.js';
import { integerLayer, type IntegerInput } from './integers.js';

declare const shared: unique symbol;

/** A grid for both operands of an add layer. Made by {@link symmetricGrid} and {@link clampedGrid} alone. */
export type SharedGrid = Grid & { readonly [shared]: true };

/** What calibration saw of a layer's inputs. */
export interface ActivationRange {
  readonly least: number;
  /** Largest magnitude, or the percentile of the magnitudes that outliers are clipped at. */
  readonly largest: number;
}

/** Around zero, as wide as the larger operand: s = max(max |x|, max |w|) / (2^(bits-1) - 1). */
export function symmetricGrid(
  activations: ActivationRange,
  largestWeight: number,
  bits: number,
  powerOfTwo: boolean,
): SharedGrid {
  const range = Math.max(activations.largest, largestWeight);
  return signedGrid(storableScale(range / (2 ** (bits - 1) - 1), powerOfTwo), bits) as SharedGrid;
}

/**
 * As wide as the activations alone, zero included (padding reads zero): what weights have beyond it goes into a bias,
 * see {@link clampWeights}.
 */
export function clampedGrid(activations: ActivationRange, bits: number, powerOfTwo: boolean): SharedGrid {
  const { least, largest } = activations;
  const low = Math.min(0, Math.max(least, -largest));
  const scale = storableScale((largest - low) / (2 ** bits - 1), powerOfTwo);
  const [first, last] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const zero = Math.min(last, first + Math.ceil(-low / scale));
  return { scale, zero, least: first, most: last } as SharedGrid;
}

/**
 * The lossless clamp: where every x is at most `high`, |x - w| = (w - high) + |x - high| for w > high, and likewise below
 * `low`. So weights move to the end of the range and what they lose goes into one bias per filter, y = -sum |x - w'| +
 * bias. Zero must lie in the range where padding is read.
 * @param weights [columns, filters]
 */
export function clampWeights(
  weights: ArrayLike<number>,
  filters: number,
  { low, high }: { readonly low: number; readonly high: number },
): { readonly weights: Float64Array; readonly bias: Float64Array } {
  const bias = new Float64Array(filters);
  const clamped = Float64Array.from(weights, (w, i) => {
    const inside = Math.max(low, Math.min(high, w));
    bias[i % filters]! -= Math.abs(w - inside);
    return inside;
  });
  return { weights: clamped, bias };
}

/**
 * Filters in `groups` groups of alike largest magnitude, each of about the same size, ascending within a group. As many
 * groups as filters give every filter its own.
 */
export function groupFilters(
  weights: ArrayLike<number>,
  filters: number,
  groups: number,
): readonly (readonly number[])[] {
  const largest = new Float64Array(filters);
  for (let i = 0; i < weights.length; i++)
    largest[i % filters] = Math.max(largest[i % filters]!, Math.abs(weights[i]!));
  const order = Array.from({ length: filters }, (_, f) => f).sort(
    (a, b) => largest[a]! - largest[b]! || a - b,
  );
  const count = Math.min(groups, filters);
  return Array.from({ length: count }, (_, g) =>
    order
      .slice(Math.round((g * filters) / count), Math.round(((g + 1) * filters) / count))
      .sort((a, b) => a - b),
  );
}

/** Codes of both operands of one layer: there is one grid, hence one scale. */
export function sharedCodes(values: ArrayLike<number>, grid: SharedGrid): Int8Array {
  return Int8Array.from(codesOf(values, grid));
}

/** Bits that hold every sum of `terms` distances of `bits`-bit codes: 9 + ceil(log2 terms) at 8. */
export function distanceAccumulatorBits(bits: number, terms: number): number {
  return bits + 1 + Math.ceil(Math.log2(terms));
}

/** -sum |x - w| over codes of one grid. */
export function integerDistances(
  input: IntegerInput,
  weights: Int8Array,
  geometry: LayerGeometry,
  grid: SharedGrid,
): Int32Array {
  const bits = Math.log2(grid.most - grid.least + 1);
  const terms = (geometry.kernel ** 2 * geometry.inChannels) / geometry.groups;
  return integerLayer(input, weights, geometry, {
    term: (x, w) => -Math.abs(x - w),
    pad: grid.zero,
    accumulatorBits: distanceAccumulatorBits(bits, terms),
  });
}

/** The ends of what codes of the grid can stand for. */
export const sharedRange = rangeOf as (grid: SharedGrid) => { readonly low: number; readonly high: number };
