/**
 * @file The sparse network of nupic.torch for MNIST (Ahmad and Scheinkman 2019, arXiv 1903.11257): two 5x5 layers of 32 and
 * 64 channels with pooling, 700 fully connected units, k winners behind each in the place of a ReLU.
 *
 * The sizes, shares and boosts are the defaults of the library. Its sparse weights are the technique `sparse` with the
 * densities 0.6, 0.45 and 0.2; nupic.torch calls these shares of weights that stay its sparsities.
 */
import { familyNamed } from '../../operators/registry.js';
import { BlockKind, Features } from '../architecture.js';
import type { ConvolutionBlock } from '../blocks/convolution.js';
import type { DenseBlock } from '../blocks/dense.js';
import type { KWinnersActivation } from '../blocks/k-winners.js';
import { classifierOf, header, placed, requireSides, type Model } from './contract.js';

const kernel = 5;
const pool = 2;
const channels = [32, 64] as const;
const units = 700;

function winners(share: number): KWinnersActivation {
  return { kind: 'kwinners', share, boost: 1.5, factor: 0.85 };
}

export const kwinnersMnist: Model = {
  name: 'kwinners-mnist',
  title: 'sparse network for MNIST of nupic.torch (2019)',
  stages: 3,
  convertAll: false,
  published: {
    input: { height: 28, width: 28, channels: 1 },
    classes: 10,
    parameters: { count: 776_606, within: 0 },
    source:
      '25 x 32 + 32 + 800 x 64 + 64 + 1024 x 700 + 700 + 700 x 10 + 10, the default sizes of MNISTSparseCNN in nupic.torch',
  },
  build(options) {
    const { input, families, first, last } = options;
    requireSides('kwinners-mnist', input, 16, 64);
    const after = (side: number): number => Math.floor((side - kernel + 1) / pool);
    const behind = (map: typeof input, made: number): typeof input => ({
      ...{ height: after(map.height), width: after(map.width), channels: made },
    });
    const needsNorm = (family: string): boolean => familyNamed(family).needsNorm === true;
    const convolutional = (
      stage: number,
      family: string,
      from: typeof input,
      share: number,
    ): ConvolutionBlock => ({
      ...placed(stage, 0, family, from, channels[stage]!),
      ...{ kind: BlockKind.Convolution, kernel, padding: 0, pool },
      ...{ norm: needsNorm(family), activation: winners(share) },
    });
    const between = behind(input, channels[0]);
    const map = behind(between, channels[1]);
    const linear: DenseBlock = {
      ...placed(2, 0, families[2]!, map, units),
      ...{ kind: BlockKind.Dense, norm: needsNorm(families[2]!), dropout: 0 },
      ...{ activation: winners(0.2), maskable: true },
    };
    return {
      ...header('kwinners-mnist', options),
      stem: null,
      blocks: [convolutional(0, first, input, 0.1), convolutional(1, families[1]!, between, 0.2), linear],
      classifier: classifierOf(last, { features: Features.Flatten }),
    };
  },
};
