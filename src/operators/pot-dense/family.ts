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
import { lowVarianceNormal, reparameterised, type Reparameterisation } from '../reparameterised.js';
import { fromSignBits } from '../sign-bits.js';
import { thresholdSharing } from '../threshold-sharing.js';
import { productVariance, roundedSquare } from '../variance.js';

/** How many values decide on the exponent of an n-bit weight, which is also the largest exponent. */
const exponentsOf = (bits: number): number => 2 ** (bits - 1) - 1;

/** S_0 to S_T. */
const exponentsAlong = (bits: readonly number[]): readonly number[] =>
  bits.reduce<number[]>((before, bit) => [...before, bit * ((before.at(-1) as number) + 1)], [0]);

function denseBits(bitsOfWeight: number): Reparameterisation {
  return fromSignBits({
    op: 'denseShift',
    bits: exponentsOf(bitsOfWeight),
    value: (sign, bits) => sign * 2 ** (exponentsAlong(bits).at(-1) as number),
    slopes(sign, bits) {
      const exponents = exponentsAlong(bits);
      const root = Math.sqrt((exponents.at(-1) as number) + 1);
      const slopes = new Array<number>(bits.length);
      let slope = sign / (2 * root);
      for (let k = bits.length - 1; k >= 0; k--) {
        slopes[k] = slope * ((exponents[k] as number) + 1);
        slope *= bits[k] as number;
      }
      return [root, ...slopes];
    },
  });
}

/** DenseShift at 2, 3 or 4 bits per weight. */
function denseShift(
  bits: 2 | 3 | 4,
  shown: Pick<OperatorFamily, 'name' | 'shortName' | 'colour'>,
): OperatorFamily {
  const planes = denseBits(bits);
  const computed = reparameterised(planes);
  const largest = exponentsOf(bits);
  const sharing = thresholdSharing({
    // The largest level is at two standard deviations; borders lie between levels on the logarithmic scale.
    unit: 2 ** (1 - largest),
    // The exponent is at least p exactly when the last p values are positive.
    borders: Array.from({ length: largest }, (_, k) => Math.SQRT2 * 2 ** (largest - 1 - k)),
    effectiveWeights: computed.effectiveWeights,
  });
  return {
    ...shown,
    title: `Shift (DenseShift, ${bits} bit)`,
    ...computed,
    initialWeights: lowVarianceNormal(planes.planes),
    needsNorm: true,
    variance: productVariance(
      roundedSquare(
        Array.from({ length: largest + 1 }, (_, k) => 2 ** (1 - largest + k)),
        Array.from({ length: largest }, (_, k) => Math.SQRT2 * 2 ** (1 - largest + k)),
      ),
    ),
    sharing,
    piecewise: { stored: (values) => sharing.apply(values, []) },
    primitive: Primitive.Shift,
    operandBits: { weight: bits, activation: 32, partialSum: 32 },
  };
}

export const potDense = denseShift(3, { name: 'pot.dense', shortName: 'shift-dense', colour: '#a33f6b' });
export const potDense2 = denseShift(2, { name: 'pot.dense2', shortName: 'shift-dense2', colour: '#c77ba0' });
export const potDense4 = denseShift(4, { name: 'pot.dense4', shortName: 'shift-dense4', colour: '#6b2a5c' });
