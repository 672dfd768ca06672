/**
 * @file Reference softmax over rows, and its logarithm, with their gradients.
 */

/** y = exp(x) / sum exp(x) of each row of x [rows, columns], or its logarithm. The largest of a row is taken off first. */
export function softmax(
  rows: number,
  columns: number,
  logarithm: boolean,
  x: Float32Array,
  y: Float32Array,
): void {
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * columns, (r + 1) * columns);
    const largest = row.reduce((most, value) => Math.max(most, value), -Infinity);
    let total = 0;
    for (const value of row) total += Math.exp(value - largest);
    row.forEach((value, c) => {
      const distance = value - largest;
      y[r * columns + c] = logarithm ? distance - Math.log(total) : Math.exp(distance) / total;
    });
  }
}

/** dx = y (dy - sum y dy), or of the logarithm dy - exp(y) sum dy. `dx` may be `dy`. */
export function softmaxGradient(
  rows: number,
  columns: number,
  logarithm: boolean,
  y: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): void {
  for (let from = 0; from < rows * columns; from += columns) {
    let sum = 0;
    for (let i = from; i < from + columns; i++) sum += logarithm ? dy[i]! : y[i]! * dy[i]!;
    for (let i = from; i < from + columns; i++)
      dx[i] = logarithm ? dy[i]! - Math.exp(y[i]!) * sum : y[i]! * (dy[i]! - sum);
  }
}
