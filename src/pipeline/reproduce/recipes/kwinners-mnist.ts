/**
 * @file Sparse activations and sparse weights on MNIST: the network of nupic.torch with all its weights and ReLUs, with k
 * winners in the place of these, and with sparse weights as well, drawn one by one or complementary.
 *
 * The densities of the weights are the library's defaults: 0.6, 0.45 and 0.2 of them stay. It trains 15 epochs at batch 64
 * with a rate that falls by a fifth after each, and begins with an epoch of batches of four for the duty cycles; here all
 * entries have one batch size and the common cosine schedule.
 */
import { ActivationKind } from '../../../nn/activation.js';
import { SparseMasks } from '../../../training/techniques/sparse-weights.js';
import type { Recipe, RecipeConfig, RecipeEntry } from '../recipe.js';

const subject: RecipeEntry['subject'] = { model: 'kwinners-mnist', families: ['conv'] };

function sparse(masks: SparseMasks): RecipeConfig {
  return { techniques: { sparse: { density: [0.6, 0.45, 0.2], masks } } };
}

export const kwinnersMnist: Recipe = {
  name: 'kwinners-mnist',
  title: 'k winners and sparse weights on MNIST: the network of nupic.torch',
  source: 'How Can We Be So Dense? (arXiv 1903.11257), Two Sparsities (2112.13896), nupic.torch',
  claim:
    'that k winners and sparse weights keep the accuracy of the dense network with a part of its operations; operations count the terms of the weights that stay, active inputs or not, and energies all terms',
  data: 'mnist',
  dataset: 'MNIST',
  config: {
    split: { searchValidation: 100 },
    retrain: { epochs: 15, batchSize: 64, peakLearningRate: 0.02, momentum: 0.9, weightDecay: 0 },
  },
  baseline: 'dense',
  entries: [
    { name: 'dense', title: 'Dense weights, ReLU', subject: { ...subject, activation: ActivationKind.Relu } },
    { name: 'k-winners', title: 'Dense weights, k winners', subject },
    {
      name: 'sparse-sparse',
      title: 'Sparse weights, k winners',
      subject,
      config: sparse(SparseMasks.Random),
      published: {
        accuracy: 0.9917,
        epochs: 15,
        source:
          'nupic.torch, examples/sparse_mnist.ipynb, last epoch (all weights in the convolutions, 0.3 of the linear ones, other shares of winners, half as many more at inference)',
      },
    },
    {
      name: 'complementary',
      title: 'Complementary weights, k winners',
      subject,
      config: sparse(SparseMasks.Complementary),
    },
  ],
};
