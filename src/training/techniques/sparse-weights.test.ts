import { describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { collision, pack, packedDots, packingSets, type SparseFilters } from '../../nn/complementary.js';
import { OperatorLayer } from '../../operators/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { Tensor } from '../../tensor/tensor.js';
import { genomeOf, toyNetwork } from '../toy.cases.js';
import { describeTechniques } from './technique.cases.js';
import { nonZerosOf, SparseMasks, sparseWeights } from './sparse-weights.js';

const density = 0.25;
/** A layer whose map has one position, so that its output is one dot product of each filter. */
const geometry = { inChannels: 4, outChannels: 10, kernel: 4, stride: 1, padding: 0, groups: 1 };
const places = 64;

function layersOf(...families: readonly string[]): readonly OperatorLayer[] {
  return families.map(
    (family, i) => new OperatorLayer(`l${i}`, familyNamed(family), geometry, Random.stream('sparse', i)),
  );
}

/** What a layer has by place, by filter. */
function byFilter(values: Float32Array): Float32Array {
  return values.map((_, i) => values[(i % places) * 10 + Math.floor(i / places)] as number);
}

function filtersOf(layer: OperatorLayer): SparseFilters {
  return { filters: 10, length: places, mask: byFilter(layer.mask!) };
}

function dispose(layers: readonly OperatorLayer[]): void {
  for (const { parameters } of layers) for (const { tensor } of parameters) tensor.dispose();
}

describe('sparse weights', () => {
  it.each(Object.values(SparseMasks))(
    'leave every filter of every layer but the first its part: %s',
    (masks) => {
      const layers = layersOf('conv', 'conv', 'add', 'binary');
      sparseWeights(layers, { density, masks }, 1);
      expect([layers[0]!.mask, layers[3]!.mask]).toEqual([undefined, undefined]);
      for (const layer of layers.slice(1, 3)) {
        const { mask } = filtersOf(layer);
        for (let f = 0; f < 10; f++)
          expect(mask.subarray(f * places, (f + 1) * places).filter((v) => v === 1)).toHaveLength(16);
      }
      expect(layers[1]!.mask).not.toEqual(layers[2]!.mask);
      const [again, other] = [layersOf('conv', 'conv'), layersOf('conv', 'conv')];
      sparseWeights(again, { density, masks }, 1);
      sparseWeights(other, { density, masks }, 2);
      expect(again[1]!.mask).toEqual(layers[1]!.mask);
      expect(other[1]!.mask).not.toEqual(layers[1]!.mask);
      [layers, again, other].forEach(dispose);
    },
  );

  it('take a part for each layer that can be masked, 1 for a whole one', () => {
    const layers = layersOf('conv', 'binary', 'add', 'pot.q');
    sparseWeights(layers, { density: [0.5, 1, 0.125], masks: SparseMasks.Random }, 1);
    const kept = layers.map(({ mask }) => mask?.reduce((sum, v) => sum + v, 0));
    expect(kept).toEqual([320, undefined, undefined, 80]);
    const give = (parts: readonly number[]) => () =>
      sparseWeights(layers, { density: parts, masks: SparseMasks.Random }, 1);
    expect(give([0.5, 0.5])).toThrow(OptionError);
    expect(give([0.5, 0.5])).toThrow(/has 2 parts, and this network has 3 layers .*\(l0, l2, l3\)/);
    dispose(layers);
  });

  it('that are complementary do not meet, as random ones do', () => {
    for (const [masks, meets] of [
      [SparseMasks.Complementary, false],
      [SparseMasks.Random, true],
    ] as const) {
      const layers = layersOf('conv', 'conv');
      sparseWeights(layers, { density, masks }, 1);
      const sets = [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
      ];
      expect(sets.some((set) => collision(filtersOf(layers[1]!), set) !== undefined)).toBe(meets);
      dispose(layers);
    }
  });

  it('that are complementary fit into one filter as often as their part says', () => {
    // 0.2 of 1024 is 204.8: five filters of 205 places have 1025.
    expect(nonZerosOf(0.2, 1024, SparseMasks.Random)).toBe(205);
    expect(nonZerosOf(0.2, 1024, SparseMasks.Complementary)).toBe(204);
    expect(nonZerosOf(0.45, 800, SparseMasks.Complementary)).toBe(360);
    expect(nonZerosOf(0.6, 25, SparseMasks.Complementary)).toBe(15);
    for (const part of [0.05, 0.1, 0.2, 0.25, 1 / 3, 0.49, 0.7, 1])
      for (let length = 1; length < 60; length++) {
        const count = nonZerosOf(part, length, SparseMasks.Complementary);
        expect(count).toBeGreaterThanOrEqual(1);
        expect(count * Math.min(length, Math.floor(1 / part + 1e-9))).toBeLessThanOrEqual(length);
      }
  });

  it('compute in packed form what the masked layer computes, for the products of one filter a set', () => {
    const layers = layersOf('conv', 'conv');
    sparseWeights(layers, { density, masks: SparseMasks.Complementary }, 1);
    const layer = layers[1]!;
    const x = normals(places, 'x');
    const y = layer.forward(Tensor.view([1, 4, 4, 4], x));
    const filters = filtersOf(layer);
    const sets = packingSets(filters);
    expect(sets).toHaveLength(3);
    const weights = byFilter(layer.effectiveWeights());
    const sums = new Float64Array(10);
    const products = packedDots(
      sets.map((set) => pack(filters, weights, set)),
      x,
      sums,
    );
    expect(relativeError(y.data, sums)).toBeLessThan(1e-5);
    expect(products).toBe(10 * 16);
    y.dispose();
    dispose(layers);
  });

  it('of additions remove the term, whose weight of zero would leave the distance of the input', () => {
    const layers = layersOf('add', 'add');
    sparseWeights(layers, { density, masks: SparseMasks.Random }, 1);
    const layer = layers[1]!;
    const x = normals(places, 'x');
    const y = layer.forward(Tensor.view([1, 4, 4, 4], x));
    const [mask, weights] = [byFilter(layer.mask!), byFilter(layer.effectiveWeights())];
    const sums = Float64Array.from({ length: 10 }, (_, f) =>
      x.reduce((sum, v, p) => sum - mask[f * places + p]! * Math.abs(v - weights[f * places + p]!), 0),
    );
    expect(relativeError(y.data, sums)).toBeLessThan(1e-5);
    y.dispose();
    dispose(layers);
  });
});

const settings = { density: 0.4, masks: SparseMasks.Complementary };
const genome = genomeOf('add x1', 'conv x1', 'pot.q x0.5', 'conv x1');
describeTechniques([
  {
    name: 'sparse',
    network: (seed = 1) => toyNetwork(seed, genome),
    on: ({ operatorLayers }) => sparseWeights(operatorLayers, settings, 5),
    off: ({ operatorLayers }) => sparseWeights(operatorLayers, { ...settings, density: 1 }, 5),
  },
]);
