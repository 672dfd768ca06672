/**
 * @file Families that a search's winner is measured against, where a space has some of them in several widths of operands.
 */
import { OptionError } from '../../base/errors.js';
import { quantisedParts } from '../../operators/quantised/family.js';
import { fixedFamily } from '../../spaces/blocks/ends.js';

const baseOf = (family: string): string => quantisedParts(family)?.base ?? family;
const bitsOf = (family: string): number => quantisedParts(family)?.bits ?? Infinity;

/** Of the families that differ in the bits of their operands alone the widest, in the order given. */
export function widestFamilies(families: readonly string[]): readonly string[] {
  return families.filter((family) =>
    families.every((other) => baseOf(other) !== baseOf(family) || bitsOf(other) <= bitsOf(family)),
  );
}

/** What percentages of a budget refer to is made of convolutions, the widest that there are. @throws OptionError */
export function referenceFamily(families: readonly string[]): string {
  const found = widestFamilies(families).find((family) => baseOf(family) === fixedFamily);
  if (found === undefined)
    throw new OptionError(
      `a budget in percent refers to the all-${fixedFamily} network, and the space has no family '${fixedFamily}'; ` +
        'give the budget in absolute units',
    );
  return found;
}
