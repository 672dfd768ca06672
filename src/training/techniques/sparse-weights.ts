/**
 * @file Sparse weights from the first step to the last (Ahmad and Scheinkman 2019, arXiv 1903.11257): each filter of a
 * layer sums over a part of its terms alone, drawn once from the seed. The families say how a term is left out
 * (`masking` of the contract): a multiplication by a weight of zero, an addition by removing its distance.
 *
 * Complementary masks (Hunter, Spracklen and Ahmad 2021, arXiv 2112.13896) draw the supports of as many filters as fit
 * into one dense filter so that they do not meet; `nn/complementary.ts` packs these.
 *
 * The masks are those of the layers, in model files and exports; they follow from the seed, so that no checkpoint needs them.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { complementaryMask, randomMask, type SparseFilters } from '../../nn/complementary.js';
import type { LayerGeometry } from '../../operators/contract.js';
import type { OperatorLayer } from '../../operators/layer.js';
import type { Technique } from '../technique.js';
import { prunedLayers } from './mask-pruning.js';

/** How the terms of the filters of a layer are drawn. */
export enum SparseMasks {
  /** Each filter on its own. */
  Random = 'random',
  /** The filters of a set have no place in common. */
  Complementary = 'complementary',
}

export interface SparseSettings {
  /** Part of the terms that stay, above 0 to 1: of every layer but the first, or one for each layer that can be masked. */
  readonly density: number | readonly number[];
  readonly masks: SparseMasks;
}

/** Terms of each filter of so many places. Complementary supports have to fit into one filter as often as they promise. */
export function nonZerosOf(density: number, places: number, masks: SparseMasks): number {
  const wanted = Math.max(1, Math.round(density * places));
  if (masks === SparseMasks.Random) return wanted;
  // The quotient of 1 / 0.2 and its like must not fall below the whole number that is meant.
  const filters = Math.min(places, Math.floor(1 / density + 1e-9));
  return Math.min(wanted, Math.floor(places / filters));
}

/** The mask of filters as a layer has it: [places, filters], as its weights lie. */
export function maskOfLayer({ filters, length, mask }: SparseFilters): Float32Array {
  const made = new Float32Array(mask.length);
  for (let f = 0; f < filters; f++)
    for (let place = 0; place < length; place++)
      made[place * filters + f] = mask[f * length + place] as number;
  return made;
}

/** The filters of a layer: how many, and of how many places. */
function filtersOf({ kernel, inChannels, groups, outChannels }: LayerGeometry): {
  readonly filters: number;
  readonly length: number;
} {
  return { filters: outChannels, length: (kernel * kernel * inChannels) / groups };
}

/**
 * Makes sure that a list has one part for each of the layers that can be masked, `names`.
 * @throws OptionError
 */
export function requireDensities(density: SparseSettings['density'], names: readonly string[]): void {
  if (typeof density !== 'number' && density.length !== names.length)
    throw new OptionError(
      `'techniques.sparse.density' has ${density.length} parts, and this network has ${names.length} layers whose terms can be ` +
        `left out (${names.join(', ')}); give one for each, 1 to leave one whole, or one number`,
    );
}

/** Each layer with the part of its terms that stay. @throws OptionError */
function densitiesOf(
  layers: readonly OperatorLayer[],
  { density }: SparseSettings,
): readonly (readonly [OperatorLayer, number])[] {
  if (typeof density === 'number') return prunedLayers(layers).map((layer) => [layer, density]);
  const maskable = layers.filter(({ family }) => family.masking !== undefined);
  requireDensities(
    density,
    maskable.map(({ name }) => name),
  );
  return maskable.map((layer, i) => [layer, density[i] as number]);
}

/** Masks the layers among `layers` whose families can leave terms out. @throws OptionError */
export function sparseWeights(
  layers: readonly OperatorLayer[],
  settings: SparseSettings,
  seed: number,
): Technique {
  for (const [layer, density] of densitiesOf(layers, settings)) {
    if (density === 1) continue;
    const { filters, length } = filtersOf(layer.geometry);
    const draw = settings.masks === SparseMasks.Random ? randomMask : complementaryMask;
    const random = Random.stream(seed, 'sparse', layer.name);
    layer.setMask(maskOfLayer(draw(filters, length, nonZerosOf(density, length, settings.masks), random)));
  }
  return { name: 'sparse' };
}
