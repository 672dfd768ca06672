/**
 * @file Matrix products and the linear layer, on the tape.
 */
import { kernels } from '../device.js';
import type { MatmulGeometry } from '../kernels.js';
import { linearGeometry, matmulGeometry, type MatmulOptions } from '../shape.js';
import { contribute, ifTrained, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/**
 * a [m, k] * b [k, n] -> [m, n], or item by item a [N, m, k] * b [N, k, n] -> [N, m, n]; a two-dimensional b is then used
 * for every item. With `transposeA`, a is held as [k, m] or [N, k, m]; with `transposeB`, b as [n, k] or [N, n, k].
 * @throws ShapeError
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const g = matmulGeometry('matmul', a, b, options);
  return product('matmul', g, a, b, [...a.shape.slice(0, -2), g.rows, g.columns]);
}

/** x [..., I] times the weights w [I, O], or [1, 1, I, O] as a convolution holds them: [..., O]. @throws ShapeError */
export function linear(x: Tensor, w: Tensor): Tensor {
  const g = linearGeometry('linear', x, w);
  return product('linear', g, x, w, [...x.shape.slice(0, -1), g.columns]);
}

function product(op: string, g: MatmulGeometry, a: Tensor, b: Tensor, shape: readonly number[]): Tensor {
  return record(
    op,
    [a, b],
    shape,
    (c) => kernels().matmul(g, a.data, b.data, c),
    (dc) => {
      contribute(a, (da) => gradientOfA(g, b.data, dc, da));
      contribute(b, (db) => gradientOfB(g, a.data, dc, db));
    },
    { tensors: [...ifTrained(b, a), ...ifTrained(a, b)], output: false },
  );
}

/** dA = dC B', or where A is held transposed dA' = B dC'. */
function gradientOfA(g: MatmulGeometry, b: Float32Array, dc: Float32Array, da: Float32Array): void {
  const { batch, rows, columns, depth, sharedB } = g;
  const plain = { batch, sharedB, accumulate: false };
  if (!g.transposeA) {
    const by = { rows, columns: depth, depth: columns, transposeA: false, transposeB: !g.transposeB };
    kernels().matmul({ ...plain, ...by }, dc, b, da);
    return;
  }
  const by = { rows: depth, columns: rows, depth: columns, transposeA: g.transposeB, transposeB: true };
  if (!sharedB) {
    kernels().matmul({ ...plain, ...by }, b, dc, da);
    return;
  }
  for (let i = 0; i < batch; i++)
    kernels().matmul({ ...plain, ...by, batch: 1 }, b, item(dc, i, batch), item(da, i, batch));
}

/** dB = A' dC, or where B is held transposed dB' = dC' A; summed over the batch when it shares B. */
function gradientOfB(g: MatmulGeometry, a: Float32Array, dc: Float32Array, db: Float32Array): void {
  const { batch, rows, columns, depth, sharedB } = g;
  const multiply = (
    of: { batch: number; rows: number; accumulate: boolean },
    x: Float32Array,
    dy: Float32Array,
  ) => {
    const plain = { batch: of.batch, sharedB: false, accumulate: of.accumulate, depth: of.rows };
    if (g.transposeB)
      kernels().matmul(
        { ...plain, rows: columns, columns: depth, transposeA: true, transposeB: g.transposeA },
        dy,
        x,
        db,
      );
    else
      kernels().matmul(
        { ...plain, rows: depth, columns, transposeA: !g.transposeA, transposeB: false },
        x,
        dy,
        db,
      );
  };
  if (!sharedB) multiply({ batch, rows, accumulate: false }, a, dc);
  // The items one below the other are one tall matrix, unless they are held transposed.
  else if (!g.transposeA) multiply({ batch: 1, rows: batch * rows, accumulate: false }, a, dc);
  else
    for (let i = 0; i < batch; i++)
      multiply({ batch: 1, rows, accumulate: i > 0 }, item(a, i, batch), item(dc, i, batch));
}

/** Item i of `batch` equal parts of a buffer. */
function item(buffer: Float32Array, i: number, batch: number): Float32Array {
  const size = buffer.length / batch;
  return buffer.subarray(i * size, (i + 1) * size);
}
