/**
 * @file Operands to try processing elements with: the corners of the number range, the fullest sums, then random ones.
 */
import type { Random } from '../../base/random.js';
import { Primitive } from '../layer.js';
import {
  operandRange,
  shiftCode,
  sumHeadroomBits,
  termOf,
  weightBitsOf,
  type ElementShape,
  type OperandPair,
} from './element.js';

/** Up to this width every value of an operand is a corner. */
const exhaustiveBits = 8;
/** Random sums have this many terms on average. */
const meanTerms = 64;

/** Corners of a range: both ends and what is near zero; everything when the range is small. */
function corners(bits: number): bigint[] {
  const [least, greatest] = operandRange(bits);
  if (bits <= exhaustiveBits) return Array.from({ length: 2 ** bits }, (_, i) => least + BigInt(i));
  return [least, least + 1n, -1n, 0n, 1n, greatest - 1n, greatest];
}

function weightCorners(shape: ElementShape): bigint[] {
  return shape.primitive === Primitive.Shift
    ? Array.from({ length: 2 ** weightBitsOf(shape) }, (_, code) => BigInt(code))
    : corners(shape.bits);
}

/**
 * Every pair of corners, once as a sum of its own and once within a sum; sums of the most terms, 2^12 - 1, all the greatest and all
 * the least, which the accumulator must just hold; all of it the same whatever the seed.
 */
export function cornerPairs(shape: ElementShape): OperandPair[] {
  const weights = weightCorners(shape);
  const all = corners(shape.bits).flatMap((x) => weights.map((w) => ({ x, w })));
  let [least, greatest] = [all[0]!, all[0]!];
  for (const pair of all) {
    const term = termOf(shape, pair.x, pair.w);
    if (term < termOf(shape, least.x, least.w)) least = pair;
    if (term > termOf(shape, greatest.x, greatest.w)) greatest = pair;
  }
  const fullest = [greatest, least].flatMap((pair) =>
    Array.from({ length: 2 ** sumHeadroomBits - 1 }, (_, i) => ({ first: i === 0, ...pair })),
  );
  return [
    ...all.map((pair) => ({ first: true, ...pair })),
    ...all.map((pair, i) => ({ first: i % meanTerms === 0, ...pair })),
    ...fullest,
  ];
}

/** A uniform operand pair: x over its range, w over its range, or sign and exponent uniform and never zero. */
export function uniformOperands(
  shape: ElementShape,
  random: Random,
): { readonly x: bigint; readonly w: bigint } {
  const value = (): bigint => BigInt.asIntN(shape.bits, BigInt(random.uint32()));
  const x = value();
  if (shape.primitive !== Primitive.Shift) return { x, w: value() };
  const exponentBits = shape.exponentBits!;
  return {
    x,
    w: shiftCode(exponentBits, random.integer(2) === 1, false, random.integer(2 ** exponentBits)),
  };
}

/** Uniform pairs in sums of random length; of shift weights one in sixteen is zero. The first pair begins a sum. */
export function randomPairs(shape: ElementShape, count: number, random: Random): OperandPair[] {
  const zeroFlag = shape.primitive === Primitive.Shift ? 1n << BigInt(shape.exponentBits!) : 0n;
  return Array.from({ length: count }, (_, i) => {
    const { x, w } = uniformOperands(shape, random);
    const first = random.integer(meanTerms) === 0 || i === 0;
    return { first, x, w: random.integer(16) === 0 ? w | zeroFlag : w };
  });
}
