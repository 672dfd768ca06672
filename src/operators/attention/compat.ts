/**
 * @file Attention as the released code of ShiftAddNAS computes it, to compare with its accuracies: an output is the sum
 * over the queries of their values, each by the share that the query's softmax gives to the output's position. The
 * shares that reach one output do not sum to 1.
 */
import { swappedAttention } from './core.js';
import { softmaxLayer } from './layer.js';

export const attentionCompat = softmaxLayer(
  {
    name: 'attention.compat',
    shortName: 'attention-compat',
    title: 'Attention, axis as released (compat)',
    colour: '#9396cc',
  },
  swappedAttention,
  { swapped: true, normalised: false },
);
