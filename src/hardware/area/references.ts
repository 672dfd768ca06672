/**
 * @file Figures of others for the same operations, to stand beside ours, and why they differ.
 */
import { Primitive, type ArithmeticPrimitive } from '../layer.js';
import { unitTable } from '../units.js';

/** Area or energy of one operation with its accumulation, put together of published figures. */
export interface PublishedOperation {
  readonly primitive: ArithmeticPrimitive;
  readonly bits: number;
  readonly areaUm2: number | undefined;
  readonly energyPj: number | undefined;
  readonly parts: string;
}

/** An int8 or int32 operation and its int32 accumulation: Horowitz (ISSCC 2014); shifts: ShiftAddNet (NeurIPS 2020). */
export function publishedOperations(): readonly PublishedOperation[] {
  const entries = unitTable('horowitz-45nm')!.entries;
  const sum = (prefix: string, parts: readonly string[]): number | undefined => {
    let total = 0;
    for (const part of parts) {
      const entry = entries[prefix + part];
      if (entry === undefined) return undefined;
      total += entry.value;
    }
    return Number(total.toPrecision(6));
  };
  return [8, 32].flatMap((bits) => {
    const operation = (
      primitive: ArithmeticPrimitive,
      parts: readonly string[],
      text: string,
    ): PublishedOperation => ({
      primitive,
      bits,
      areaUm2: sum('area.', parts),
      energyPj: sum('', parts),
      parts: text,
    });
    return [
      operation(
        Primitive.Multiply,
        [`multiply.int${bits}`, 'add.int32'],
        `INT${bits} product, INT32 addition`,
      ),
      operation(Primitive.Shift, [`shift.int${bits}`, 'add.int32'], `INT${bits} shift, INT32 addition`),
      operation(
        Primitive.Add,
        [`add.int${bits}`, `add.int${bits}`, 'add.int32'],
        `two INT${bits} additions (difference, absolute value), INT32 addition`,
      ),
    ];
  });
}

/** Transistors and lookup tables of an earlier count of such elements, by the same yosys with other circuits. */
export interface EarlierCount {
  readonly primitive: ArithmeticPrimitive;
  readonly bits: number;
  readonly transistors: number;
  readonly lut4: number;
}

const earlier = (
  primitive: ArithmeticPrimitive,
  bits: number,
  transistors: number,
  lut4: number,
): EarlierCount => ({
  primitive,
  bits,
  transistors,
  lut4,
});

/** Made when this package was planned; circuits and scripts were not kept. */
export const earlierCounts: readonly EarlierCount[] = [
  earlier(Primitive.Multiply, 4, 1344, 52),
  earlier(Primitive.Shift, 4, 1010, 33),
  earlier(Primitive.Add, 4, 662, 32),
  earlier(Primitive.Multiply, 8, 4674, 206),
  earlier(Primitive.Shift, 8, 1760, 71),
  earlier(Primitive.Add, 8, 1248, 55),
  earlier(Primitive.Multiply, 16, 17042, 799),
  earlier(Primitive.Shift, 16, 3448, 160),
  earlier(Primitive.Add, 16, 2498, 103),
];

/** Why our figures are not theirs, for people. */
export const differences: readonly string[] = [
  'Earlier count: same kind of elements, other circuits. Here accumulators hold 2^12 - 1 terms of any operands, so that of a shift element has 2^e - 1 bits more than that of an add element; gates are chosen by abc for least cost; all flip-flops count.',
  'Horowitz: bare operators of an optimised 45 nm flow and one 32-bit addition whatever the operands. Here whole elements with registers (16 transistors a bit) from generic gates, and accumulators as wide as the terms need: add elements accumulate narrower sums, hence their lower energy; multipliers of generic gates, without full-adder cells, come out two to three times as large.',
  'Shifts: ShiftAddNet prices a shift by a fixed distance; here every weight has its own exponent, so each element carries a barrel shifter, a sign and a wider accumulator.',
];
