/**
 * @file Leaving terms out of the sums of a layer, for families in which a weight of zero makes a term of zero.
 */
import { mul } from '../tensor/ops/binary.js';
import { tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Masking, OperatorFamily } from './contract.js';

/**
 * Masked weights are zeros; the term matters by the magnitude of its weight. Of families with several stored values per
 * weight, `zeroedBy` is the plane whose zero makes a weight of zero; the others stay as they are.
 */
export function maskedByZero(
  family: Pick<OperatorFamily, 'forward' | 'lower' | 'effectiveWeights' | 'planes'>,
  zeroedBy = 0,
): Masking {
  const { planes = 1 } = family;
  /** As long as the stored weights. */
  const whole = (mask: Float32Array): Float32Array => {
    if (planes === 1) return mask;
    const all = new Float32Array(planes * mask.length).fill(1);
    all.set(mask, zeroedBy * mask.length);
    return all;
  };
  return {
    importance: (weights) => family.effectiveWeights(weights).map(Math.abs),
    forward: (x, weights, mask, geometry) =>
      tidy(() => family.forward(x, mul(weights, Tensor.view(weights.shape, whole(mask.data))), geometry)),
    lower: (graph, name, input, weights, mask, geometry) => {
      const kept = whole(mask);
      return family.lower(
        graph,
        name,
        input,
        weights.map((w, i) => w * (kept[i] as number)),
        geometry,
      );
    },
  };
}
