/**
 * @file Dropout (Srivastava et al., JMLR 2014), scaled in training so that evaluation changes nothing.
 */
import type { Random } from '../base/random.js';
import { mul } from '../tensor/ops/binary.js';
import { Tensor } from '../tensor/tensor.js';

/** Every value of x becomes zero with probability `rate`, else x / (1 - rate). @throws RangeError for a rate outside [0, 1) */
export function dropout(x: Tensor, rate: number, random: Random): Tensor {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`dropout: rate ${rate} is not within 0 and 1`);
  const mask = Tensor.temporary(x.shape);
  const kept = 1 / (1 - rate);
  for (let i = 0; i < mask.data.length; i++) mask.data[i] = random.uniform() < rate ? 0 : kept;
  return mul(x, mask);
}
