/**
 * @file The sharing map that ShiftAddNAS learns: the range of the shared tensor is cut into segments of equal width, and
 * every value is multiplied by the factor of its segment. Both as it should be and as it was released (`compat`).
 *
 * As released, the factors start as N(0, 1), half of them turning signs over; the shared tensor does too, whatever the
 * fan-in; segments are half-open, so that the largest value is in none and becomes 0; and the exponents and signs of
 * DeepShift-PS come from two lists of factors without any gradient to the shared tensor. Here factors start at 1, the
 * last segment holds its end, the shared tensor keeps the scale of a convolution, every family sends it gradients, and
 * families of another scale (add) get the values brought to it, as the closed form does (`add/transport.ts`).
 *
 * The range is that of the whole shared tensor even where a narrower layer uses a part of it: were it that of the part, a
 * value would change its segment with the width, and one subnet's factors would mean something else in another's.
 *
 * The release makes a mask for every segment; here each value finds its factor by its place in the range.
 */
import { contribute, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { OperatorFamily, SharingMap } from './contract.js';
import { deviationOf } from './statistics.js';

/** Segments as published. */
export const publishedSegments = 100;

/** The range and its segments. */
interface Segments {
  readonly low: number;
  /** Segments per unit; 0 where all values are equal. */
  readonly density: number;
  readonly count: number;
  /** Whether the end of the range belongs to the last segment. */
  readonly closed: boolean;
}

function segmentsOf(values: Float32Array, count: number, closed: boolean): Segments {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, density: high > low ? count / (high - low) : 0, count, closed };
}

/** Segment of a value of the range; `count` for one that is in none. */
function segmentOf(value: number, { low, density, count, closed }: Segments): number {
  // Half-open segments of no width hold nothing.
  const at = density === 0 ? (closed ? 0 : count) : Math.floor((value - low) * density);
  return closed && at === count ? count - 1 : at;
}

/** scale a[segment of S] S. Gradients with scale and segments held fixed: dS = scale a dW, da_k = scale sum over k of S dW. */
function multiplied(shared: Tensor, factors: Tensor, segments: Segments, scale: number): Tensor {
  return record(
    'piecewise',
    [shared, factors],
    shared.shape,
    (weights) => scaleBySegment(shared.data, shared.data, factors.data, segments, scale, weights),
    (dWeights) => {
      contribute(shared, (dShared) =>
        scaleBySegment(shared.data, dWeights, factors.data, segments, scale, dShared),
      );
      contribute(factors, (dFactors) => sumBySegment(shared.data, dWeights, segments, scale, dFactors));
    },
    { tensors: [shared, factors], output: false },
  );
}

/** One plane behind the other, each with factors of its own and none with a gradient to the shared tensor. */
function detachedPlanes(shared: Tensor, planes: readonly Tensor[], segments: Segments): Tensor {
  const { size, data } = shared;
  const part = (values: Float32Array, plane: number): Float32Array =>
    values.subarray(plane * size, (plane + 1) * size);
  return record(
    'piecewisePlanes',
    planes,
    [planes.length, ...shared.shape],
    (stored) =>
      planes.forEach((factors, plane) =>
        scaleBySegment(data, data, factors.data, segments, 1, part(stored, plane)),
      ),
    (dStored) =>
      planes.forEach((factors, plane) =>
        contribute(factors, (dFactors) => sumBySegment(data, part(dStored, plane), segments, 1, dFactors)),
      ),
    { tensors: [shared], output: false },
  );
}

/** y_i = scale a[segment of place_i] x_i. */
function scaleBySegment(
  places: Float32Array,
  x: Float32Array,
  factors: Float32Array,
  segments: Segments,
  scale: number,
  y: Float32Array,
): void {
  for (let i = 0; i < x.length; i++) {
    const at = segmentOf(places[i] as number, segments);
    y[i] = at === segments.count ? 0 : scale * (factors[at] as number) * (x[i] as number);
  }
}

/** s_k = scale sum over the values of segment k of value_i x_i. */
function sumBySegment(
  values: Float32Array,
  x: Float32Array,
  segments: Segments,
  scale: number,
  sums: Float32Array,
): void {
  const totals = new Float64Array(segments.count);
  for (let i = 0; i < x.length; i++) {
    const value = values[i] as number;
    const at = segmentOf(value, segments);
    if (at < segments.count) totals[at]! += value * (x[i] as number);
  }
  totals.forEach((total, k) => (sums[k] = scale * total));
}

/** How `family` sees a shared tensor through learned factors; by its closed form if it never does. */
export function piecewiseSharing(
  { piecewise, sharing }: Pick<OperatorFamily, 'piecewise' | 'sharing'>,
  count: number,
): SharingMap {
  if (piecewise === undefined) return sharing;
  const { deviation, stored = identity } = piecewise;
  return {
    parameters: [{ name: 'factors', initial: 1, count }],
    apply(shared, own, whole = shared.data) {
      const scale = deviation === undefined ? 1 : deviation / (deviationOf(whole) || 1);
      return stored(multiplied(shared, own[0] as Tensor, segmentsOf(whole, count, true), scale));
    },
  };
}

/** As {@link piecewiseSharing}, as released. */
export function publishedPiecewiseSharing({
  piecewise,
  sharing,
}: Pick<OperatorFamily, 'piecewise' | 'sharing'>): SharingMap {
  if (piecewise === undefined) return sharing;
  const { publishedPlanes, stored = identity } = piecewise;
  const factors = { initial: 0, deviation: 1, count: publishedSegments };
  if (publishedPlanes === undefined)
    return {
      parameters: [{ name: 'factors', ...factors }],
      apply: (shared, own, whole = shared.data) =>
        stored(multiplied(shared, own[0] as Tensor, segmentsOf(whole, publishedSegments, false), 1)),
    };
  return {
    parameters: Array.from({ length: publishedPlanes }, (_, plane) => ({
      name: `factors${plane + 1}`,
      ...factors,
    })),
    apply: (shared, own, whole = shared.data) =>
      detachedPlanes(shared, own, segmentsOf(whole, publishedSegments, false)),
  };
}

function identity(values: Tensor): Tensor {
  return values;
}
