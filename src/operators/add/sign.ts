/**
 * @file Add layers with the sign rule: the forward pass of AdderNet with sgn(x - w) in the place of x - w for the weights
 * and of its clamp for the input, the true derivative of an absolute value. The study of adders in object detection
 * (arXiv 2107.13453) recommends it where AdderNet's own rules do not transfer.
 */
import { l1SignConv2d } from '../../tensor/ops/convolution.js';
import type { OperatorFamily } from '../contract.js';
import { add } from './family.js';
import { withoutMasking } from './masking.js';

export const addSign: OperatorFamily = {
  ...withoutMasking(add),
  name: 'add.sign',
  shortName: 'add-sign',
  title: 'Add (sign rule)',
  colour: '#7fc1a6',
  forward: l1SignConv2d,
};
