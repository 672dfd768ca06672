/**
 * @file Shift layers, DeepShift-Q (Elhoushi et al., CVPRW'21, arXiv 1905.13298), 5 bits.
 *
 * Every weight is rounded to sign(W) 2^round(log2 |W|) with the exponent in [-15, 0]: 32 values, none of them zero, so
 * a product is a bit shift. The gradient passes the rounding unchanged (straight-through estimator).
 */
import { Primitive } from '../../hardware/layer.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { kernels } from '../../tensor/device.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { passOn, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { OperatorFamily } from '../contract.js';
import { kaimingUniform } from '../initialisation.js';
import { maskedByZero } from '../masking.js';
import { identitySharing } from '../sharing.js';

const weightBits = 5;
const minExponent = -(2 ** (weightBits - 1) - 1);
const maxExponent = 0;

/** Nearest power of two in the log domain, straight-through. */
function roundToPowerOfTwo(weights: Tensor): Tensor {
  return record(
    'roundToPowerOfTwo',
    [weights],
    weights.shape,
    (q) => kernels().powerOfTwo(minExponent, maxExponent, weights.data, q),
    (dq) => passOn(weights, dq),
    { tensors: [], output: false },
  );
}

const layer: Pick<OperatorFamily, 'forward' | 'effectiveWeights' | 'lower'> = {
  forward: (x, weights, geometry) => conv2d(x, roundToPowerOfTwo(weights), geometry),
  effectiveWeights(weights) {
    const rounded = new Float32Array(weights.length);
    kernels().powerOfTwo(minExponent, maxExponent, weights, rounded);
    return rounded;
  },
  lower: (graph, name, input, weights, geometry) =>
    lowerConvolution(graph, name, input, layer.effectiveWeights(weights), geometry),
};

export const potQ: OperatorFamily = {
  name: 'pot.q',
  shortName: 'shift',
  title: 'Shift (DeepShift-Q, 5 bit)',
  colour: '#d98f1f',
  initialWeights: kaimingUniform,
  ...layer,
  masking: maskedByZero(layer),
  /** |W| back into [2^-15, 1], as DeepShift does before each forward pass; exact zeros stay. */
  project(weights) {
    const smallest = 2 ** minExponent;
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const magnitude = Math.abs(w);
      if (magnitude > 1) weights[i] = Math.sign(w);
      else if (magnitude < smallest && w !== 0) weights[i] = Math.sign(w) * smallest;
    }
  },
  sharing: identitySharing,
  primitive: Primitive.Shift,
  operandBits: { weight: weightBits, activation: 32, partialSum: 32 },
};
