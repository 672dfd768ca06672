/**
 * @file Add layers, AdderNet (Chen et al., CVPR'20, arXiv 1912.13200): y = -sum |x - w|.
 *
 * Outputs are never positive and grow with the window, so a batch norm must follow every layer. The published
 * gradient rules are in the op; the published adaptive learning rate is a property that the optimiser acts on.
 */
import { Primitive } from '../../hardware/layer.js';
import { l1Conv2d } from '../../tensor/ops/convolution.js';
import { WindowSum, type OperatorFamily } from '../contract.js';
import { standardNormal } from '../initialisation.js';
import { addMasking } from './masking.js';
import { lowerL1 } from './onnx.js';
import { transportSharing } from './transport.js';
import { distanceVariance } from '../variance.js';
import { WeightLaw } from '../weight-laws.js';

export const add: OperatorFamily = {
  name: 'add',
  shortName: 'add',
  title: 'Add (AdderNet)',
  colour: '#2f8f6b',
  initialWeights: standardNormal,
  forward: l1Conv2d,
  effectiveWeights: (weights) => weights,
  adaptiveRate: 0.2,
  needsNorm: true,
  sharing: transportSharing,
  /** AdderNet starts its weights at unit variance. */
  piecewise: { deviation: 1 },
  weightLaw: WeightLaw.Laplacian,
  variance: distanceVariance,
  primitive: Primitive.Add,
  operandBits: { weight: 32, activation: 32, partialSum: 32 },
  masking: addMasking,
  windowSum: WindowSum.Distances,
  lower: lowerL1,
};
