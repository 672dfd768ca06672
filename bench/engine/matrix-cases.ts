/**
 * @file Rows of the matrix kernels: products of every layout, and the linear layer.
 */
import { kernels } from '../../src/tensor/device.js';
import type { MatmulGeometry } from '../../src/tensor/kernels.js';
import { Bound, type BenchCase } from './case.js';
import { input } from './inputs.js';

interface Product {
  readonly batch?: number;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

export function matrixCases(): readonly BenchCase[] {
  const square = (side: number): Product => ({ rows: side, columns: side, depth: side });
  // 128 tokens of 64 sequences, 128 features to 512.
  const linear = { tokens: 64 * 128, from: 128, to: 512 };
  return [
    product('matmul-1024', square(1024), { headline: true }),
    product('matmul-512', square(512)),
    product('matmul-transposed-a', { ...square(1024), transposeA: true }),
    product('matmul-transposed-b', { ...square(1024), transposeB: true }),
    // Scores and weighted values of 64 sequences of 128 tokens in 4 heads of 32 channels.
    product('matmul-batched-scores', {
      batch: 256,
      rows: 128,
      columns: 128,
      depth: 32,
      transposeB: true,
    }),
    product('matmul-batched-values', { batch: 256, rows: 128, columns: 32, depth: 128 }),
    product('linear-forward', { rows: linear.tokens, columns: linear.to, depth: linear.from }),
    product('linear-input-gradient', {
      rows: linear.tokens,
      columns: linear.from,
      depth: linear.to,
      transposeB: true,
    }),
    product('linear-weight-gradient', {
      rows: linear.from,
      columns: linear.to,
      depth: linear.tokens,
      transposeA: true,
    }),
  ];
}

function product(
  name: string,
  { batch = 1, rows, columns, depth, transposeA = false, transposeB = false }: Product,
  options: { readonly headline?: boolean } = {},
): BenchCase {
  const g: MatmulGeometry = {
    batch,
    rows,
    columns,
    depth,
    transposeA,
    transposeB,
    sharedB: false,
    accumulate: false,
  };
  return {
    ...options,
    name,
    group: 'matrix products',
    shape: `${batch === 1 ? '' : `${batch} x `}${rows}x${depth}${transposeA ? "'" : ''} * ${depth}x${columns}${transposeB ? "'" : ''}`,
    work: [{ bound: Bound.MultiplyAccumulate, amount: batch * rows * columns * depth }],
    peer: { kind: 'matmul', batch, rows, columns, depth, transposeA, transposeB },
    build() {
      const [a, b] = [input(batch * rows * depth, 1), input(batch * depth * columns, 2)];
      const c = kernels().allocate(batch * rows * columns);
      return { run: () => kernels().matmul(g, a, b, c), outputs: () => [c] };
    },
  };
}
