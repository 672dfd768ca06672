import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { quantilesOf, WeightLaw } from '../../operators/weight-laws.js';
import { defaultSharing, SharingKind } from '../../supernet/sharing.js';
import { Supernet } from '../../supernet/supernet.js';
import { toySpace } from '../../training/toy.cases.js';
import { weightsByFamily } from './weight-histograms.js';

/** A supernet whose shared tensors are quantiles of a law, each layer at another scale, in a random order. */
function filled(law: WeightLaw): Supernet {
  const supernet = new Supernet(toySpace, Random.stream('fill'));
  const random = Random.stream('order');
  supernet.parameters.forEach(({ name, tensor }, at) => {
    if (!name.endsWith('.shared')) return;
    const order = random.shuffle(Uint32Array.from({ length: tensor.size }, (_, i) => i));
    quantilesOf(law, tensor.size).forEach((q, i) => (tensor.data[order[i]!] = 0.01 * (at + 1) * q));
  });
  return supernet;
}

describe('the weights of a supernet by family', () => {
  it('are Gaussian where the shared tensors are, and Laplacian behind the map of add', () => {
    const supernet = filled(WeightLaw.Gaussian);
    const [conv, potQ, add] = weightsByFamily(supernet);
    expect([conv!.family, potQ!.family, add!.family]).toEqual(['conv', 'pot.q', 'add']);
    const layers = supernet.sharedLayers.reduce((sum, layer) => sum + layer.parameters[0]!.tensor.size, 0);
    for (const { weights, counts, edges } of [conv!, potQ!, add!]) {
      expect(weights).toBe(layers);
      expect(counts.reduce((sum, each) => sum + each, 0)).toBe(layers);
      expect(edges).toHaveLength(counts.length + 1);
    }
    // Quantiles lack the ends of their law: kurtosis is a little below.
    expect(Math.abs(conv!.excessKurtosis)).toBeLessThan(0.15);
    expect(conv!.gaussianDistance).toBeLessThan(0.01);
    expect(conv!.laplacianDistance).toBeGreaterThan(0.035);
    expect(add!.excessKurtosis).toBeGreaterThan(2);
    expect(add!.laplacianDistance).toBeLessThan(0.01);
    expect(add!.gaussianDistance).toBeGreaterThan(0.035);
    // Powers of two are no continuous law, even where layers of several scales blur them.
    expect(potQ!.gaussianDistance).toBeGreaterThan(2 * conv!.gaussianDistance);
    supernet.dispose();
  });

  it('are told apart by distance to the law that they have', () => {
    const supernet = filled(WeightLaw.Laplacian);
    const [conv] = weightsByFamily(supernet);
    expect(conv!.laplacianDistance).toBeLessThan(0.01);
    expect(conv!.gaussianDistance).toBeGreaterThan(0.05);
    supernet.dispose();
  });

  it('are those of each family alone where nothing is shared', () => {
    const supernet = new Supernet(toySpace, Random.stream('none'), {
      ...defaultSharing,
      map: SharingKind.None,
    });
    const [conv, potQ, add] = weightsByFamily(supernet);
    for (const gaussian of [conv!, add!]) expect(gaussian.gaussianDistance).toBeLessThan(0.02);
    expect(new Set([conv, potQ, add].map((each) => each!.weights)).size).toBe(1);
    supernet.dispose();
  });

  it('stay finite for tensors of zeros', () => {
    const supernet = new Supernet(toySpace, Random.stream('zeros'));
    for (const { tensor } of supernet.parameters) tensor.data.fill(0);
    for (const { excessKurtosis, gaussianDistance, laplacianDistance } of weightsByFamily(supernet))
      expect([excessKurtosis, gaussianDistance, laplacianDistance]).toEqual([0, 0.5, 0.5]);
    supernet.dispose();
  });
});
