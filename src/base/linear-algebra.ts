/**
 * @file Small dense linear algebra in float64: Cholesky factors, triangular systems, least squares.
 *
 * Matrices are row-major in one array. Sizes are tens to a thousand, so nothing is blocked; the inner loops run along
 * rows, which is all that matters here.
 */

/**
 * The lower triangle L of A = L L', for a symmetric `matrix` [size, size] of which the lower triangle is read; what is
 * above the diagonal of L is zero. Undefined when a pivot is not above `leastPivot`, that is when A is not positive
 * definite or, on a matrix with ones on the diagonal, nearly singular.
 */
export function cholesky(matrix: Float64Array, size: number, leastPivot = 0): Float64Array | undefined {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) {
      let rest = matrix[i * size + j]!;
      for (let k = 0; k < j; k++) rest -= lower[i * size + k]! * lower[j * size + k]!;
      if (i !== j) lower[i * size + j] = rest / lower[j * size + j]!;
      else if (rest > leastPivot) lower[i * size + i] = Math.sqrt(rest);
      else return undefined;
    }
  return lower;
}

/** Solves L y = b for y, L lower triangular [size, size]. */
export function solveLower(lower: Float64Array, size: number, b: ArrayLike<number>): Float64Array {
  const y = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    let rest = b[i]!;
    for (let k = 0; k < i; k++) rest -= lower[i * size + k]! * y[k]!;
    y[i] = rest / lower[i * size + i]!;
  }
  return y;
}

/** Solves L' x = y for x, L lower triangular [size, size]. */
export function solveUpper(lower: Float64Array, size: number, y: ArrayLike<number>): Float64Array {
  const x = Float64Array.from(y);
  for (let i = size - 1; i >= 0; i--) {
    const value = x[i]! / lower[i * size + i]!;
    x[i] = value;
    for (let k = 0; k < i; k++) x[k]! -= lower[i * size + k]! * value;
  }
  return x;
}

/** Solves A x = b by the Cholesky factor of A. */
export function solveFactored(lower: Float64Array, size: number, b: ArrayLike<number>): Float64Array {
  return solveUpper(lower, size, solveLower(lower, size, b));
}

/** log det A from its Cholesky factor. */
export function logDeterminant(lower: Float64Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += 2 * Math.log(lower[i * size + i]!);
  return sum;
}

/** Columns that are this nearly multiples of others say nothing apart. */
const collinear = 1e-10;

/**
 * The x that minimises |A x - b|^2 + ridge |D x|^2 for the rows of A, D the norms of its columns: columns of any scale
 * are treated alike. By Cholesky on the scaled normal equations; columns that are all zero get coefficient 0.
 * Undefined when, without a ridge, some columns nearly depend on the others.
 */
export function leastSquares(
  a: readonly (readonly number[])[],
  b: readonly number[],
  ridge = 0,
): readonly number[] | undefined {
  const width = a[0]!.length;
  const norms = Array.from({ length: width }, (_, column) =>
    Math.sqrt(a.reduce((sum, row) => sum + row[column]! ** 2, 0)),
  );
  const columns = [...norms.keys()].filter((column) => norms[column]! > 0);
  const size = columns.length;
  const scaled = a.map((row) => columns.map((column) => row[column]! / norms[column]!));
  const normal = new Float64Array(size * size);
  const right = new Float64Array(size);
  scaled.forEach((row, at) => {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) normal[i * size + j]! += row[i]! * row[j]!;
      right[i]! += row[i]! * b[at]!;
    }
  });
  for (let i = 0; i < size; i++) normal[i * size + i]! += ridge;
  const lower = cholesky(normal, size, collinear);
  if (lower === undefined) return undefined;
  const solved = solveFactored(lower, size, right);
  const x = new Array<number>(width).fill(0);
  columns.forEach((column, at) => (x[column] = solved[at]! / norms[column]!));
  return x;
}
