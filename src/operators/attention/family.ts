/**
 * @file Attention over the positions of a map, as ShiftAddNAS (ICML 2022) has among its choices: softmax(q k' / sqrt C) v
 * in heads of 64 channels, with convolutions for queries, keys and values.
 *
 * Queries and keys are normalised in each head (Henry et al., EMNLP Findings 2020): they are convolutions of whatever map
 * stands in front, whose scale nothing bounds, and scores of two of them grow with its square and with that of both
 * weights. Without it SGD at the rate at which the other families train ended in numbers that are not finite within an epoch
 * of MNIST. Normalised, a score of a head of C channels is at most sqrt C, whatever the weights and the
 * map are, and the gradient of a projection is orthogonal to what it makes, so that growth of its weights only makes its
 * steps smaller. The batch norm behind the layer bounds the values in the same way.
 *
 * In the released code the product with the values contracts the other axis of the weights (inherited from BossNAS), so
 * its accuracies are those of `attention.compat`; this family does it right.
 */
import { normalisedAttention } from './core.js';
import { softmaxLayer } from './layer.js';

export const attention = softmaxLayer(
  { name: 'attention', shortName: 'attention', title: 'Attention', colour: '#4a4e9c' },
  normalisedAttention,
  { swapped: false, normalised: true },
);
