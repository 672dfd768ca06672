/**
 * @file Complementary sparsity ("Two Sparsities Are Better Than One", Hunter, Spracklen and Ahmad 2021, arXiv 2112.13896):
 * filters whose supports do not meet are laid over one another into one dense vector, with the owner of each place beside
 * it. K sparse dot products then cost the D products of the dense vector, not K D: each product is routed to its owner's sum.
 * Together with sparse activations only the places of active inputs are visited at all.
 */
import { OptionError } from '../base/errors.js';
import type { Random } from '../base/random.js';

/** Which of `length` places of each of `filters` filters have a weight: 1 there, else 0. [filters, length]. */
export interface SparseFilters {
  readonly filters: number;
  readonly length: number;
  readonly mask: Float32Array;
}

/** `nonZeros` places of each filter, drawn anew for each. @throws OptionError */
export function randomMask(filters: number, length: number, nonZeros: number, random: Random): SparseFilters {
  requireCount(nonZeros, length);
  const mask = new Float32Array(filters * length);
  for (let f = 0; f < filters; f++) {
    const places = random.shuffle(Uint32Array.from({ length }, (_, i) => i));
    for (const place of places.subarray(0, nonZeros)) mask[f * length + place] = 1;
  }
  return { filters, length, mask };
}

/**
 * As {@link randomMask}, and the supports of each set of floor(length / nonZeros) filters, from the first on, do not meet.
 * @throws OptionError
 */
export function complementaryMask(
  filters: number,
  length: number,
  nonZeros: number,
  random: Random,
): SparseFilters {
  requireCount(nonZeros, length);
  const perSet = Math.floor(length / nonZeros);
  const mask = new Float32Array(filters * length);
  let places = new Uint32Array(0);
  for (let f = 0; f < filters; f++) {
    const at = f % perSet;
    if (at === 0) places = random.shuffle(Uint32Array.from({ length }, (_, i) => i));
    for (const place of places.subarray(at * nonZeros, (at + 1) * nonZeros)) mask[f * length + place] = 1;
  }
  return { filters, length, mask };
}

function requireCount(nonZeros: number, length: number): void {
  if (!Number.isInteger(nonZeros) || nonZeros < 1 || nonZeros > length)
    throw new OptionError(`${nonZeros} weights of ${length} places: give a whole number from 1 to ${length}`);
}

/** The first place that two filters of a set both claim; undefined when their supports do not meet. */
export function collision(
  { length, mask }: SparseFilters,
  set: readonly number[],
): { readonly place: number; readonly filters: readonly [number, number] } | undefined {
  const owner = new Int32Array(length).fill(-1);
  for (const filter of set)
    for (let place = 0; place < length; place++) {
      if (mask[filter * length + place] === 0) continue;
      if (owner[place] !== -1) return { place, filters: [owner[place] as number, filter] };
      owner[place] = filter;
    }
  return undefined;
}

/** Filters laid over one another: one weight for each place, and whose it is (-1: nobody's). */
export interface PackedSet {
  readonly weights: Float32Array;
  readonly owners: Int32Array;
}

/** Lays the filters of `set` over one another. `weights` [filters, length]. @throws OptionError when two of them meet */
export function pack(sparse: SparseFilters, weights: Float32Array, set: readonly number[]): PackedSet {
  const { length, mask } = sparse;
  const met = collision(sparse, set);
  if (met !== undefined)
    throw new OptionError(
      `filters ${met.filters.join(' and ')} both have a weight at place ${met.place}; only filters that do not meet can be packed`,
    );
  const packed = { weights: new Float32Array(length), owners: new Int32Array(length).fill(-1) };
  for (const filter of set)
    for (let place = 0; place < length; place++)
      if (mask[filter * length + place] !== 0) {
        packed.weights[place] = weights[filter * length + place] as number;
        packed.owners[place] = filter;
      }
  return packed;
}

/** Filters put into as few sets as greedy choice finds: each into the first set that it meets nobody of. */
export function packingSets(sparse: SparseFilters): readonly (readonly number[])[] {
  const sets: { readonly members: number[]; readonly taken: Uint8Array }[] = [];
  const { length, mask } = sparse;
  for (let filter = 0; filter < sparse.filters; filter++) {
    const claims = (place: number): boolean => mask[filter * length + place] !== 0;
    let set = sets.find(({ taken }) => !taken.some((used, place) => used === 1 && claims(place)));
    if (set === undefined) sets.push((set = { members: [], taken: new Uint8Array(length) }));
    set.members.push(filter);
    for (let place = 0; place < length; place++) if (claims(place)) set.taken[place] = 1;
  }
  return sets.map(({ members }) => members);
}

/**
 * Adds to `sums` [filters] the dot products of all filters of the packed sets with x [length], zeros of x left out.
 * Returns the number of products: for each place of x that is not zero, one a set in which somebody owns it.
 */
export function packedDots(sets: readonly PackedSet[], x: Float32Array, sums: Float64Array): number {
  let products = 0;
  for (let place = 0; place < x.length; place++) {
    const value = x[place] as number;
    if (value === 0) continue;
    for (const { weights, owners } of sets) {
      const owner = owners[place] as number;
      if (owner < 0) continue;
      sums[owner]! += value * (weights[place] as number);
      products++;
    }
  }
  return products;
}
