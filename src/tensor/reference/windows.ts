/**
 * @file Reference pooling over windows of x [batch, inHeight, inWidth, channels].
 */
import type { PoolGeometry } from '../kernels.js';

/** y = the largest of each window; NaN where it holds one. */
export function maxPool(g: PoolGeometry, x: Float32Array, y: Float32Array): void {
  eachWindow(g, (to, window) => {
    y[to] = window.reduce((most, from) => Math.max(most, x[from]!), -Infinity);
  });
}

/** dx = dy at the first place of each window that is y or NaN, added up over windows. */
export function maxPoolGradient(
  g: PoolGeometry,
  x: Float32Array,
  y: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): void {
  const sums = new Float64Array(g.batch * g.inHeight * g.inWidth * g.channels);
  eachWindow(g, (to, window) => {
    const first = window.find((from) => x[from] === y[to] || Number.isNaN(x[from]));
    if (first !== undefined) sums[first]! += dy[to]!;
  });
  dx.set(sums);
}

/** y = the mean of each window, padding counted as zeros or left out. */
export function averagePool(g: PoolGeometry, countPadding: boolean, x: Float32Array, y: Float32Array): void {
  eachWindow(g, (to, window) => {
    const count = countPadding ? g.kernelHeight * g.kernelWidth : window.length;
    y[to] = window.reduce((sum, from) => sum + x[from]!, 0) / count;
  });
}

/** dx = the shares of dy, added up over windows. */
export function averagePoolGradient(
  g: PoolGeometry,
  countPadding: boolean,
  dy: Float32Array,
  dx: Float32Array,
): void {
  const sums = new Float64Array(g.batch * g.inHeight * g.inWidth * g.channels);
  eachWindow(g, (to, window) => {
    const count = countPadding ? g.kernelHeight * g.kernelWidth : window.length;
    for (const from of window) sums[from]! += dy[to]! / count;
  });
  dx.set(sums);
}

/** Calls `use` with the index of every output and those of the inputs in its window, in row-major order. */
function eachWindow(g: PoolGeometry, use: (to: number, window: readonly number[]) => void): void {
  for (let n = 0; n < g.batch; n++)
    for (let h = 0; h < g.outHeight; h++)
      for (let w = 0; w < g.outWidth; w++)
        for (let c = 0; c < g.channels; c++) {
          const window: number[] = [];
          for (let u = 0; u < g.kernelHeight; u++)
            for (let v = 0; v < g.kernelWidth; v++) {
              const row = h * g.strideHeight - g.padTop + u;
              const column = w * g.strideWidth - g.padLeft + v;
              if (row < 0 || row >= g.inHeight || column < 0 || column >= g.inWidth) continue;
              window.push(((n * g.inHeight + row) * g.inWidth + column) * g.channels + c);
            }
          use(((n * g.outHeight + h) * g.outWidth + w) * g.channels + c, window);
        }
}
