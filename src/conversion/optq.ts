/**
 * @file Quantising a layer's weights column by column, with or without the activation-aware correction (OPTQ, Frantar
 * et al., ICLR'23, arXiv 2210.17323; ShiftAddLLM uses it around its binary codes).
 *
 * A column is one input of the layer: a tap of the kernel and a channel, with one weight for every filter. After a
 * column is quantised, its error is made up for by the columns that are still to come, in the way that changes the
 * layer's outputs least: with H = 2 X'X + damping over the inputs X of the calibration images and U upper triangular
 * with H^-1 = U'U, the error e = (w_j - q_j) / U_jj is taken off as W_k -= e U_jk. Inputs that are uncorrelated and
 * alike make H a multiple of the identity, and nothing is left to correct.
 */
import { inverseFactor } from './linear-algebra.js';

/** How one column at a time becomes what can be stored. Keeps the codes it hands out. */
export interface ColumnQuantiser {
  /**
   * Called before column `column` with all the weights [columns, filters] as corrected so far, for scales that are
   * chosen for several columns together.
   */
  readonly begin?: (column: number, weights: Float64Array) => void;
  /** Writes the nearest storable values of the column's `values`, one per filter. */
  readonly quantise: (column: number, values: Float64Array, result: Float64Array) => void;
}

/** Share of the mean of the diagonal that is added to it (OPTQ and ShiftAddLLM). */
const dampingShare = 0.01;

/**
 * The factor U that {@link quantiseColumns} takes, of the Hessian 2 X'X damped by 0.01 of its mean diagonal.
 * @param products X'X, [columns, columns]
 */
export function correctionFactor(products: Float64Array, columns: number): Float64Array {
  const h = products.map((value) => 2 * value);
  let trace = 0;
  for (let i = 0; i < columns; i++) trace += h[i * columns + i]!;
  // Inputs that are always zero leave nothing to tell columns apart.
  const damping = trace === 0 ? 1 : (dampingShare * trace) / columns;
  for (let i = 0; i < columns; i++) h[i * columns + i]! += damping;
  return inverseFactor(h, columns);
}

/** The quantised weights [columns, filters]; with `factor` the error of each column is passed on to later ones. */
export function quantiseColumns(
  weights: ArrayLike<number>,
  filters: number,
  quantiser: ColumnQuantiser,
  factor?: Float64Array,
): Float64Array {
  const current = Float64Array.from(weights);
  const columns = current.length / filters;
  const result = new Float64Array(current.length);
  const error = new Float64Array(filters);
  for (let column = 0; column < columns; column++) {
    quantiser.begin?.(column, current);
    const at = column * filters;
    const values = current.subarray(at, at + filters);
    const quantised = result.subarray(at, at + filters);
    quantiser.quantise(column, values, quantised);
    if (factor === undefined) continue;
    const row = factor.subarray(column * columns, (column + 1) * columns);
    for (let f = 0; f < filters; f++) error[f] = (values[f]! - quantised[f]!) / row[column]!;
    for (let later = column + 1; later < columns; later++) {
      const share = row[later]!;
      if (share === 0) continue;
      const to = later * filters;
      for (let f = 0; f < filters; f++) current[to + f]! -= share * error[f]!;
    }
  }
  return result;
}

/** Squared error of a layer's outputs over the inputs behind `products` = X'X: trace((W - V)' X'X (W - V)). */
export function outputError(
  weights: ArrayLike<number>,
  quantised: ArrayLike<number>,
  filters: number,
  products: Float64Array,
): number {
  const columns = weights.length / filters;
  const row = new Float64Array(filters);
  let total = 0;
  for (let i = 0; i < columns; i++) {
    row.fill(0);
    for (let j = 0; j < columns; j++) {
      const product = products[i * columns + j]!;
      if (product === 0) continue;
      for (let f = 0; f < filters; f++)
        row[f]! += product * (weights[j * filters + f]! - quantised[j * filters + f]!);
    }
    for (let f = 0; f < filters; f++)
      total += row[f]! * (weights[i * filters + f]! - quantised[i * filters + f]!);
  }
  return total;
}
