/**
 * @file Processing elements as circuits: their widths, and the integers that they must put out.
 *
 * Three circuits stand in `hardware/rtl/`: multiply, shift and add, each with its accumulator. This is their arithmetic
 * in exact integers, written from the operators and not from the circuits: sum x w (convolution), sum +-x 2^e (shift
 * layers, DeepShift, Elhoushi et al., CVPRW 2021, with exponents counted from the smallest), sum |x - w| (AdderNet, Chen
 * et al., CVPR 2020, whose minus sign goes into the batch norm behind the layer).
 */
import { Primitive, type ArithmeticPrimitive } from '../layer.js';

/** One circuit: what it does to a pair of operands, and how wide its operands and its sum are. */
export interface ElementShape {
  readonly primitive: ArithmeticPrimitive;
  /** Width of the activation, and of the weight of an element that multiplies or adds. */
  readonly bits: number;
  /** Width of the exponent of a shift element's weight, which has a sign and a zero flag beside it; else absent. */
  readonly exponentBits?: number | undefined;
  /** Width of the accumulator. */
  readonly sumBits: number;
}

/** One clock of an element: operands, and whether they begin a new sum. */
export interface OperandPair {
  readonly first: boolean;
  /** Two's complement value. */
  readonly x: bigint;
  /** Value of the weight; of a shift element its code, see {@link shiftCode}. */
  readonly w: bigint;
}

/** Accumulators hold every sum of fewer than 2^12 terms: a 3 x 3 kernel on 455 channels has 4095. */
export const sumHeadroomBits = 12;
export const narrowestBits = 2;
export const widestElementBits = 32;
const narrowestExponentBits = 1;
const widestExponentBits = 4;

/** Widths of exponents that are counted for every width of activations. */
export const exponentWidths = [2, 3, 4] as const;

/** Exponent width that stands for a width of operands in tables: 2 bits at 4, 3 at 8, 4 above. */
export function usualExponentBits(bits: number): number {
  if (bits <= 4) return 2;
  return bits <= 8 ? 3 : 4;
}

/** The element of these operands with the accumulator that fewer than 2^12 of its terms need. */
export function elementShape(
  primitive: ArithmeticPrimitive,
  bits: number,
  exponentBits?: number,
): ElementShape {
  if (!Number.isInteger(bits) || bits < narrowestBits || bits > widestElementBits)
    throw new RangeError(`elements have ${narrowestBits} to ${widestElementBits} bits, not ${bits}`);
  if (primitive !== Primitive.Shift)
    return {
      primitive,
      bits,
      sumBits: (primitive === Primitive.Multiply ? 2 * bits : bits) + sumHeadroomBits,
    };
  const exponent = exponentBits ?? usualExponentBits(bits);
  if (!Number.isInteger(exponent) || exponent < narrowestExponentBits || exponent > widestExponentBits)
    throw new RangeError(
      `exponents have ${narrowestExponentBits} to ${widestExponentBits} bits, not ${exponent}`,
    );
  return {
    primitive,
    bits,
    exponentBits: exponent,
    sumBits: bits + 2 ** exponent - 1 + sumHeadroomBits,
  };
}

/** All elements of these widths: multiply, shift with every exponent width, add. */
export function elementShapes(widths: readonly number[]): readonly ElementShape[] {
  return widths.flatMap((bits) => [
    elementShape(Primitive.Multiply, bits),
    ...exponentWidths.map((exponentBits) => elementShape(Primitive.Shift, bits, exponentBits)),
    elementShape(Primitive.Add, bits),
  ]);
}

/** For people: `multiply 8 bit`, `shift 8 bit, 3-bit exponent`. */
export function elementName({ primitive, bits, exponentBits }: ElementShape): string {
  return `${primitive} ${bits} bit${exponentBits === undefined ? '' : `, ${exponentBits}-bit exponent`}`;
}

/** Width of the weight as it is stored. */
export function weightBitsOf({ bits, exponentBits }: ElementShape): number {
  return exponentBits === undefined ? bits : exponentBits + 2;
}

/** Clock edges from a pair to the sum that holds it. */
export function latencyOf({ primitive }: ElementShape): number {
  return primitive === Primitive.Multiply ? 2 : 1;
}

/** A power-of-two weight as the bits of a shift element: sign, zero flag, exponent, from the highest down. */
export function shiftCode(exponentBits: number, negative: boolean, zero: boolean, exponent: number): bigint {
  return (
    (BigInt(negative) << BigInt(exponentBits + 1)) | (BigInt(zero) << BigInt(exponentBits)) | BigInt(exponent)
  );
}

/** What one pair adds to the sum. */
export function termOf(shape: ElementShape, x: bigint, w: bigint): bigint {
  switch (shape.primitive) {
    case Primitive.Multiply:
      return x * w;
    case Primitive.Add:
      return x > w ? x - w : w - x;
    case Primitive.Shift: {
      const exponentBits = BigInt(shape.exponentBits!);
      const magnitude = x * 2n ** (w & ((1n << exponentBits) - 1n));
      if ((w >> exponentBits) & 1n) return 0n;
      return (w >> (exponentBits + 1n)) & 1n ? -magnitude : magnitude;
    }
  }
}

/** The sum that holds each pair in turn. */
export function sumsOf(shape: ElementShape, pairs: readonly OperandPair[]): bigint[] {
  let sum = 0n;
  return pairs.map(({ first, x, w }) => (sum = (first ? 0n : sum) + termOf(shape, x, w)));
}

/** Least and greatest value of an activation of `bits` bits. */
export function operandRange(bits: number): readonly [bigint, bigint] {
  const half = 1n << BigInt(bits - 1);
  return [-half, half - 1n];
}
