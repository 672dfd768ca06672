/**
 * @file Reference functions of two operands, broadcast against each other.
 */
import { BinaryGradientKind, BinaryKind } from '../kinds.js';
import type { BroadcastAxis } from '../kernels.js';
import { sizeOf } from '../shape.js';

const functions: Readonly<Record<BinaryKind, (a: number, b: number) => number>> = {
  [BinaryKind.Add]: (a, b) => a + b,
  [BinaryKind.Subtract]: (a, b) => a - b,
  [BinaryKind.Multiply]: (a, b) => a * b,
  [BinaryKind.Divide]: (a, b) => a / b,
  [BinaryKind.Maximum]: (a, b) => Math.max(a, b),
  [BinaryKind.Minimum]: (a, b) => Math.min(a, b),
};

const slopes: Readonly<Record<BinaryGradientKind, (a: number, b: number, dy: number) => number>> = {
  [BinaryGradientKind.Divisor]: (a, b, dy) => -(dy * (a / b)) / b,
  [BinaryGradientKind.Maximum]: (a, b, dy) => (a < b ? 0 : a === b ? dy / 2 : dy),
  [BinaryGradientKind.Minimum]: (a, b, dy) => (a > b ? 0 : a === b ? dy / 2 : dy),
};

/** y = the function `kind` of a and b. `y` may be an operand that has all axes. */
export function binary(
  kind: BinaryKind,
  axes: readonly BroadcastAxis[],
  a: Float32Array,
  b: Float32Array,
  y: Float32Array,
): void {
  eachElement(axes, (at, atA, atB) => {
    y[at] = functions[kind](a[atA]!, b[atB]!);
  });
}

/** d = the derivative `kind` at a and b times dy. `d` may be `dy`. */
export function binaryGradient(
  kind: BinaryGradientKind,
  axes: readonly BroadcastAxis[],
  a: Float32Array,
  b: Float32Array,
  dy: Float32Array,
  d: Float32Array,
): void {
  eachElement(axes, (at, atA, atB) => {
    d[at] = slopes[kind](a[atA]!, b[atB]!, dy[at]!);
  });
}

/** Calls `use` with the index of every element of the result and of the elements of a and b it is made of. */
export function eachElement(
  axes: readonly BroadcastAxis[],
  use: (at: number, atA: number, atB: number) => void,
): void {
  const size = sizeOf(axes.map(({ extent }) => extent));
  for (let at = 0; at < size; at++) {
    let [rest, atA, atB, stepA, stepB] = [at, 0, 0, 1, 1];
    for (let k = axes.length - 1; k >= 0; k--) {
      const { extent, a, b } = axes[k]!;
      const index = rest % extent;
      rest = (rest - index) / extent;
      if (a) {
        atA += index * stepA;
        stepA *= extent;
      }
      if (b) {
        atB += index * stepB;
        stepB *= extent;
      }
    }
    use(at, atA, atB);
  }
}
