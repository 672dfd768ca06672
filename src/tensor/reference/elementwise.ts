/**
 * @file Reference ops that treat a buffer as a flat list: activations and sums.
 *
 * `Math.max` rather than a comparison wherever a value is cut at zero, because it lets NaN through.
 */
/** y = max(0, x). */
export function relu(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) y[i] = Math.max(0, x[i]!);
}

/** dx = y > 0 ? dy : 0. `dx` may be `dy`. */
export function reluGradient(y: Float32Array, dy: Float32Array, dx: Float32Array): void {
  for (let i = 0; i < y.length; i++) dx[i] = y[i]! > 0 ? dy[i]! : 0;
}

/** y = a + b, then max(0, .) when `cut`. `y` may be `a`. */
export function add(cut: boolean, a: Float32Array, b: Float32Array, y: Float32Array): void {
  for (let i = 0; i < a.length; i++) {
    const sum = a[i]! + b[i]!;
    y[i] = cut ? Math.max(0, sum) : sum;
  }
}

/** y += alpha * x. */
export function axpy(alpha: number, x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) y[i] = y[i]! + alpha * x[i]!;
}
