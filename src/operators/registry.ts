/**
 * @file The registered operator families, those of ShiftAddNAS first.
 */
import { OptionError } from '../base/errors.js';
import { add } from './add/family.js';
import { addLp } from './add/lp.js';
import { addSign } from './add/sign.js';
import { attentionCompat } from './attention/compat.js';
import { attention } from './attention/family.js';
import { attentionLinear } from './attention/linear.js';
import { binary } from './binary/family.js';
import type { OperatorFamily } from './contract.js';
import { conv } from './conv/family.js';
import { displace } from './displace/family.js';
import { potDense, potDense2, potDense4 } from './pot-dense/family.js';
import { potPs, potPsCompat } from './pot-ps/family.js';
import { potQ, potQNearest } from './pot-q/family.js';
import { potS3 } from './pot-s3/family.js';
import { shiftAddFixed } from './shiftadd/fixed.js';
import { shiftAdd } from './shiftadd/family.js';

const families: readonly OperatorFamily[] = [
  ...[conv, potQ, potQNearest, potPs, potPsCompat, potDense, potDense2, potDense4, potS3],
  ...[add, addSign, addLp, shiftAdd, shiftAddFixed, binary, displace],
  ...[attention, attentionLinear, attentionCompat],
];

/** The families of a search space that names none: those of ShiftAddNAS (ICML 2022). */
export const defaultFamilies: readonly string[] = [conv, potQ, add].map(({ name }) => name);

/** Every registered family, in a fixed order. */
export function listFamilies(): readonly OperatorFamily[] {
  return families;
}

/** The family of this name. @throws OptionError listing the known ones */
export function familyNamed(name: string): OperatorFamily {
  const found = families.find((family) => family.name === name);
  if (found === undefined)
    throw new OptionError(
      `unknown operator family '${name}'; known: ${families.map((family) => family.name).join(', ')}`,
    );
  return found;
}
