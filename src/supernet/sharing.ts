/**
 * @file How a supernet shares weights between operator families: the choice of the map from the shared tensor to a
 * family's weights, and of the term that keeps the distributions of both what they should be.
 */
import type { LayerGeometry, OperatorFamily, SharingMap } from '../operators/contract.js';
import { kaimingNormal, standardNormal } from '../operators/initialisation.js';
import { piecewiseSharing, publishedPiecewiseSharing, publishedSegments } from '../operators/piecewise.js';
import type { Random } from '../base/random.js';

export enum SharingKind {
  /** Closed forms: the Gaussian-to-Laplacian transport with a learned scale for add, the tensor as it is for shift. */
  Transport = 'transport',
  /** Learned factors of segments of the range. */
  Piecewise = 'piecewise',
  /** The same as released: compat. */
  PiecewisePublished = 'piecewise-published',
  /** Nothing is shared between families: the control. Widths of one family still share. */
  None = 'none',
}

/** The term in the loss about how weights are distributed. */
export enum DistributionKind {
  None = 'none',
  /** Mean square distance of the sorted weights to the quantiles of the law. */
  Sorted = 'sorted',
  /** Distance of skewness and kurtosis to those of the law. */
  Moment = 'moment',
  /** The released one, which compares softmaxes of unsorted values: compat. */
  Published = 'published',
}

export interface SharingSettings {
  readonly map: SharingKind;
  /** Of {@link SharingKind.Piecewise} alone; default {@link publishedSegments}. */
  readonly segments?: number | undefined;
  readonly distribution: DistributionKind;
  /** Of the term in the loss; default {@link defaultTermWeights}. */
  readonly weight?: number | undefined;
}

/**
 * The term that goes with a map when nothing is said. Without one, tensors that `transport` maps grow a few very large values
 * (excess kurtosis of the shared tensor about 90 after training); with moments they stay a Gaussian and a Laplacian, and rank no worse
 * (VALIDATION.md, "How well the supernet ranks").
 */
export function defaultDistribution(map: SharingKind): DistributionKind {
  return map === SharingKind.Transport ? DistributionKind.Moment : DistributionKind.None;
}

export const defaultSharing: SharingSettings = {
  map: SharingKind.Transport,
  distribution: defaultDistribution(SharingKind.Transport),
};

/** Weight of the term in the loss when none is given; that of the released one is the released one's. */
export const defaultTermWeights: Readonly<Record<Exclude<DistributionKind, DistributionKind.None>, number>> =
  {
    [DistributionKind.Sorted]: 0.1,
    [DistributionKind.Moment]: 0.1,
    [DistributionKind.Published]: 10,
  };

/** The map of `family`; undefined where it has weights of its own. */
export function mapOf(
  { map, segments = publishedSegments }: SharingSettings,
  family: OperatorFamily,
): SharingMap | undefined {
  // Weights that are never trained, or that lie in another shape, cannot come from a shared tensor.
  if (family.fixedWeights === true || family.weightShape !== undefined) return undefined;
  switch (map) {
    case SharingKind.Transport:
      return family.sharing;
    case SharingKind.Piecewise:
      return piecewiseSharing(family, segments);
    case SharingKind.PiecewisePublished:
      return publishedPiecewiseSharing(family);
    case SharingKind.None:
      return undefined;
  }
}

/** Fresh values of a shared tensor: at the fan-in scale of a convolution, or, as released, N(0, 1). */
export function initialShared(
  { map }: SharingSettings,
  geometry: LayerGeometry,
  random: Random,
): Float32Array {
  return (map === SharingKind.PiecewisePublished ? standardNormal : kaimingNormal)(geometry, random);
}
