/**
 * @file Post-training quantisation of additions: a ResNet-20 of add layers with one scale for both operands, with scales of
 * groups, and with the lossless clamp; beside it the convolution, whose operands may have a scale each.
 *
 * Published for ResNet-18 on ImageNet alone (arXiv 2212.10200): 4 bits with one scale lose about 9 points, with groups,
 * clamp and clipping together half a point. We have these singly, so only the first is set beside ours.
 */
import type { Recipe } from '../recipe.js';
import { resnet20, sharedSchedule } from './cifar10-resnet20.js';

const source =
  'Redistribution of weights and activations for AdderNet quantisation, arXiv 2212.10200, ResNet-18';

export const adderQuant: Recipe = {
  name: 'adder-quant',
  title: 'Integers for additions: a trained ResNet-20 in 8, 6 and 4 bits',
  source: 'AdderNet and its minimalist hardware (arXiv 2101.10015), redistribution (2212.10200)',
  claim:
    'which of the ways to few bits keep the accuracy of additions; the published figures are of ResNet-18 on ImageNet',
  dataset: 'CIFAR-10',
  config: sharedSchedule,
  baseline: 'conv',
  entries: [
    {
      name: 'conv',
      title: 'Convolution',
      subject: resnet20('conv'),
      conversions: [{ to: 'int8' }, { to: 'int6' }, { to: 'int4' }],
    },
    {
      name: 'add',
      title: 'Add (AdderNet)',
      subject: resnet20('add'),
      conversions: [
        { to: 'add.int8' },
        { to: 'add.int8+pow2' },
        { to: 'add.int8+clamp' },
        { to: 'add.int6' },
        { to: 'add.int6+clamp' },
        { to: 'add.int4', published: { difference: -0.09, source } },
        { to: 'add.int4+groups4' },
        { to: 'add.int4+groups4+clip99.9' },
        { to: 'add.int4+clamp' },
      ],
    },
  ],
};
