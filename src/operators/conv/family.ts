/**
 * @file Convolution: the multiplying family that the others are measured against.
 */
import { Primitive } from '../../hardware/layer.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { WindowSum, type OperatorFamily } from '../contract.js';
import { kaimingNormal } from '../initialisation.js';
import { maskedByZero } from '../masking.js';
import { identitySharing } from '../sharing.js';
import { productVariance } from '../variance.js';

const layer = {
  forward: conv2d,
  effectiveWeights: (weights: Float32Array): Float32Array => weights,
  lower: lowerConvolution,
};

export const conv: OperatorFamily = {
  name: 'conv',
  shortName: 'conv',
  title: 'Convolution',
  colour: '#3b6fb6',
  initialWeights: kaimingNormal,
  ...layer,
  sharing: identitySharing,
  variance: productVariance(1),
  masking: maskedByZero(layer),
  primitive: Primitive.Multiply,
  operandBits: { weight: 32, activation: 32, partialSum: 32 },
  windowSum: WindowSum.Products,
};
