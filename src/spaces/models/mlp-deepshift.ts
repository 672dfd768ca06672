/**
 * @file The multilayer perceptron of DeepShift (Elhoushi et al., CVPRW'21, arXiv 1905.13298) for MNIST: 784-512-512-10,
 * ReLU and a dropout of 0.2 behind each hidden layer, biases everywhere. All three layers are of the family there.
 *
 * Families whose outputs have no scale of their own have a batch norm in the place of the biases.
 */
import { familyNamed } from '../../operators/registry.js';
import { BlockKind, Features } from '../architecture.js';
import type { DenseBlock } from '../blocks/dense.js';
import { classifierOf, header, placed, type Model } from './contract.js';

const width = 512;

export const mlpDeepshift: Model = {
  name: 'mlp-deepshift',
  title: 'MLP 784-512-512-10 of DeepShift (CVPRW 2021)',
  stages: 2,
  convertAll: true,
  published: {
    input: { height: 28, width: 28, channels: 1 },
    classes: 10,
    parameters: { count: 669_706, within: 0 },
    source: '784 x 512 + 512 + 512 x 512 + 512 + 512 x 10 + 10, the sizes of arXiv 1905.13298, section 5',
  },
  build(options) {
    const { input, families, first, last } = options;
    const hidden = (stage: number, family: string, from: typeof input): DenseBlock => ({
      ...placed(stage, 0, family, from, width),
      kind: BlockKind.Dense,
      norm: familyNamed(family).needsNorm === true,
      dropout: 0.2,
    });
    return {
      ...header('mlp-deepshift', options),
      stem: null,
      blocks: [hidden(0, first, input), hidden(1, families[1]!, { height: 1, width: 1, channels: width })],
      classifier: classifierOf(last, { features: Features.Flatten }),
    };
  },
};
