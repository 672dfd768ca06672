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
import { quantised, quantisedParts } from './quantised/family.js';
import { shiftAddFixed } from './shiftadd/fixed.js';
import { shiftAdd } from './shiftadd/family.js';

const families: readonly OperatorFamily[] = [
  ...[conv, potQ, potQNearest, potPs, potPsCompat, potDense, potDense2, potDense4, potS3],
  ...[add, addSign, addLp, shiftAdd, shiftAddFixed, binary, displace],
  ...[attention, attentionLinear, attentionCompat],
];

/** The families of a search space that names none: those of ShiftAddNAS (ICML 2022). */
export const defaultFamilies: readonly string[] = [conv, potQ, add].map(({ name }) => name);

const byName = new Map(families.map((family) => [family.name, family]));

/** Every registered family, in a fixed order; those of few bits are made of them by name, and are not listed. */
export function listFamilies(): readonly OperatorFamily[] {
  return families;
}

/** What names of families there are besides those of {@link listFamilies}, for messages and help. */
export const quantisedNames =
  'and those with operands of 2 to 16 bits, such as conv.int8, add.int6, pot.q.int4';

/**
 * The family of this name: a registered one, or one of them with operands of B bits, `NAME.intB`; the same object each
 * time. @throws OptionError listing the known ones
 */
export function familyNamed(name: string): OperatorFamily {
  let found = byName.get(name);
  if (found === undefined) byName.set(name, (found = quantisedNamed(name)));
  return found;
}

function quantisedNamed(name: string): OperatorFamily {
  const parts = quantisedParts(name);
  const base = parts && families.find((family) => family.name === parts.base);
  if (base === undefined)
    throw new OptionError(
      `unknown operator family '${name}'; known: ${families.map((family) => family.name).join(', ')}, ${quantisedNames}`,
    );
  return quantised(base, parts!.bits);
}
