/**
 * @file Reference matrix products, for a batch of them.
 */
import type { MatmulGeometry } from '../kernels.js';

/** c[i,r,j] = sum over k of a[i,r,k] * b[i,k,j], plus what c[i,r,j] held when `accumulate`. */
export function matmul(g: MatmulGeometry, a: Float32Array, b: Float32Array, c: Float32Array): void {
  const { batch, rows, columns, depth } = g;
  const [aRow, aStep] = g.transposeA ? [1, rows] : [depth, 1];
  const [bStep, bColumn] = g.transposeB ? [1, depth] : [columns, 1];
  for (let i = 0; i < batch; i++) {
    const aItem = i * rows * depth;
    const bItem = g.sharedB ? 0 : i * depth * columns;
    for (let r = 0; r < rows; r++)
      for (let j = 0; j < columns; j++) {
        const at = (i * rows + r) * columns + j;
        let sum = g.accumulate ? c[at]! : 0;
        for (let k = 0; k < depth; k++)
          sum += a[aItem + r * aRow + k * aStep]! * b[bItem + k * bStep + j * bColumn]!;
        c[at] = sum;
      }
  }
}
