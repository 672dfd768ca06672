/**
 * @file Bit-Pruning on MNIST: LeNet-5 whose multiplications become additions of shifted inputs, one for each non-zero digit
 * of an integer weight, at rising prices of a digit; beside it magnitude pruning of the network with real weights.
 *
 * The paper has no MNIST table that we know of; what it claims is that digits are cheaper to give up than whole weights.
 */
import type { Recipe, RecipeConfig } from '../recipe.js';

const lenet = { model: 'lenet5-bn', families: ['conv'] } as const;

function priced(weight: number): RecipeConfig {
  return { techniques: { bitPrune: { weight } } };
}

export const bitpruningLenet: Recipe = {
  name: 'bitpruning-lenet',
  title: 'Bit-Pruning on MNIST: LeNet-5 with integers of few digits',
  source: 'Bit-Pruning (ICLR 2023)',
  claim:
    'how few additions a multiplication can become before accuracy falls; no published figure is at hand',
  data: 'mnist',
  dataset: 'MNIST',
  config: {
    split: { searchValidation: 100 },
    retrain: { epochs: 6, batchSize: 128, peakLearningRate: 0.05, weightDecay: 5e-4 },
  },
  baseline: 'eight-bits',
  entries: [
    { name: 'eight-bits', title: '8 bits, no price', subject: lenet, config: priced(0) },
    { name: 'price-0.5', title: 'price 0.5', subject: lenet, config: priced(0.5) },
    { name: 'price-2', title: 'price 2', subject: lenet, config: priced(2) },
    { name: 'price-8', title: 'price 8', subject: lenet, config: priced(8) },
    {
      name: 'magnitude-50',
      title: 'half of the weights pruned, the rest real',
      subject: lenet,
      config: { techniques: { prune: { ratio: 0.5 } } },
    },
  ],
};
