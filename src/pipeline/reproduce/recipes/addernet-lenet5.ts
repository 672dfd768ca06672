/**
 * @file AdderNet's table on MNIST: LeNet-5 with batch norms, convolution against additions.
 *
 * The paper gives 50 epochs, batch 256, Nesterov's momentum 0.9, a rate from 0.1 by cosine to zero and a decay of 5e-4.
 * Ours rises to that rate over the first tenth.
 */
import type { Recipe } from '../recipe.js';

const source = 'AdderNet, arXiv 1912.13200, section 4.1';

export const addernetLenet5: Recipe = {
  name: 'addernet-lenet5',
  title: 'AdderNet on MNIST: LeNet-5 with batch norms',
  source: 'AdderNet (arXiv 1912.13200)',
  claim:
    'that additions reach the accuracy of convolutions on MNIST, at the published length (with a warm-up of ours)',
  data: 'mnist',
  dataset: 'MNIST',
  config: {
    split: { searchValidation: 100 },
    retrain: { epochs: 50, batchSize: 256, peakLearningRate: 0.1, weightDecay: 5e-4, nesterov: true },
  },
  baseline: 'conv',
  entries: [
    {
      name: 'conv',
      title: 'Convolution',
      subject: { model: 'lenet5-bn', families: ['conv'] },
      published: { accuracy: 0.994, epochs: 50, source },
    },
    {
      name: 'add',
      title: 'Add (AdderNet)',
      subject: { model: 'lenet5-bn', families: ['add'] },
      published: { accuracy: 0.994, epochs: 50, source },
    },
  ],
};
