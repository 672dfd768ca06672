/**
 * Frozen parts of a whole network, in every operator family: what is not trained costs nothing and does not move.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { freeze, Mode, stateOf, thaw, type Parameter } from '../nn/module.js';
import { familyNamed, listFamilies } from '../operators/registry.js';
import { countKernels } from '../tensor/count-kernels.cases.js';
import { normals } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { poolUsage, resetPeak } from '../tensor/pool.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { Sgd } from './optimiser.js';
import { createMiniSpace, uniformGenome } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';

const families = listFamilies().map(({ name }) => name);
const space = createMiniSpace({
  families,
  input: { height: 16, width: 16, channels: 3 },
  classes: 3,
  stemChannels: 8,
  stageChannels: [8, 12],
  blocksPerStage: [2, 2],
});
const images = Tensor.view([4, 16, 16, 3], normals(4 * 16 * 16 * 3, 'frozen'));
const labels = Int32Array.of(0, 1, 2, 1);
/** Layers inside the blocks: eight 3x3 and one shortcut. Stem and classifier come on top; the classifier has no norm. */
const blockLayers = 9;

function run(network: Network) {
  resetPeak();
  const before = poolUsage().usedBytes;
  const counts = countKernels(() => {
    const { value, tape } = Tape.record(() =>
      softmaxCrossEntropy(network.forward(images, Mode.Training), labels),
    );
    tape.backward(value);
  });
  const of = (suffix: string): number =>
    Object.entries(counts).reduce((sum, [name, count]) => sum + (name.endsWith(suffix) ? count : 0), 0);
  return {
    weightGradients: of('WeightGradient'),
    inputGradients: of('InputGradient'),
    /** Of the classifier: forward, and one for each gradient that is needed. */
    products: of('matmul'),
    norms: [of('batchNormGradient'), of('batchNormParameterGradient')],
    joins: of('reluGradient'),
    pools: of('globalAveragePoolGradient'),
    peakBytes: poolUsage().peakBytes - before,
  };
}

const named =
  (prefix: string) =>
  ({ name }: Parameter): boolean =>
    name.startsWith(prefix);

interface Gathers {
  /** Gathers over maps in each layer. */
  readonly parts?: number;
  /** Input gradients inside a layer whose input learns nothing: for shifts in front of an addition, for thresholds. */
  readonly within?: number;
  /** Matrix products in each layer. */
  readonly products?: number;
}
const gathers: Readonly<Record<string, Gathers>> = {
  shiftadd: { parts: 2, within: 1 },
  'shiftadd.fixed': { parts: 2 },
  binary: { within: 1 },
  // Queries, keys and values; softmax attention is a kernel of its own.
  attention: { parts: 3 },
  'attention.compat': { parts: 3, products: 2 },
  'attention.linear': { parts: 4, within: 1, products: 2 },
};

describe.each(families)('frozen parts of a network of %s', (family) => {
  const build = (): Network =>
    new Network(space.architecture(uniformGenome(space, family)), Random.stream('frozen', family));
  const { fixedWeights } = familyNamed(family);
  const { parts = 1, within = 0, products = 0 } = gathers[family] ?? {};
  const learning = fixedWeights ? parts - 1 : parts;
  /** With `through` layers of the blocks that gradient passes: two gradients for each product there. */
  const productsWith = (through: number): number => products * (blockLayers + 2 * through);

  it('skip their gradients, and those of everything below them', () => {
    const network = build();
    const whole = run(network);
    // The first layer's input is an image: it never gets a gradient.
    expect(whole).toMatchObject({
      weightGradients: learning * blockLayers + 1,
      inputGradients: parts * blockLayers,
      products: 3 + productsWith(blockLayers),
      norms: [blockLayers + 1, 0],
      joins: 4,
      pools: 1,
    });

    // Frozen from below: the first trained layer needs the gradient of its output alone.
    const below = ({ name }: Parameter): boolean =>
      !name.startsWith('stage1.block1') && !name.startsWith('cl');
    freeze({ parameters: network.parameters.filter(below) });
    const top = run(network);
    expect(top).toMatchObject({
      weightGradients: learning * 2,
      inputGradients: parts + within,
      products: 3 + productsWith(2),
      norms: [2, 0],
      joins: 1,
      pools: 1,
    });
    expect(top.peakBytes).toBeLessThan(0.5 * whole.peakBytes);

    freeze({ parameters: network.parameters.filter(named('stage')) });
    expect(run(network)).toMatchObject({
      weightGradients: 0,
      inputGradients: 0,
      products: 2 + productsWith(0),
      norms: [0, 0],
      joins: 0,
      pools: 0,
    });

    // A trained norm over a frozen first layer: no gradient of its input.
    thaw({ parameters: network.parameters.filter(named('stem.norm')) });
    expect(run(network)).toMatchObject({
      weightGradients: 0,
      inputGradients: parts * blockLayers,
      products: 3 + productsWith(blockLayers),
      norms: [blockLayers, 1],
      joins: 4,
    });

    freeze(network);
    expect(run(network)).toMatchObject({
      weightGradients: 0,
      inputGradients: 0,
      products: 1 + productsWith(0),
      norms: [0, 0],
      joins: 0,
      pools: 0,
    });
    network.dispose();
  });

  it('stay as they are, to the bit, while the rest learns as before', () => {
    const [network, twin] = [build(), build()];
    const frozen = network.parameters.filter(named('stage0'));
    freeze({ parameters: frozen });
    const before = new Map([...stateOf(network)].map(([name, { data }]) => [name, data.slice()]));
    for (const each of [network, twin]) {
      const optimiser = new Sgd(each.parameters, { momentum: 0.9, weightDecay: 0.1 });
      run(each);
      optimiser.step(0.1);
      each.project();
      optimiser.dispose();
    }
    const free = stateOf(twin);
    for (const { name, tensor, fixed } of network.parameters) {
      if (fixed) {
        for (const held of [tensor.data, free.get(name)!.data]) expect(held, name).toEqual(before.get(name));
      } else if (name.startsWith('stage0')) {
        expect(tensor.gradient, name).toBeUndefined();
        expect(tensor.data, name).toEqual(before.get(name));
        expect(free.get(name)!.data, name).not.toEqual(before.get(name));
      } else expect(tensor.data, name).toEqual(free.get(name)!.data);
    }
    network.dispose();
    twin.dispose();
  });
});
