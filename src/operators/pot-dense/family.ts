/**
 * @file Shift layers without zeros, DenseShift (Li et al., ICCV'23, arXiv 2208.09708).
 *
 * A weight of n bits is made of a sign s and of T = 2^(n-1) - 1 values t. With b(t) = 1 for t > 0, else 0, the exponent
 * is S_T of the recursion S_0 = 0, S_k = b(t_k) (S_(k-1) + 1), and w = sgn(s) 2^(S_T): for 3 bits one of +-1, 2, 4, 8.
 * Every pattern of bits of a given sign is used and none is zero; the scale is left to the batch norm.
 *
 * The backward pass takes sgn and b as identities and puts sqrt(S_T + 1) in the place of 2^(S_T) (the paper's local rate
 * rescaling), lest the large weights move by far the fastest: dw/ds = sqrt(S_T + 1), dw/dS_T = sgn(s) / (2 sqrt(S_T + 1)),
 * then dS_k/dt_k = S_(k-1) + 1 and dS_k/dS_(k-1) = b(t_k).
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

/** How many values decide on the exponent of an n-bit weight, which is also the largest exponent. */
const exponentsOf = (bits: number): number => 2 ** (bits - 1) - 1;

function denseBits(bits: number): Reparameterisation {
  const largest = exponentsOf(bits);
  const exponents = Array.from({ length: largest + 1 }, (_, p) => p);
  const powers = Float32Array.from(exponents, (p) => 2 ** p);
  const roots = Float64Array.from(exponents, (p) => Math.sqrt(p + 1));
  return {
    op: 'denseShift',
    planes: 1 + largest,
    make(stored, weights) {
      const { length } = weights;
      for (let i = 0; i < length; i++) {
        let s = 0;
        for (let at = i + length; at < stored.length; at += length) s = bitOf(stored[at] as number) * (s + 1);
        weights[i] = signOf(stored[i] as number) * (powers[s] as number);
      }
    },
    chain(stored, dWeights, dStored) {
      const { length } = dWeights;
      const before = new Float64Array(largest);
      for (let i = 0; i < length; i++) {
        let s = 0;
        for (let k = 0, at = i + length; k < largest; k++, at += length) {
          before[k] = s;
          s = bitOf(stored[at] as number) * (s + 1);
        }
        const root = roots[s] as number;
        const dw = dWeights[i] as number;
        dStored[i] = dw * root;
        let ds = (dw * signOf(stored[i] as number)) / (2 * root);
        for (let k = largest - 1, at = i + largest * length; k >= 0; k--, at -= length) {
          dStored[at] = ds * ((before[k] as number) + 1);
          ds *= bitOf(stored[at] as number);
        }
      }
    },
  };
}

/** DenseShift at 2, 3 or 4 bits per weight. */
function denseShift(
  bits: 2 | 3 | 4,
  shown: Pick<OperatorFamily, 'name' | 'shortName' | 'colour'>,
): OperatorFamily {
  const planes = denseBits(bits);
  const computed = reparameterised(planes);
  const largest = exponentsOf(bits);
  return {
    ...shown,
    title: `Shift (DenseShift, ${bits} bit)`,
    ...computed,
    initialWeights: lowVarianceNormal(planes.planes),
    sharing: thresholdSharing({
      // The largest level is at two standard deviations; borders lie between levels on the logarithmic scale.
      unit: 2 ** (1 - largest),
      // The exponent is at least p exactly when the last p values are positive.
      borders: Array.from({ length: largest }, (_, k) => Math.SQRT2 * 2 ** (largest - 1 - k)),
      effectiveWeights: computed.effectiveWeights,
    }),
    primitive: Primitive.Shift,
    operandBits: { weight: bits, activation: 32, partialSum: 32 },
  };
}

export const potDense = denseShift(3, { name: 'pot.dense', shortName: 'shift-dense', colour: '#a33f6b' });
export const potDense2 = denseShift(2, { name: 'pot.dense2', shortName: 'shift-dense2', colour: '#c77ba0' });
export const potDense4 = denseShift(4, { name: 'pot.dense4', shortName: 'shift-dense4', colour: '#6b2a5c' });
