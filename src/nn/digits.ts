/**
 * @file Integers by their digits: what a multiplication by a constant costs where it is done by shifts and additions,
 * x w = sum over digits of sgn 2^j x (Bit-Pruning: Sekikawa and Yashima, ICLR 2023).
 *
 * Binary digits are 0 and 1, and a number has popcount(|w|) that are not zero. The canonical signed digits (NAF: no two
 * neighbours are non-zero) are -1, 0 and 1, and no representation in such digits has fewer that are not zero.
 */

export enum Digits {
  Binary = 'binary',
  Signed = 'signed',
}

/** Digits of |n| in base 2, least first; n a whole number. */
export function binaryDigits(n: number): readonly number[] {
  const digits: number[] = [];
  for (let rest = Math.abs(n); rest > 0; rest = Math.floor(rest / 2)) digits.push(rest % 2);
  return digits;
}

/** The canonical signed digits of n, least first: n = sum digits[j] 2^j. */
export function signedDigits(n: number): readonly number[] {
  const digits: number[] = [];
  let rest = n;
  while (rest !== 0) {
    // An odd rest takes the digit that leaves a multiple of four.
    const digit = rest % 2 === 0 ? 0 : 2 - (((rest % 4) + 4) % 4);
    digits.push(digit);
    rest = (rest - digit) / 2;
  }
  return digits;
}

/** How many digits of n are not zero. */
export function digitCount(n: number, digits: Digits): number {
  const all = digits === Digits.Binary ? binaryDigits(n) : signedDigits(n);
  return all.filter((digit) => digit !== 0).length;
}

/**
 * For n = 0 to `largest` the integer v >= 0 that is cheapest to be: the least of lambda digits(v) + |n^p - v^p|; of equals
 * the one of the fewest digits, then the nearest. Of -n it is -v. Costs are digits, so p = 1/2 lets large numbers move further.
 */
export function proximalTable(largest: number, lambda: number, power: number, digits: Digits): Int32Array {
  const costs = Array.from({ length: largest + 1 }, (_, v) => digitCount(v, digits));
  const raised = costs.map((_, v) => v ** power);
  return Int32Array.from({ length: largest + 1 }, (_, n) => {
    let best = n;
    const value = (v: number): number => lambda * costs[v]! + Math.abs(raised[n]! - raised[v]!);
    for (let v = 0; v <= largest; v++) {
      const difference = value(v) - value(best);
      const nearer = Math.abs(v - n) < Math.abs(best - n);
      if (
        difference < 0 ||
        (difference === 0 && (costs[v]! < costs[best]! || (costs[v] === costs[best] && nearer)))
      )
        best = v;
    }
    return best;
  });
}
