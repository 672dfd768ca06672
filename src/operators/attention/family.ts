/**
 * @file Attention over the positions of a map, as ShiftAddNAS (ICML 2022) has among its choices: softmax(q k' / sqrt C) v
 * in heads of 64 channels, with convolutions for queries, keys and values.
 *
 * In the released code the product with the values contracts the other axis of the weights (inherited from BossNAS), so
 * its accuracies are those of `attention.compat`; this family does it right.
 */
import { softmaxAttention } from './core.js';
import { softmaxLayer } from './layer.js';

export const attention = softmaxLayer(
  { name: 'attention', shortName: 'attention', title: 'Attention', colour: '#4a4e9c' },
  softmaxAttention,
  false,
);
