/**
 * @file A systolic array, cycle by cycle: registers that hand their value to the neighbour, nothing else. The oracle of
 * the closed form; it also computes the product, so that a wrong schedule shows as a wrong result.
 */
import { SystolicDataflow, type SystolicArray } from './systolic.js';

export interface Simulated {
  readonly product: number[][];
  /** Cycles until the last result is there. */
  readonly cycles: number;
}

type Matrix = readonly (readonly number[])[];

/** a [rows x depth] times b [depth x columns] on an array, fold after fold. */
export function simulateProduct(
  a: Matrix,
  b: Matrix,
  array: SystolicArray,
  dataflow: SystolicDataflow,
): Simulated {
  if (dataflow === SystolicDataflow.Outputs) return outputsStay(a, b, array);
  if (dataflow === SystolicDataflow.Weights) return firstStays(b, a, array);
  // Inputs stay: the transposed product, with the roles of the operands exchanged.
  const swapped = firstStays(transposed(a), transposed(b), array);
  return { product: transposed(swapped.product), cycles: swapped.cycles };
}

/** `stays` [depth x n] sits in the array, rows of `streams` [m x depth] pass from the left, sums go down. */
function firstStays(stays: Matrix, streams: Matrix, { rows, columns }: SystolicArray): Simulated {
  const depth = stays.length;
  const n = stays[0]!.length;
  const m = streams.length;
  const product = Array.from({ length: m }, () => new Array<number>(n).fill(0));
  let cycles = 0;
  for (let d0 = 0; d0 < depth; d0 += rows)
    for (let n0 = 0; n0 < n; n0 += columns) {
      const held = grid(rows, columns);
      // Loading: what stays is pushed in from the top, the bottom row first.
      for (let step = 0; step < rows; step++, cycles++) {
        for (let r = rows - 1; r > 0; r--) held[r] = [...held[r - 1]!];
        held[0] = Array.from({ length: columns }, (_, c) => stays[d0 + rows - 1 - step]?.[n0 + c] ?? 0);
      }
      let passing = grid(rows, columns);
      let sums = grid(rows, columns);
      let left = m * columns;
      for (let step = 0; left > 0; step++, cycles++) {
        const nextPassing = grid(rows, columns);
        const nextSums = grid(rows, columns);
        for (let r = 0; r < rows; r++)
          for (let c = 0; c < columns; c++) {
            // Row r enters r cycles late, so that it meets the sum from above.
            const entering = streams[step - r]?.[d0 + r] ?? 0;
            const value = c === 0 ? entering : passing[r]![c - 1]!;
            nextPassing[r]![c] = value;
            nextSums[r]![c] = (r === 0 ? 0 : sums[r - 1]![c]!) + value * held[r]![c]!;
          }
        for (let c = 0; c < columns; c++) {
          const position = step - (rows - 1) - c;
          if (position < 0 || position >= m) continue;
          left--;
          if (n0 + c < n) product[position]![n0 + c]! += nextSums[rows - 1]![c]!;
        }
        passing = nextPassing;
        sums = nextSums;
      }
    }
  return { product, cycles };
}

/** Sums stay; rows of `a` pass from the left and columns of `b` from the top, each later by its place. */
function outputsStay(a: Matrix, b: Matrix, { rows, columns }: SystolicArray): Simulated {
  const [m, depth, n] = [a.length, b.length, b[0]!.length];
  const product = Array.from({ length: m }, () => new Array<number>(n).fill(0));
  let cycles = 0;
  for (let m0 = 0; m0 < m; m0 += rows)
    for (let n0 = 0; n0 < n; n0 += columns) {
      const sums = grid(rows, columns);
      let fromLeft = grid(rows, columns);
      let fromTop = grid(rows, columns);
      let left = rows * columns * depth;
      for (let step = 0; left > 0; step++, cycles++) {
        const nextLeft = grid(rows, columns);
        const nextTop = grid(rows, columns);
        for (let r = 0; r < rows; r++)
          for (let c = 0; c < columns; c++) {
            nextLeft[r]![c] = c === 0 ? (a[m0 + r]?.[step - r] ?? 0) : fromLeft[r]![c - 1]!;
            nextTop[r]![c] = r === 0 ? (b[step - c]?.[n0 + c] ?? 0) : fromTop[r - 1]![c]!;
            sums[r]![c]! += nextLeft[r]![c]! * nextTop[r]![c]!;
            const k = step - r - c;
            if (k >= 0 && k < depth) left--;
          }
        fromLeft = nextLeft;
        fromTop = nextTop;
      }
      for (let r = 0; r < rows && m0 + r < m; r++)
        for (let c = 0; c < columns && n0 + c < n; c++) product[m0 + r]![n0 + c] = sums[r]![c]!;
    }
  return { product, cycles };
}

function grid(rows: number, columns: number): number[][] {
  return Array.from({ length: rows }, () => new Array<number>(columns).fill(0));
}

function transposed(matrix: Matrix): number[][] {
  return matrix[0]!.map((_, column) => matrix.map((row) => row[column]!));
}
