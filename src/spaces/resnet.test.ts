import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { Mode } from '../nn/module.js';
import { listFamilies } from '../operators/registry.js';
import { normals } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { operationTotal, parameterCount, planLayers } from './layers.js';
import { Network } from './network.js';
import { parseArchitecture } from './parse.js';
import { resnetArchitecture } from './resnet.js';

const input = { height: 32, width: 32, channels: 3 };
const resnet = (depth: number, family = 'conv') => resnetArchitecture({ depth, family, input, classes: 10 });

describe('the residual networks for CIFAR', () => {
  // Table 6 of arXiv 1512.03385, in millions, counts option A: no layers on the shortcuts.
  it.each([
    [20, 0.27],
    [32, 0.46],
    [44, 0.66],
    [56, 0.85],
    [110, 1.7],
  ])(
    'of depth %d have the published %d million parameters but for the two shortcut layers',
    (depth, millions) => {
      const digits = millions >= 1 ? 1 : 2;
      const shortcuts = 16 * 32 + 32 * 64 + 2 * (32 + 64);
      expect(((parameterCount(resnet(depth)) - shortcuts) / 1e6).toFixed(digits)).toBe(
        millions.toFixed(digits),
      );
    },
  );

  it.each([1, 2, 3, 5, 9, 18])('have closed-form counts, n = %d', (n) => {
    const architecture = resnet(6 * n + 2);
    const side = (stage: number): number => 32 >> stage;
    const channels = (stage: number): number => 16 << stage;
    let [weights, norms, operations] = [27 * 16, 16, 27 * 16 * 32 ** 2];
    for (const stage of [0, 1, 2]) {
      const width = channels(stage);
      const from = stage === 0 ? width : width / 2;
      const shortcut = stage === 0 ? 0 : from * width;
      const own = 9 * from * width + (2 * n - 1) * 9 * width ** 2 + shortcut;
      weights += own;
      norms += (2 * n + (stage === 0 ? 0 : 1)) * width;
      operations += own * side(stage) ** 2;
    }
    expect(parameterCount(architecture)).toBe(weights + 2 * norms + 64 * 10 + 10);
    expect(operationTotal(architecture)).toBe(operations + 640);
    const layers = planLayers(architecture).filter(({ name }) => !name.endsWith('.shortcut'));
    expect(layers).toHaveLength(6 * n + 2);
  });

  it('of depth 20 have 40.8 million operations and 272 474 parameters', () => {
    expect((operationTotal(resnet(20)) / 1e6).toFixed(1)).toBe('40.8');
    expect(parameterCount(resnet(20))).toBe(272_474);
  });

  it('can be written down and read back, and are trained in every family', () => {
    const images = Tensor.view([2, 32, 32, 3], normals(2 * 32 * 32 * 3, 'resnet'));
    for (const { name } of listFamilies()) {
      const architecture = resnet(20, name);
      expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), name)).toEqual(architecture);
      const families = new Set(planLayers(architecture).map(({ family }) => family));
      expect(families).toEqual(new Set(['conv', name]));
      const network = new Network(architecture, Random.stream('resnet', name));
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(network.forward(images, Mode.Training), Int32Array.of(3, 7)),
      );
      expect(Number.isFinite(value.data[0])).toBe(true);
      tape.backward(value);
      expect(network.parameters.every(({ tensor, fixed }) => fixed || tensor.gradient !== undefined)).toBe(
        true,
      );
      network.dispose();
    }
  });

  it.each([0, 2, 7, 18, 20.5, 21, NaN])('refuse depth %d', (depth) => {
    expect(() => resnet(depth)).toThrow(OptionError);
    expect(() => resnet(depth)).toThrow(/6n \+ 2 layers/);
  });

  it('refuse a family that is not registered and images of another size', () => {
    expect(() => resnet(20, 'mul')).toThrow(/unknown operator family 'mul'/);
    expect(() =>
      resnetArchitecture({ depth: 20, family: 'conv', input: { ...input, width: 200 }, classes: 10 }),
    ).toThrow(OptionError);
  });
});
