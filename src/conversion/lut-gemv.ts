/**
 * @file Products of binary-coded weights and activations by look-up (LUT-GEMM, as ShiftAddLLM uses it, arXiv 2406.05981):
 * for every 8 activations a table holds their 256 sums under all signs, and a byte of sign bits finds its sum. Flipping
 * every sign flips the sum, so the upper half of the table is the lower one negated and 128 entries are stored.
 */

/** Activations behind one table. */
export const inputsPerTable = 8;
const entries = 2 ** (inputsPerTable - 1);

/** The sums of 8 activations x under the keys 0 to 127: bit i of a key says that x_i counts positive. */
export function tableOfSums(x: ArrayLike<number>, at = 0): Float64Array {
  const table = new Float64Array(entries);
  let sum = 0;
  for (let i = 0; i < inputsPerTable; i++) sum -= x[at + i] ?? 0;
  table[0] = sum;
  // Each key differs by one set bit from a smaller one.
  for (let key = 1; key < entries; key++) {
    const bit = 31 - Math.clz32(key);
    table[key] = table[key - 2 ** bit]! + 2 * (x[at + bit] ?? 0);
  }
  return table;
}

/** The sum under any key, 0 to 255. */
export function lookUp(table: Float64Array, key: number): number {
  return key < entries ? table[key]! : -table[2 * entries - 1 - key]!;
}

/** Rows of binary-coded weights: w[row, i] = sum_c scales[row, group of i, c] * (+-1). */
export interface BinaryRows {
  readonly rows: number;
  readonly columns: number;
  readonly codes: number;
  /** Columns of a group; every group but the last is full. A multiple of 8. */
  readonly group: number;
  /** [rows, groups, codes]. */
  readonly scales: Float64Array;
  /** One code per weight, [rows, columns]; bit c is the sign under scale c. */
  readonly signs: Uint8Array;
}

/** y = W x without a multiplication by a weight: look-ups, additions, and one scaling per group, code and row. */
export function lutGemv(w: BinaryRows, x: ArrayLike<number>): Float64Array {
  const { rows, columns, codes, group } = w;
  if (group % inputsPerTable !== 0)
    throw new RangeError(`a group of ${group} columns is no multiple of ${inputsPerTable}`);
  const tables = Array.from({ length: Math.ceil(columns / inputsPerTable) }, (_, t) =>
    tableOfSums(x, t * inputsPerTable),
  );
  const groups = Math.ceil(columns / group);
  const y = new Float64Array(rows);
  for (let row = 0; row < rows; row++)
    for (let g = 0; g < groups; g++)
      for (let code = 0; code < codes; code++) {
        let sum = 0;
        const end = Math.min(columns, (g + 1) * group);
        for (let first = g * group; first < end; first += inputsPerTable)
          sum += lookUp(tables[first / inputsPerTable]!, keyAt(w, row, first, code));
        y[row]! += w.scales[(row * groups + g) * codes + code]! * sum;
      }
  return y;
}

/** The sign bits of 8 weights under one code; beyond the last column the activation is zero and any bit will do. */
function keyAt({ signs, columns }: BinaryRows, row: number, first: number, code: number): number {
  let key = 0;
  for (let i = 0; i < inputsPerTable && first + i < columns; i++)
    key |= ((signs[row * columns + first + i]! >> code) & 1) << i;
  return key;
}
