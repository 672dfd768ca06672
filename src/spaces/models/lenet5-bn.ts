/**
 * @file LeNet-5 with batch norms, as AdderNet trains it on MNIST (Chen et al., CVPR'20, arXiv 1912.13200, section 4.1): two
 * 5x5 layers of 6 and 16 channels with pooling, then 120, 84 and the classes. All layers are of the family there.
 *
 * The paper scales the images to 32x32; smaller ones are padded by two pixels instead, so that 28x28 has the same maps.
 */
import { BlockKind, Features } from '../architecture.js';
import type { ConvolutionBlock } from '../blocks/convolution.js';
import type { DenseBlock } from '../blocks/dense.js';
import { classifierOf, header, placed, requireSides, type Model } from './contract.js';

const kernel = 5;
const pool = 2;
/** Side of the images of the paper; smaller ones are padded. */
const publishedSide = 32;

export const lenet5Bn: Model = {
  name: 'lenet5-bn',
  title: 'LeNet-5 with batch norms of AdderNet (CVPR 2020)',
  stages: 4,
  convertAll: true,
  published: {
    input: { height: 32, width: 32, channels: 1 },
    classes: 10,
    macs: { count: 435_000, within: 0.05 },
    source:
      'arXiv 1912.13200, section 4.1: "about 435K multiplications". The layers alone do 416 520; the paper does not ' +
      'list its count, and batch norms, biases and pooling make up a difference of this size',
  },
  build(options) {
    const { input, families, first, last } = options;
    requireSides('lenet5-bn', input, 20, 64);
    const padding = Math.min(input.height, input.width) < publishedSide ? 2 : 0;
    const after = (side: number, zeros: number): number => Math.floor((side + 2 * zeros - kernel + 1) / pool);
    const between = {
      height: after(input.height, padding),
      width: after(input.width, padding),
      channels: 6,
    };
    const map = { height: after(between.height, 0), width: after(between.width, 0), channels: 16 };
    const convolutional = (
      zeros: number,
    ): Pick<ConvolutionBlock, 'kind' | 'kernel' | 'padding' | 'pool'> => ({
      ...{ kind: BlockKind.Convolution, kernel, padding: zeros, pool },
    });
    const dense: Pick<DenseBlock, 'kind' | 'norm' | 'dropout'> = {
      ...{ kind: BlockKind.Dense, norm: true, dropout: 0 },
    };
    const vector = { height: 1, width: 1, channels: 120 };
    const blocks: readonly (ConvolutionBlock | DenseBlock)[] = [
      { ...placed(0, 0, first, input, between.channels), ...convolutional(padding) },
      { ...placed(1, 0, families[1]!, between, map.channels), ...convolutional(0) },
      { ...placed(2, 0, families[2]!, map, vector.channels), ...dense },
      { ...placed(3, 0, families[3]!, vector, 84), ...dense },
    ];
    return {
      ...header('lenet5-bn', options),
      ...{ stem: null, blocks },
      classifier: classifierOf(last, { features: Features.Flatten }),
    };
  },
};
