/**
 * @file Binary layers, ReActNet (Liu et al., ECCV'20, arXiv 2003.03488): both operands of a product are signs.
 *
 * Activations pass RSign, their sign against a learned threshold of each input channel; weights count by their signs and
 * the mean magnitude of their output channel. The gradients are in the ops. RPReLU, the paper's activation, stands behind
 * the shortcut and so belongs to the block; the blocks of our spaces have a ReLU there.
 *
 * Weights start at a tenth of those of a convolution, on both sides of zero: the smaller, the sooner they change sign
 * (three epochs of MNIST by SGD, preset mnist-quick, seed 1: 94.2 % from the whole, 96.7 % from a tenth). The released
 * start, U(0, 1) / 1000, has all signs alike and is overwritten by the weights of a first stage of training, whose layers
 * have binary activations and real weights.
 *
 * Price: a multiplication with operands of 1 bit, which a profile may price apart (an XNOR and a count). What is moved
 * are the signs; like batch norms and joins everywhere, the real-valued stream of the shortcuts is not charged.
 */
import { Primitive } from '../../hardware/layer.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { sub } from '../../tensor/ops/binary.js';
import { tidy } from '../../tensor/tape.js';
import type { OperatorFamily } from '../contract.js';
import { kaimingNormal } from '../initialisation.js';
import { identitySharing } from '../sharing.js';
import { signVariance } from '../variance.js';
import { lowerBinary } from './onnx.js';
import { approxSign, binaryConv2d, signsInto } from './ops.js';

/** Of the first weights, times those of a convolution. */
const startScale = 0.1;

export const binary: OperatorFamily = {
  name: 'binary',
  shortName: 'binary',
  title: 'Binary (ReActNet)',
  colour: '#b5485d',
  initialWeights: (geometry, random) => kaimingNormal(geometry, random).map((weight) => startScale * weight),
  // The second of the paper's two stages, whose layers these are, trains without decay.
  decay: false,
  needsNorm: true,
  own: [
    {
      name: 'threshold',
      shape: ({ inChannels }) => [1, 1, 1, inChannels],
      initialValues: ({ inChannels }) => new Float32Array(inChannels),
      decay: false,
    },
  ],
  forward: (x, weights, geometry, own) =>
    tidy(() => binaryConv2d(approxSign(sub(x, thresholdOf(own))), weights, geometry)),
  effectiveWeights(weights) {
    const signs = new Float32Array(weights.length);
    signsInto(weights, signs);
    return signs;
  },
  sharing: identitySharing,
  variance: signVariance,
  firstStage: {
    forward: (x, weights, geometry, own) =>
      tidy(() => conv2d(approxSign(sub(x, thresholdOf(own))), weights, geometry)),
  },
  primitive: Primitive.Multiply,
  operandBits: { weight: 1, activation: 1, partialSum: 16 },
  // Shortcuts, batch norms and thresholds take real values.
  storedActivationBits: 32,
  lower: (graph, name, input, weights, geometry, own) =>
    lowerBinary(graph, name, input, weights, geometry, thresholdOf(own)),
};

function thresholdOf<T>(own: readonly T[] | undefined): T {
  const threshold = own?.[0];
  if (threshold === undefined) throw new Error('a binary layer needs its thresholds');
  return threshold;
}
