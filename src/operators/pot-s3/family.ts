/**
 * @file Shift layers with zeros by trained bits, S3 (Li et al., NeurIPS'21, arXiv 2107.03453), 3 bits.
 *
 * A weight is made of a sign s, a sparsity value v and two shift values: w = sgn(s) b(v) 2^E with E = b(t1) (b(t2) + 1)
 * and b(t) = 1 for t > 0, else 0: one of 0, +-1, 2, 4. The backward pass takes sgn and b as identities and is the
 * derivative otherwise. A weight that is zero moves its sparsity value only, so a penalty of 1e-5 sum max(-v, 0) draws
 * values of v below zero back to it, lest zeros freeze.
 */
import { Primitive } from '../../hardware/layer.js';
import { kernels } from '../../tensor/device.js';
import { UnaryKind } from '../../tensor/kinds.js';
import { release, take } from '../../tensor/pool.js';
import type { OperatorFamily } from '../contract.js';
import { maskedByZero } from '../masking.js';
import { lowVarianceNormal, planeOf, reparameterised } from '../reparameterised.js';
import { fromSignBits } from '../sign-bits.js';
import { thresholdSharing } from '../threshold-sharing.js';
import { productVariance, roundedSquare } from '../variance.js';

const weightBits = 3;
const sparsityPenalty = 1e-5;

const signSparsityShift = fromSignBits({
  op: 'signSparsityShift',
  bits: 3,
  // A zero is positive whatever its sign.
  value: (sign, [kept = 0, first = 0, second = 0]) => (kept === 0 ? 0 : sign * 2 ** (first * (second + 1))),
  slopes(sign, [kept = 0, first = 0, second = 0]) {
    const power = 2 ** (first * (second + 1));
    const byExponent = sign * kept * power * Math.LN2;
    return [kept * power, sign * power, byExponent * (second + 1), byExponent * first];
  },
});

const computed = reparameterised(signSparsityShift);

const sharing = thresholdSharing({
  // The largest level is at two standard deviations; zero ends half way to the first.
  unit: 0.5,
  borders: [0.5, Math.SQRT2, 2 * Math.SQRT2],
  effectiveWeights: computed.effectiveWeights,
});

export const potS3: OperatorFamily = {
  name: 'pot.s3',
  shortName: 'shift-s3',
  title: 'Shift (S3, 3 bit)',
  colour: '#8a7a1e',
  ...computed,
  // v = 0 makes a zero.
  masking: maskedByZero(computed, 1),
  initialWeights: lowVarianceNormal(signSparsityShift.planes),
  penalty(stored, _, gradient) {
    const count = stored.length / signSparsityShift.planes;
    const below = take(count);
    kernels().unary(UnaryKind.Sign, 0, 0, planeOf(stored, 1, count), below);
    kernels().scale(-1, below);
    kernels().relu(below, below);
    kernels().axpy(-sparsityPenalty, below, planeOf(gradient, 1, count));
    release(below);
  },
  needsNorm: true,
  variance: productVariance(roundedSquare([0, 0.5, 1, 2], [0.25, Math.SQRT1_2, Math.SQRT2])),
  sharing,
  piecewise: { stored: (values) => sharing.apply(values, []) },
  primitive: Primitive.Shift,
  operandBits: { weight: weightBits, activation: 32, partialSum: 32 },
};
