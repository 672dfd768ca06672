/**
 * @file Binary-coding quantisation: w ~ sum_i a_i b_i with b_i = +-1 and a few scales a_i >= 0 shared by a group of
 * weights (ShiftAddLLM, NeurIPS'24, arXiv 2406.05981, after Xu et al., ICLR'18).
 *
 * The first scales are greedy (the mean magnitude of what is left, which for one code is the optimum); then scales by
 * least squares and codes by the nearest of the 2^q levels alternate, and no step makes the error larger. Scales that are
 * stored as sums of powers of two are rounded beside this path and not on it, where the rounding would undo its small steps:
 * of all rounded scales on the way, the best are returned. Of normal weights in groups of 64, 3 codes and scales of two
 * powers lose a variance of 0.033 then, and 0.037 with the rounding inside the alternation.
 */
export interface BinaryFitOptions {
  /** Codes per weight, 1 to 8. */
  readonly codes: number;
  /** A scale as it can be stored; absent, scales stay as they are. */
  readonly round?: (scale: number) => number;
  /** Alternations at most; it ends before when the codes stand still. */
  readonly iterations?: number;
  /** Told the squared error after the start and after every alternation. */
  readonly onError?: (squaredError: number) => void;
}

/** Scales in descending order, and the 2^q values they make. */
export interface BinaryLevels {
  readonly scales: Float64Array;
  /** Ascending. */
  readonly values: Float64Array;
  /** For each value the code that makes it: bit i is set where scale i counts positive. */
  readonly codes: Uint8Array;
}

const mostIterations = 30;

/** The levels of these scales, whose order does not matter; values are exact sums in float64. */
export function levelsOf(given: ArrayLike<number>): BinaryLevels {
  const scales = Float64Array.from(given).sort().reverse();
  const all = Array.from({ length: 2 ** scales.length }, (_, code) => ({
    code,
    value: binaryValue(scales, code),
  })).sort((a, b) => a.value - b.value);
  return {
    scales,
    values: Float64Array.from(all, ({ value }) => value),
    codes: Uint8Array.from(all, ({ code }) => code),
  };
}

/** The value of a code: sum of +-scales. */
export function binaryValue(scales: ArrayLike<number>, code: number): number {
  let sum = 0;
  for (let i = 0; i < scales.length; i++) sum += (code >> i) & 1 ? scales[i]! : -scales[i]!;
  return sum;
}

/** Index of the level nearest to `value`; of two equally near the upper. */
export function nearestLevel({ values }: Pick<BinaryLevels, 'values'>, value: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value >= (values[middle]! + values[middle + 1]!) / 2) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The levels with the least squared error that the fit comes by for a group of weights. */
export function fitBinaryLevels(weights: ArrayLike<number>, options: BinaryFitOptions): BinaryLevels {
  const { codes, round, iterations = mostIterations, onError } = options;
  const places = new Uint8Array(weights.length);
  let levels = levelsOf(greedyScales(weights, codes));
  let best = levels;
  let leastError = Infinity;
  for (let step = 0; ; step++) {
    const { error, moved } = assign(weights, levels, places);
    const candidate = round === undefined ? levels : levelsOf(levels.scales.map(round));
    const candidateError = round === undefined ? error : assign(weights, candidate).error;
    onError?.(candidateError);
    if (candidateError < leastError) {
      leastError = candidateError;
      best = candidate;
    }
    if (step === iterations || (step > 0 && !moved)) return best;
    const scales = leastSquaresScales(weights, places, levels);
    if (scales === undefined) return best;
    levels = levelsOf(scales);
  }
}

/** The squared error with every weight at its nearest level; `places` becomes their indices, and `moved` says if any is another. */
function assign(
  weights: ArrayLike<number>,
  levels: BinaryLevels,
  places?: Uint8Array,
): { readonly error: number; readonly moved: boolean } {
  let error = 0;
  let moved = false;
  for (let i = 0; i < weights.length; i++) {
    const place = nearestLevel(levels, weights[i]!);
    error += (weights[i]! - levels.values[place]!) ** 2;
    if (places === undefined || places[i] === place) continue;
    moved = true;
    places[i] = place;
  }
  return { error, moved };
}

/** a_i = mean |r|, r -= a_i sign(r). */
function greedyScales(weights: ArrayLike<number>, codes: number): Float64Array {
  const rest = Float64Array.from(weights);
  return Float64Array.from({ length: codes }, () => {
    const scale = rest.reduce((sum, r) => sum + Math.abs(r), 0) / rest.length;
    for (let i = 0; i < rest.length; i++) rest[i]! -= rest[i]! < 0 ? -scale : scale;
    return scale;
  });
}

/** Magnitudes of the solution of (B'B) a = B'w; undefined where two codes say the same of every weight. */
function leastSquaresScales(
  weights: ArrayLike<number>,
  places: Uint8Array,
  { scales, codes }: BinaryLevels,
): Float64Array | undefined {
  const q = scales.length;
  const matrix = Array.from({ length: q }, () => new Float64Array(q + 1));
  const signs = new Float64Array(q);
  for (let n = 0; n < weights.length; n++) {
    const code = codes[places[n]!]!;
    for (let i = 0; i < q; i++) {
      signs[i] = (code >> i) & 1 ? 1 : -1;
      const row = matrix[i]!;
      row[q]! += signs[i]! * weights[n]!;
      for (let j = 0; j <= i; j++) row[j]! += signs[i]! * signs[j]!;
    }
  }
  for (let i = 0; i < q; i++) for (let j = 0; j < i; j++) matrix[j]![i] = matrix[i]![j]!;
  const solution = solve(matrix);
  return solution?.map(Math.abs);
}

/** Solves the rows [A | b] of a positive semidefinite A by elimination; undefined when A is singular. */
function solve(rows: Float64Array[]): Float64Array | undefined {
  const n = rows.length;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    const head = rows[k]!;
    if (Math.abs(head[k]!) < 1e-9) return undefined;
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i]![k]! / head[k]!;
      for (let j = k; j <= n; j++) rows[i]![j]! -= factor * head[j]!;
    }
  }
  const x = new Float64Array(n);
  for (let k = n - 1; k >= 0; k--) {
    let sum = rows[k]![n]!;
    for (let j = k + 1; j < n; j++) sum -= rows[k]![j]! * x[j]!;
    x[k] = sum / rows[k]![k]!;
  }
  return x;
}
