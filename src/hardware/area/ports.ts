/**
 * @file How a pair of operands enters the ports of an element's module.
 */
import { Primitive } from '../layer.js';
import { weightBitsOf, type ElementShape, type OperandPair } from './element.js';

/** Input ports beside `clock`, with their widths, from the highest bits of a packed pair down. */
export function inputPorts(shape: ElementShape): readonly (readonly [name: string, bits: number])[] {
  const weight =
    shape.primitive === Primitive.Shift
      ? ([
          ['negative', 1],
          ['zero', 1],
          ['exponent', shape.exponentBits!],
        ] as const)
      : ([['w', weightBitsOf(shape)]] as const);
  return [['first', 1], ['x', shape.bits], ...weight];
}

/** All input bits of a clock as one unsigned number. */
export function packedPair(shape: ElementShape, { first, x, w }: OperandPair): bigint {
  const weightBits = weightBitsOf(shape);
  return (
    (BigInt(first) << BigInt(shape.bits + weightBits)) |
    (BigInt.asUintN(shape.bits, x) << BigInt(weightBits)) |
    BigInt.asUintN(weightBits, w)
  );
}

/** The unsigned value of each input port. */
export function portValues(shape: ElementShape, pair: OperandPair): Record<string, bigint> {
  let rest = packedPair(shape, pair);
  const values: Record<string, bigint> = {};
  for (const [name, bits] of [...inputPorts(shape)].reverse()) {
    values[name] = BigInt.asUintN(bits, rest);
    rest >>= BigInt(bits);
  }
  return values;
}
