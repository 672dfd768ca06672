/**
 * @file The residual networks for CIFAR (He et al., CVPR'16, arXiv 1512.03385, section 4.2), in any operator family.
 *
 * Depth 6n + 2: a 3x3 stem of 16 channels, three stages of n blocks with 16, 32 and 64 channels, the map halved
 * between them, average pooling and a linear classifier. Where map and channels change the shortcut is a 1x1 layer of
 * the family with a batch norm (their option B, the one whose depth 20 has the usually cited 40.8 million operations).
 * Their table of parameters counts option A, zeros in the place of the missing channels: 2752 parameters less at every
 * depth. The macro structure is that of the mini space, so a ResNet is one of its networks without skips.
 */
import { OptionError } from '../base/errors.js';
import { familyNamed } from '../operators/registry.js';
import type { Architecture } from './architecture.js';
import { createMiniSpace, uniformGenome } from './mini/space.js';

export interface ResnetOptions {
  /** 6n + 2 with n >= 1: 20, 32, 44, 56, 110. Counts the stem, two layers in each block and the classifier. */
  readonly depth: number;
  /** Registered operator family of the blocks; stem and classifier stay multiplicative. */
  readonly family: string;
  /** Sides of 16 to 64 pixels; published for 32x32x3. */
  readonly input: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes: number;
}

/** @throws OptionError for a depth that is not 6n + 2, an unknown family, or an input of another size */
export function resnetArchitecture({ depth, family, input, classes }: ResnetOptions): Architecture {
  const blocks = (depth - 2) / 6;
  if (!Number.isInteger(blocks) || blocks < 1)
    throw new OptionError(
      `a residual network for CIFAR has 6n + 2 layers, not ${depth}; choose 20, 32, 44, 56 or 110`,
    );
  const { height, width } = input;
  if (![height, width].every((side) => Number.isInteger(side) && side >= 16 && side <= 64))
    throw new OptionError(
      `a residual network for CIFAR takes maps of 16 to 64 pixels, not ${height}x${width}`,
    );
  const space = createMiniSpace({
    input,
    classes,
    families: [familyNamed(family).name],
    stemChannels: 16,
    stemStride: 1,
    stageChannels: [16, 32, 64],
    blocksPerStage: [blocks, blocks, blocks],
    widthRatios: [1],
  });
  return { ...space.architecture(uniformGenome(space, family)), space: `resnet${depth}`, genome: null };
}
