/**
 * @file The triangular factor that a column-by-column correction needs, in float64 and in blocks that fit a cache.
 *
 * For a symmetric positive definite H, {@link inverseFactor} gives the upper triangular U with H^-1 = U'U. It needs no
 * inverse of H: with R upper triangular and H = R R', U = R^-1; R is the Cholesky factor of H with rows and columns in
 * reverse order. That is D^3 / 3 multiplications and additions instead of D^3 by way of H^-1.
 */

const block = 64;

/**
 * U [size, size], row-major, zero below the diagonal. H is read, not changed.
 * @throws RangeError when H is not positive definite
 */
export function inverseFactor(h: Float64Array, size: number): Float64Array {
  const l = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) l[i * size + j] = h[(size - 1 - i) * size + (size - 1 - j)]!;
  factorise(l, size);
  const inverse = invertedTransposed(l, size);
  const u = new Float64Array(size * size);
  // inverse holds (L^-1)'; in reverse order L^-1 is upper triangular.
  for (let i = 0; i < size; i++)
    for (let j = i; j < size; j++) u[i * size + j] = inverse[(size - 1 - j) * size + (size - 1 - i)]!;
  return u;
}

/** The lower triangle of `a` becomes the L with a = L L'. @throws RangeError */
export function factorise(a: Float64Array, size: number): void {
  for (let k = 0; k < size; k += block) {
    const end = Math.min(size, k + block);
    for (let i = k; i < size; i++) {
      const row = i * size;
      const stop = Math.min(i, end - 1);
      for (let j = k; j <= stop; j++) {
        const other = j * size;
        let sum = a[row + j]!;
        for (let m = k; m < j; m++) sum -= a[row + m]! * a[other + m]!;
        if (j < i) a[row + j] = sum / a[other + j]!;
        else if (sum > 0) a[row + j] = Math.sqrt(sum);
        else throw new RangeError(`not positive definite at row ${i}`);
      }
    }
    for (let i = end; i < size; i += block)
      for (let j = end; j <= i; j += block)
        subtractProducts(
          a,
          a,
          a,
          size,
          [i, Math.min(size, i + block)],
          [j, Math.min(size, j + block)],
          [k, end],
        );
  }
}

type Range = readonly [first: number, end: number];

/** c[i, j] -= sum_m a[i, m] b[j, m] over the ranges, four products at a time; all three are [size, size]. */
function subtractProducts(
  c: Float64Array,
  a: Float64Array,
  b: Float64Array,
  size: number,
  [firstRow, endRow]: Range,
  [firstColumn, endColumn]: Range,
  [first, end]: Range,
): void {
  let i = firstRow;
  for (; i + 1 < endRow; i += 2) {
    const [row0, row1] = [i * size, (i + 1) * size];
    let j = firstColumn;
    for (; j + 1 < endColumn; j += 2) {
      const [column0, column1] = [j * size, (j + 1) * size];
      let [s00, s01, s10, s11] = [0, 0, 0, 0];
      for (let m = first; m < end; m++) {
        const [a0, a1, b0, b1] = [a[row0 + m]!, a[row1 + m]!, b[column0 + m]!, b[column1 + m]!];
        s00 += a0 * b0;
        s01 += a0 * b1;
        s10 += a1 * b0;
        s11 += a1 * b1;
      }
      c[row0 + j]! -= s00;
      c[row0 + j + 1]! -= s01;
      c[row1 + j]! -= s10;
      c[row1 + j + 1]! -= s11;
    }
    for (; j < endColumn; j++)
      for (const row of [row0, row1]) c[row + j]! -= dot(a, row, b, j * size, first, end);
  }
  for (; i < endRow; i++)
    for (let j = firstColumn; j < endColumn; j++)
      c[i * size + j]! -= dot(a, i * size, b, j * size, first, end);
}

function dot(
  a: Float64Array,
  aRow: number,
  b: Float64Array,
  bRow: number,
  first: number,
  end: number,
): number {
  let sum = 0;
  for (let m = first; m < end; m++) sum += a[aRow + m]! * b[bRow + m]!;
  return sum;
}

/** (L^-1)', upper triangular, of a lower triangular L whose upper part is not read. */
function invertedTransposed(l: Float64Array, size: number): Float64Array {
  const x = new Float64Array(size * size);
  // Row j of x is column j of L^-1: forward substitution, a block of its entries at a time.
  for (let i = 0; i < size; i += block) {
    const end = Math.min(size, i + block);
    for (let j = 0; j < end; j += block) {
      const endRow = Math.min(end, j + block);
      for (let m = j; m < i; m += block)
        subtractProducts(x, x, l, size, [j, endRow], [i, end], [m, Math.min(size, m + block)]);
      for (let row = j; row < endRow; row++)
        for (let column = Math.max(i, row); column < end; column++) {
          const known = (row === column ? 1 : 0) + x[row * size + column]!;
          const from = Math.max(i, row);
          x[row * size + column] =
            (known - dot(x, row * size, l, column * size, from, column)) / l[column * size + column]!;
        }
    }
  }
  return x;
}
