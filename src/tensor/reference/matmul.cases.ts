/**
 * @file Cases for matrix products: the definition on random and on usual shapes, and identities that hold exactly.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MatmulGeometry } from '../kernels.js';
import {
  type Device,
  eighths,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  type Numbers,
  sameBits,
  seeds,
  type Sums,
  tabulate,
  withBuffers,
} from './support.cases.js';

export const plainProduct: MatmulGeometry = {
  batch: 1,
  rows: 1,
  columns: 1,
  depth: 1,
  transposeA: false,
  transposeB: false,
  sharedB: false,
  accumulate: false,
};

/** Number of elements of a, b and c. */
function lengths(g: MatmulGeometry): { readonly a: number; readonly b: number; readonly c: number } {
  return {
    a: g.batch * g.rows * g.depth,
    b: (g.sharedB ? 1 : g.batch) * g.depth * g.columns,
    c: g.batch * g.rows * g.columns,
  };
}

interface Operands {
  readonly a: Float32Array;
  readonly b: Float32Array;
  /** What C holds before. */
  readonly c: Float32Array;
}

/** Operands for a geometry, normal or exact in sums. */
export function operands(g: MatmulGeometry, seed: number, draw = normals): Operands {
  const { a, b, c } = lengths(g);
  return { a: draw(a, 'a', seed), b: draw(b, 'b', seed), c: draw(c, 'c', seed) };
}

/** C as the device computes it. */
export function multiply(device: Device, g: MatmulGeometry, { a, b, c }: Operands): Float32Array {
  return withBuffers(device, (buffers) => {
    const result = g.accumulate ? buffers.updated(c) : buffers.output(c.length);
    device.kernels.matmul(g, buffers.input(a), buffers.input(b), result);
    return result;
  });
}

/** C from its definition, gathered element by element. */
export function productSums(g: MatmulGeometry, { a, b, c }: { a: Numbers; b: Numbers; c: Numbers }): Sums {
  const { rows, columns, depth } = g;
  return tabulate(lengths(g).c, (at, add) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const item = Math.floor(row / rows);
    if (g.accumulate) add(c[at]!);
    for (let k = 0; k < depth; k++) {
      const left = g.transposeA ? (item * depth + k) * rows + (row % rows) : row * depth + k;
      const matrix = g.sharedB ? 0 : item;
      const right = g.transposeB
        ? (matrix * columns + column) * depth + k
        : (matrix * depth + k) * columns + column;
      add(a[left]! * b[right]!);
    }
  });
}

function describeProduct(g: MatmulGeometry): string {
  const flags = (['transposeA', 'transposeB', 'sharedB', 'accumulate'] as const).filter((flag) => g[flag]);
  return `${g.batch} x [${g.rows}, ${g.depth}] * [${g.depth}, ${g.columns}] ${flags.join(' ')}`.trim();
}

const flags = {
  transposeA: fc.boolean(),
  transposeB: fc.boolean(),
  sharedB: fc.boolean(),
  accumulate: fc.boolean(),
};
const extent = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 70 }));
const shapes = fc.record({
  batch: fc.integer({ min: 1, max: 5 }),
  rows: extent,
  columns: extent,
  depth: fc.oneof(extent, fc.constant(0)),
  ...flags,
});

/** Products that a blocked kernel cuts up: many rows, many columns, long sums, and all of them. */
export const usualProducts: readonly MatmulGeometry[] = [
  { rows: 128, columns: 10, depth: 64 },
  { rows: 1, columns: 300, depth: 700 },
  { rows: 301, columns: 1, depth: 65 },
  { rows: 5, columns: 7, depth: 4099 },
  { rows: 33, columns: 40, depth: 2100 },
  { rows: 410, columns: 37, depth: 75 },
  { rows: 190, columns: 333, depth: 270 },
  { batch: 3, rows: 70, columns: 130, depth: 90 },
  { batch: 40, rows: 31, columns: 45, depth: 32 },
].flatMap((shape) =>
  [false, true].flatMap((transposeA) =>
    [false, true].map((transposeB) => ({
      ...plainProduct,
      ...shape,
      transposeA,
      transposeB,
      sharedB: shape.batch === 3,
      accumulate: shape.rows === 70,
    })),
  ),
);

export function describeMatmul(device: Device): void {
  describe('matrix products', () => {
    const definitionHolds = (g: MatmulGeometry, seed: number): void => {
      const drawn = operands(g, seed);
      const run = (on: Device): Float32Array => multiply(on, g, drawn);
      expectDefinition(`c of ${describeProduct(g)}`, device, run, productSums(g, drawn));
    };

    it('are their definition on random shapes', () => {
      forAll(fc.tuple(shapes, seeds), ([g, seed]) => definitionHolds(g, seed), 150);
    });

    it.each(usualProducts.map((g) => [describeProduct(g), g] as const))(
      'are their definition: %s',
      (_, g) => {
        definitionHolds(g, 3);
      },
    );

    it('leave alone what has no rows or columns', () => {
      for (const empty of [{ batch: 0 }, { rows: 0 }, { columns: 0 }]) {
        const g = { ...plainProduct, rows: 3, columns: 4, depth: 5, ...empty };
        expect(multiply(device, g, operands(g, 1)).length).toBe(0);
      }
    });

    it('by the identity give the matrix itself, bit by bit', () => {
      forAll(fc.tuple(extent, extent, seeds), ([rows, size, seed]) => {
        const g = { ...plainProduct, rows, columns: size, depth: size };
        const a = normals(rows * size, 'a', seed);
        const identity = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
        expect(sameBits(multiply(device, g, { a, b: identity, c: a }), a)).toBe(true);
      });
    });

    it('(A B)^T = B^T A^T', () => {
      forAll(fc.tuple(extent, extent, extent, seeds), ([rows, columns, depth, seed]) => {
        const g = { ...plainProduct, rows, columns, depth };
        const { a, b, c } = operands(g, seed, eighths);
        const straight = multiply(device, g, { a, b, c });
        const swapped = { ...g, rows: columns, columns: rows, transposeA: true, transposeB: true };
        const turned = multiply(device, swapped, { a: b, b: a, c });
        const expected = straight.map((_, at) => turned[(at % columns) * rows + Math.floor(at / columns)]!);
        expectEqual('c', straight, expected);
      });
    });

    it('are linear in both factors and add to what is there', () => {
      forAll(fc.tuple(shapes, seeds), ([shape, seed]) => {
        const g = { ...shape, accumulate: true };
        const { a, b, c } = operands(g, seed, eighths);
        const other = eighths(a.length, 'other', seed);
        const sum = a.map((value, i) => value + 2 * other[i]!);
        const first = multiply(device, g, { a, b, c });
        const doubled = b.map((value) => 2 * value);
        expectEqual(
          'c',
          multiply(device, g, { a: sum, b, c }),
          multiply(device, g, { a: other, b: doubled, c: first }),
        );
      });
    });
  });
}
