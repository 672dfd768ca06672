/**
 * @file How many bits each layer gets when their mean over all weights is limited: a knapsack of one choice per layer,
 * solved exactly (ShiftAddLLM, arXiv 2406.05981, poses it as an integer program).
 *
 * The layers are taken one after the other; of the partial choices only those are kept that no other one beats in both
 * bits spent and error, which loses no optimum.
 */

/** One way to store a layer. */
export interface BitChoice {
  /** Per weight. */
  readonly bits: number;
  /** What the choice costs in quality, any unit that adds up over layers; >= 0. */
  readonly error: number;
}

export interface AllocatedLayer {
  readonly weights: number;
  /** At least one. */
  readonly choices: readonly BitChoice[];
}

interface Partial {
  readonly spent: number;
  readonly error: number;
  readonly choice: number;
  readonly before: Partial | undefined;
}

/** Bits may miss the budget by this share, for sums of fractions. */
const slack = 1e-9;

/**
 * Index of the choice for each layer with the least total error among those whose mean bits per weight are at most
 * `meanBits`; undefined when even the smallest choices are above it.
 */
export function allocateBits(
  layers: readonly AllocatedLayer[],
  meanBits: number,
): readonly number[] | undefined {
  const budget = meanBits * layers.reduce((sum, { weights }) => sum + weights, 0) * (1 + slack);
  const least = layers.map(({ weights, choices }) => weights * Math.min(...choices.map(({ bits }) => bits)));
  let remaining = least.reduce((sum, bits) => sum + bits, 0);
  let front: readonly Partial[] = [{ spent: 0, error: 0, choice: -1, before: undefined }];
  layers.forEach(({ weights, choices }, at) => {
    remaining -= least[at]!;
    const next = front.flatMap((before) =>
      choices.map(({ bits, error }, choice): Partial => ({
        spent: before.spent + weights * bits,
        error: before.error + error,
        choice,
        before,
      })),
    );
    front = undominated(next.filter(({ spent }) => spent + remaining <= budget));
  });
  const best = front.at(-1);
  if (best === undefined) return undefined;
  const chosen: number[] = [];
  for (let each: Partial | undefined = best; each?.before !== undefined; each = each.before)
    chosen.unshift(each.choice);
  return chosen;
}

/** Ascending in bits, descending in error. */
function undominated(all: readonly Partial[]): readonly Partial[] {
  const kept: Partial[] = [];
  for (const each of all.toSorted((a, b) => a.spent - b.spent || a.error - b.error))
    if (kept.length === 0 || each.error < kept.at(-1)!.error) kept.push(each);
  return kept;
}

/**
 * The importance of a layer by ShiftAddLLM: with IS = W / diag(chol((XX')^-1)), ||IS||_F * STD(IS)^2.
 * @param weights [columns, filters]
 * @param factor U with (XX')^-1 = U'U, whose diagonal is that of the Cholesky factor
 */
export function layerImportance(weights: ArrayLike<number>, filters: number, factor: Float64Array): number {
  const columns = weights.length / filters;
  let [sum, squares] = [0, 0];
  for (let i = 0; i < weights.length; i++) {
    const column = Math.floor(i / filters);
    const score = weights[i]! / factor[column * columns + column]!;
    sum += score;
    squares += score * score;
  }
  const mean = sum / weights.length;
  return Math.sqrt(squares) * (squares / weights.length - mean * mean);
}
