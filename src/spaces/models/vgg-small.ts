/**
 * @file VGG-small, the network for CIFAR of the literature on binary networks (LQ-Nets, ECCV'18, arXiv 1807.10029) that
 * AdderNet takes over (CVPR'20, table 2): six 3x3 layers of 128, 256 and 512 channels, two of each with a pooling behind
 * them, and one fully connected layer over the last map.
 */
import { BlockKind, Features } from '../architecture.js';
import type { ConvolutionBlock } from '../blocks/convolution.js';
import { classifierOf, header, placed, requireSides, type Model } from './contract.js';

const channelsOfStage = [128, 256, 512];

export const vggSmall: Model = {
  name: 'vgg-small',
  title: 'VGG-small for CIFAR (AdderNet, CVPR 2020)',
  stages: 3,
  convertAll: false,
  published: {
    input: { height: 32, width: 32, channels: 3 },
    classes: 10,
    parameters: { count: 4_600_000, within: 0.02 },
    macs: { count: 610_000_000, within: 0.01 },
    source:
      'about 4.6 million parameters and 0.61 G operations, as papers on binary networks cite it; AdderNet (arXiv ' +
      '1912.13200, table 2) rounds to 0.65 G',
  },
  build(options) {
    const { families, first, last } = options;
    requireSides('vgg-small', options.input, 8, 64);
    const blocks: ConvolutionBlock[] = [];
    let map = options.input;
    channelsOfStage.forEach((channels, stage) => {
      for (const block of [0, 1]) {
        const family = stage + block === 0 ? first : families[stage]!;
        const pool = block === 0 ? 1 : 2;
        const shape = { kind: BlockKind.Convolution as const, kernel: 3, padding: 1, pool };
        blocks.push({ ...placed(stage, block, family, map, channels), ...shape });
        map = { height: Math.floor(map.height / pool), width: Math.floor(map.width / pool), channels };
      }
    });
    return {
      ...header('vgg-small', options),
      ...{ stem: null, blocks },
      classifier: classifierOf(last, { features: Features.Flatten }),
    };
  },
};
