/**
 * @file The area of an array that suits a network: as many elements as the profile's array has, each of them one that
 * multiplies, shifts or adds, the kinds in proportion to the network's operations.
 *
 * It is the coarse step of a chunk accelerator (NASA, Shi et al., ICCAD 2022) with the number of elements held instead
 * of the area: were all always busy, the chunks would be equally slow, and the network would leave the array as often
 * as it leaves one of multipliers alone. So the area says what the mixture of operations is worth at the same speed.
 * It falls with the share of operations that shift or add, not with the size of the network. An element is the smallest
 * of the gate profile that takes the operands as the cost profile has them; integers, whatever the arithmetic of the
 * profile. Buffers, register files of operands and wires are not in it.
 */
import { arithmeticPrimitives, operationCount, type LayerDescription } from '../layer.js';
import { chargedBits } from '../machine.js';
import type { AcceleratorProfile } from '../profile-schema.js';
import {
  elementAreaUm2,
  loadGateProfile,
  smallestElement,
  type GateElement,
  type GateProfile,
} from './profile.js';

/** The elements of one kind in an array. */
export interface ArrayPart {
  readonly element: GateElement;
  readonly operations: number;
  readonly elements: number;
  readonly areaMm2: number;
}

/** An array of mixed elements. */
export interface ArrayArea {
  /** Elements in all, as many as the cost profile has. */
  readonly elements: number;
  readonly areaMm2: number;
  /** One part per primitive that the layers use: multiply, shift, add. */
  readonly parts: readonly ArrayPart[];
}

/**
 * The array of `profile` divided for these layers. An element of a kind takes the widest operands of that kind's layers.
 * @throws OptionError when the gate profile has no element as wide as some operands
 */
export function arrayArea(
  layers: readonly LayerDescription[],
  profile: AcceleratorProfile,
  gates: GateProfile = loadGateProfile(),
): ArrayArea {
  const kinds = arithmeticPrimitives.flatMap((primitive) => {
    const members = layers.filter((layer) => layer.primitive === primitive);
    if (members.length === 0) return [];
    const bits = members.map((layer) => chargedBits(profile, layer));
    return [
      {
        operations: members.reduce((sum, layer) => sum + operationCount(layer), 0),
        element: smallestElement(
          gates,
          primitive,
          Math.max(...bits.map(({ activation }) => activation)),
          Math.max(...bits.map(({ weight }) => weight)),
        ),
      },
    ];
  });
  // Moves need no elements.
  if (kinds.length === 0) return { elements: 0, areaMm2: 0, parts: [] };
  const word = profile.wordSizes[String(profile.wordBits)]!;
  const total = profile.processingElements.value * word.processingElementFactor.value;
  const counts = proportionalCounts(
    kinds.map(({ operations }) => operations),
    total,
  );
  const parts = kinds.map(({ element, operations }, index): ArrayPart => {
    const elements = counts[index]!;
    return { element, operations, elements, areaMm2: (elements * elementAreaUm2(gates, element)) / 1e6 };
  });
  return {
    elements: counts.reduce((sum, count) => sum + count, 0),
    areaMm2: parts.reduce((sum, { areaMm2 }) => sum + areaMm2, 0),
    parts,
  };
}

/**
 * Whole numbers in proportion to `weights` (all above 0) that add up to `total`, each at least 1 (so that more come
 * together where `total` is less than the number of weights): the largest remainders are rounded up.
 */
export function proportionalCounts(weights: readonly number[], total: number): number[] {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const exact = weights.map((weight) => (weight / sum) * total);
  const counts = exact.map((share) => Math.max(1, Math.floor(share)));
  const byRemainder = [...counts.keys()].sort(
    (a, b) => exact[b]! - counts[b]! - (exact[a]! - counts[a]!) || a - b,
  );
  let left = total - counts.reduce((all, count) => all + count, 0);
  for (let i = 0; left > 0; i = (i + 1) % counts.length, left--) counts[byRemainder[i]!]!++;
  // An element forced on a kind that deserved less comes from the kind that has most.
  for (; left < 0 && Math.max(...counts) > 1; left++) counts[counts.indexOf(Math.max(...counts))]!--;
  return counts;
}
