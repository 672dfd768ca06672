/**
 * @file ResNet-20 on CIFAR-10 in every operator family, under one schedule.
 *
 * The published figures come from different papers with 160 to 400 epochs and schedules of their own. Here all entries
 * have the same one (AdderNet's rates and decay, CVPR'20, at 15 epochs), so the order and the gaps are the claim.
 * ShiftAddNet's network has twice the layers; binary blocks have ReActNet's activation and a shortcut around each layer. DeepShift-PS was published with RAdam, ReActNet's relatives with two
 * stages of training; here they too have the common schedule.
 */
import { LearnedActivation } from '../../../nn/activation.js';
import type { Recipe, RecipeConfig, RecipeEntry } from '../recipe.js';

const adderNet = 'AdderNet, arXiv 1912.13200, table 1';
const deepShift = 'DeepShift, arXiv 1905.13298, released results';

/** What every network of the table is trained by, here and where a recipe goes on from these networks. */
export const sharedSchedule: RecipeConfig = {
  augmentation: { cropPadding: 4, flip: true },
  split: { searchValidation: 0.1 },
  retrain: { epochs: 15, batchSize: 128, peakLearningRate: 0.1, weightDecay: 5e-4 },
};

/** ResNet-20 in one family. */
export function resnet20(family: string): RecipeEntry['subject'] {
  return { model: 'resnet20', families: [family] };
}

export const cifar10Resnet20: Recipe = {
  name: 'cifar10-resnet20',
  title: 'ResNet-20 on CIFAR-10 in every operator family',
  source:
    'AdderNet (arXiv 1912.13200), PKKD (2009.13044), DeepShift (1905.13298), ShiftAddNet (2010.12785), IR-Net (1909.10788)',
  claim:
    'the order of the families and the gaps between them under one schedule; never the figures of the papers, which trained 160 to 400 epochs',
  dataset: 'CIFAR-10',
  config: sharedSchedule,
  baseline: 'conv',
  entries: [
    {
      name: 'conv',
      title: 'Convolution',
      subject: resnet20('conv'),
      published: { accuracy: 0.9225, epochs: 400, source: adderNet },
    },
    {
      name: 'add',
      title: 'Add (AdderNet)',
      subject: resnet20('add'),
      published: { accuracy: 0.9184, epochs: 400, source: adderNet },
    },
    {
      name: 'add-kd',
      title: 'Add, taught the logits of the convolution',
      subject: resnet20('add'),
      teacher: 'conv',
    },
    {
      name: 'add-pkkd',
      title: 'Add, taught layer by layer (PKKD)',
      subject: resnet20('add'),
      config: { techniques: { pkkd: {} } },
      published: { accuracy: 0.9296, epochs: 400, source: 'PKKD, arXiv 2009.13044' },
    },
    {
      name: 'add-lp',
      title: 'Add, norm annealed from 2 to 1',
      subject: resnet20('add.lp'),
      config: { techniques: { lpAnneal: {} } },
    },
    { name: 'add.sign', title: 'Add, sign gradients', subject: resnet20('add.sign') },
    {
      name: 'pot.q',
      title: 'Shift (DeepShift-Q)',
      subject: resnet20('pot.q'),
      published: { accuracy: 0.8985, epochs: 200, source: deepShift },
    },
    {
      name: 'pot.ps',
      title: 'Shift (DeepShift-PS)',
      subject: resnet20('pot.ps'),
      published: { accuracy: 0.8884, epochs: 200, source: deepShift },
    },
    { name: 'pot.q.nearest', title: 'Shift (DeepShift-Q, by value)', subject: resnet20('pot.q.nearest') },
    { name: 'pot.dense2', title: 'Shift (DenseShift, 2 bit)', subject: resnet20('pot.dense2') },
    { name: 'pot.dense', title: 'Shift (DenseShift, 3 bit)', subject: resnet20('pot.dense') },
    { name: 'pot.dense4', title: 'Shift (DenseShift, 4 bit)', subject: resnet20('pot.dense4') },
    { name: 'pot.s3', title: 'Shift (S3)', subject: resnet20('pot.s3') },
    {
      name: 'shiftadd',
      title: 'Shift and add (ShiftAddNet)',
      subject: resnet20('shiftadd'),
      published: { accuracy: 0.8932, epochs: 160, source: 'AdderNet, released results' },
    },
    {
      name: 'shiftadd.fixed',
      title: 'Shift and add, random fixed shifts',
      subject: resnet20('shiftadd.fixed'),
    },
    {
      name: 'binary',
      title: 'Binary (ReActNet; paper: XNOR)',
      subject: {
        ...resnet20('binary'),
        activation: LearnedActivation.RPRelu,
        selfShortcut: true,
      },
      published: { accuracy: 0.8487, epochs: 400, source: `${adderNet} (XNOR network)` },
    },
  ],
};
