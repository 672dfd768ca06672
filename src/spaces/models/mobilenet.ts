/**
 * @file MobileNetV2 (Sandler et al., CVPR'18, arXiv 1801.04381), by its table: a 3x3 stem, groups of inverted residuals
 * (expansion, channels, count, first stride), a 1x1 layer and the classifier over its mean. Depth-wise layers are of the
 * family too. `mobilenet-tiny` is a small one for images of 32 pixels.
 */
import { BlockKind, type Architecture, type BlockDescription } from '../architecture.js';
import type { ConvolutionBlock } from '../blocks/convolution.js';
import { fixedFamily } from '../blocks/ends.js';
import { classifierOf, header, placed, requireSides, type Model, type ResolvedOptions } from './contract.js';

/** A row of the table. */
export interface InvertedGroup {
  readonly expansion: number;
  readonly channels: number;
  readonly count: number;
  readonly stride: number;
}

export interface MobilenetTable {
  readonly name: string;
  readonly stem: { readonly channels: number; readonly stride: number };
  readonly groups: readonly InvertedGroup[];
  /** Channels of the 1x1 layer behind the groups. */
  readonly lastChannels: number;
}

/** The table as an architecture; each group is a stage, the last layer one more in the family of the last group. */
export function mobilenetArchitecture(table: MobilenetTable, options: ResolvedOptions): Architecture {
  const { input, families, first, last } = options;
  const { stem, groups, lastChannels } = table;
  const half = (side: number, stride: number): number => Math.ceil(side / stride);
  let map = {
    height: half(input.height, stem.stride),
    width: half(input.width, stem.stride),
    channels: stem.channels,
  };
  const blocks: BlockDescription[] = [];
  groups.forEach(({ expansion, channels, count, stride }, stage) => {
    for (let block = 0; block < count; block++) {
      const by = block === 0 ? stride : 1;
      blocks.push({
        ...placed(stage, block, families[stage]!, map, channels, by),
        ...{ kind: BlockKind.Inverted, midChannels: expansion * map.channels },
      });
      map = { height: half(map.height, by), width: half(map.width, by), channels };
    }
  });
  const head: ConvolutionBlock = {
    ...placed(groups.length, 0, families[groups.length]!, map, lastChannels),
    ...{ kind: BlockKind.Convolution, kernel: 1, padding: 0, pool: 1 },
  };
  return {
    ...header(table.name, options),
    stem: { ...stem, ...(first !== fixedFamily && { family: first }) },
    blocks: [...blocks, head],
    ...(last !== fixedFamily && { classifier: classifierOf(last) }),
  };
}

const tiny: MobilenetTable = {
  name: 'mobilenet-tiny',
  stem: { channels: 16, stride: 1 },
  groups: [
    { expansion: 1, channels: 16, count: 1, stride: 1 },
    { expansion: 4, channels: 24, count: 2, stride: 2 },
    { expansion: 4, channels: 40, count: 2, stride: 2 },
    { expansion: 4, channels: 80, count: 2, stride: 2 },
  ],
  lastChannels: 160,
};

export const mobilenetTiny: Model = {
  name: 'mobilenet-tiny',
  title: 'a small MobileNetV2 (CVPR 2018) for images of 32 pixels',
  stages: 5,
  convertAll: false,
  published: {
    input: { height: 32, width: 32, channels: 3 },
    classes: 10,
    parameters: { count: 124_394, within: 0 },
    macs: { count: 7_353_408, within: 0 },
    source:
      'our own table, counted apart from this code; the same builder makes MobileNetV2 with its published counts in a test',
  },
  build(options) {
    requireSides('mobilenet-tiny', options.input, 16, 64);
    return mobilenetArchitecture(tiny, options);
  },
};
