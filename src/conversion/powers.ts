/**
 * @file Numbers as sums of a few signed powers of two: one term is a bit shift, K terms are K shifts and additions.
 *
 * A sum is found greedily: the nearest power, then the nearest to what is left. "Nearest" is by value (boundary
 * 1.5 * 2^k, relative error at most 1/3) or by logarithm (boundary sqrt(2) * 2^k, at most 41.4 %), the rule of DeepShift
 * (arXiv 1905.13298) and of the scales of ShiftAddLLM (arXiv 2406.05981), whose sums of 1, 2 and 3 terms are off by at
 * most 41.4, 10.8 and 2.7 %.
 */

/** Where the boundary between two neighbouring powers lies. */
export enum Rounding {
  Value = 'value',
  Log = 'log',
}

/** The largest e with 2^e <= magnitude, for a finite magnitude > 0. */
export function floorLog2(magnitude: number): number {
  let exponent = Math.floor(Math.log2(magnitude));
  // The logarithm may be rounded over a whole number in either direction.
  if (2 ** exponent > magnitude) exponent--;
  else if (2 ** (exponent + 1) <= magnitude) exponent++;
  return exponent;
}

/** Exponent of the power of two nearest to a magnitude > 0. */
export function nearestExponent(magnitude: number, rounding: Rounding): number {
  const below = floorLog2(magnitude);
  const boundary = rounding === Rounding.Value ? 1.5 : Math.SQRT2;
  return magnitude / 2 ** below >= boundary ? below + 1 : below;
}

/** The sum of at most `terms` signed powers of two that the greedy rule finds for `value`. */
export function additivePowers(value: number, terms: number, rounding: Rounding): number {
  let sum = 0;
  for (let term = 0; term < terms && sum !== value; term++) {
    const rest = value - sum;
    sum += Math.sign(rest) * 2 ** nearestExponent(Math.abs(rest), rounding);
  }
  return sum;
}

/** Bits of one stored term: a sign and a 4-bit exponent, as in the shift layers of DeepShift. */
export const termBits = 5;
/** Exponents that a term can have; the sixteenth code is "no term". */
const exponentCount = 2 ** (termBits - 1) - 1;

/** Weights of one layer as sums of powers, with exponents within a window below that of its largest weight. */
export interface PowerGrid {
  readonly terms: number;
  readonly rounding: Rounding;
  /** The largest exponent. */
  readonly top: number;
}

/** The grid whose window ends at the power nearest to the largest of `weights`. */
export function powerGridFor(weights: ArrayLike<number>, terms: number, rounding: Rounding): PowerGrid {
  let largest = 0;
  for (let i = 0; i < weights.length; i++) largest = Math.max(largest, Math.abs(weights[i]!));
  return { terms, rounding, top: largest === 0 ? 0 : nearestExponent(largest, rounding) };
}

/**
 * The codes of one weight, `terms` of them, and the value they stand for. A code is 0 for no term, else
 * 1 + (top - exponent), plus {@link signBit} for a negative term; what is left below half of the smallest power has none.
 */
export function encodePower(value: number, grid: PowerGrid, codes: Uint8Array, at: number): number {
  const { terms, rounding, top } = grid;
  const lowest = top - exponentCount + 1;
  const flushed = 2 ** (lowest - 1);
  let sum = 0;
  for (let term = 0; term < terms; term++) {
    const rest = value - sum;
    const magnitude = Math.abs(rest);
    if (magnitude < flushed) {
      codes.fill(0, at + term, at + terms);
      break;
    }
    const exponent = Math.min(top, Math.max(lowest, nearestExponent(magnitude, rounding)));
    codes[at + term] = 1 + top - exponent + (rest < 0 ? signBit : 0);
    sum += Math.sign(rest) * 2 ** exponent;
  }
  return sum;
}

/** Set in the code of a negative term. */
export const signBit = 2 ** (termBits - 1);

/** What the codes of one weight stand for. */
export function decodePower(grid: Pick<PowerGrid, 'terms' | 'top'>, codes: Uint8Array, at: number): number {
  let sum = 0;
  for (let term = 0; term < grid.terms; term++) {
    const code = codes[at + term]!;
    const place = code % signBit;
    if (place !== 0) sum += (code >= signBit ? -1 : 1) * 2 ** (grid.top - place + 1);
  }
  return sum;
}
