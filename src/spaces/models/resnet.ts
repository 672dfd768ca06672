/**
 * @file The residual networks for CIFAR as models: `resnet.ts` of the spaces, with a family for each stage.
 */
import { fixedFamily } from '../blocks/ends.js';
import { resnetArchitecture } from '../resnet.js';
import { classifierOf, type Model } from './contract.js';

/** @param parameters in millions, @param macs in millions, as usually cited */
export function resnetModel(depth: number, parameters: number, macs: number): Model {
  return {
    name: `resnet${depth}`,
    title: `ResNet-${depth} for CIFAR (CVPR 2016)`,
    stages: 3,
    convertAll: false,
    published: {
      input: { height: 32, width: 32, channels: 3 },
      classes: 10,
      // Option B has two shortcut layers of 2752 parameters more than the table, which counts option A.
      parameters: { count: 1e6 * parameters + 2752, within: 0.02 },
      macs: { count: 1e6 * macs, within: 0.01 },
      source:
        'parameters: arXiv 1512.03385, table 6, plus the shortcut layers of option B; operations: the usually cited ' +
        'counts of the same networks with option B',
    },
    build({ input, classes, families, first, last }) {
      const architecture = resnetArchitecture({ depth, family: fixedFamily, input, classes });
      const { stem, blocks } = architecture;
      return {
        ...architecture,
        stem: stem && { ...stem, ...(first !== fixedFamily && { family: first }) },
        blocks: blocks.map((block) => ({ ...block, family: families[block.stage]! })),
        ...(last !== fixedFamily && { classifier: classifierOf(last) }),
      };
    },
  };
}
