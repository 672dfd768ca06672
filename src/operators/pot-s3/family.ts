/**
 * @file Shift layers with zeros by trained bits, S3 (Li et al., NeurIPS'21, arXiv 2107.03453), 3 bits.
 *
 * A weight is made of a sign s, a sparsity value v and two shift values: w = sgn(s) b(v) 2^E with E = b(t1) (b(t2) + 1)
 * and b(t) = 1 for t > 0, else 0: one of 0, +-1, 2, 4. The backward pass takes sgn and b as identities and is the
 * derivative otherwise. A weight that is zero moves its sparsity value only, so a penalty of 1e-5 sum max(-v, 0) draws
 * values of v below zero back to it, lest zeros freeze.
 */
import { Primitive } from '../../hardware/layer.js';
import type { OperatorFamily } from '../contract.js';
import {
  bitOf,
  lowVarianceNormal,
  reparameterised,
  signOf,
  type Reparameterisation,
} from '../reparameterised.js';
import { thresholdSharing } from '../threshold-sharing.js';

const weightBits = 3;
const sparsityPenalty = 1e-5;
const powers = Float32Array.of(1, 2, 4);

const signSparsityShift: Reparameterisation = {
  op: 'signSparsityShift',
  planes: 4,
  make(stored, weights) {
    const { length } = weights;
    for (let i = 0; i < length; i++) {
      const exponent =
        bitOf(stored[2 * length + i] as number) * (bitOf(stored[3 * length + i] as number) + 1);
      const magnitude = bitOf(stored[length + i] as number) * (powers[exponent] as number);
      // A sum with zero makes the negative zero positive.
      weights[i] = signOf(stored[i] as number) * magnitude + 0;
    }
  },
  chain(stored, dWeights, dStored) {
    const { length } = dWeights;
    for (let i = 0; i < length; i++) {
      const dw = dWeights[i] as number;
      const sign = signOf(stored[i] as number);
      const kept = bitOf(stored[length + i] as number);
      const first = bitOf(stored[2 * length + i] as number);
      const second = bitOf(stored[3 * length + i] as number) + 1;
      const power = powers[first * second] as number;
      dStored[i] = dw * kept * power;
      dStored[length + i] = dw * sign * power;
      const dExponent = dw * sign * kept * power * Math.LN2;
      dStored[2 * length + i] = dExponent * second;
      dStored[3 * length + i] = dExponent * first;
    }
  },
};

const computed = reparameterised(signSparsityShift);

export const potS3: OperatorFamily = {
  name: 'pot.s3',
  shortName: 'shift-s3',
  title: 'Shift (S3, 3 bit)',
  colour: '#8a7a1e',
  ...computed,
  initialWeights: lowVarianceNormal(signSparsityShift.planes),
  penalty(stored, _, gradient) {
    const count = stored.length / signSparsityShift.planes;
    for (let i = count; i < 2 * count; i++)
      if ((stored[i] as number) < 0) gradient[i] = (gradient[i] as number) - sparsityPenalty;
  },
  sharing: thresholdSharing({
    // The largest level is at two standard deviations; zero ends half way to the first.
    unit: 0.5,
    borders: [0.5, Math.SQRT2, 2 * Math.SQRT2],
    effectiveWeights: computed.effectiveWeights,
  }),
  primitive: Primitive.Shift,
  operandBits: { weight: weightBits, activation: 32, partialSum: 32 },
};
