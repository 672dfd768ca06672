import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cholesky,
  leastSquares,
  logDeterminant,
  solveFactored,
  solveLower,
  solveUpper,
} from './linear-algebra.js';

const size = 4;
const entry = fc.double({ min: -2, max: 2, noNaN: true });
/** B B' + I, which is positive definite. */
const definite = fc.array(entry, { minLength: size * size, maxLength: size * size }).map((b) =>
  Float64Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    let sum = i === j ? 1 : 0;
    for (let k = 0; k < size; k++) sum += b[i * size + k]! * b[j * size + k]!;
    return sum;
  }),
);
const vector = fc.array(entry, { minLength: size, maxLength: size });

describe('a Cholesky factor', () => {
  it('multiplies back, solves, and gives the determinant', () => {
    fc.assert(
      fc.property(definite, vector, (matrix, b) => {
        const lower = cholesky(matrix, size)!;
        const x = solveFactored(lower, size, b);
        const y = solveLower(lower, size, b);
        expect([...solveUpper(lower, size, y)]).toEqual([...x]);
        for (let i = 0; i < size; i++) {
          let [row, product, below] = [0, 0, 0];
          for (let j = 0; j < size; j++) {
            row += matrix[i * size + j]! * x[j]!;
            product += lower[i * size + j]! * lower[2 * size + j]!;
            below += lower[i * size + j]! * y[j]!;
            if (j > i) expect(lower[i * size + j]).toBe(0);
          }
          expect(row).toBeCloseTo(b[i]!, 8);
          expect(below).toBeCloseTo(b[i]!, 8);
          expect(product).toBeCloseTo(matrix[i * size + 2]!, 8);
        }
        expect(logDeterminant(lower, size)).toBeCloseTo(Math.log(determinant([...matrix], size)), 6);
      }),
    );
  });

  it('is refused to matrices that are not positive definite', () => {
    expect(cholesky(Float64Array.of(1, 0, 2, 1), 2)).toBeUndefined();
    expect(cholesky(Float64Array.of(1, 0, 1, 1), 2)).toBeUndefined();
    expect(cholesky(Float64Array.of(1, 0, 1 - 1e-13, 1), 2)).toBeDefined();
    expect(cholesky(Float64Array.of(1, 0, 1 - 1e-13, 1), 2, 1e-10)).toBeUndefined();
  });
});

describe('least squares', () => {
  it('find the coefficients that made the values, whatever the scales of the columns', () => {
    const value = fc.double({ min: 0.5, max: 2, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(value, value, value), { minLength: 12, maxLength: 30 }),
        fc.tuple(value, value, value),
        (rows, [a, b, c]) => {
          const design = rows.map(([x, y, z]) => [x, 1e6 * y, 1e-6 * z]);
          const values = design.map(([x, y, z]) => a * x! + b * y! + c * z!);
          const found = leastSquares(design, values, 1e-6)!;
          design.forEach(([x, y, z], at) => {
            const predicted = found[0]! * x! + found[1]! * y! + found[2]! * z!;
            expect(Math.abs(predicted / values[at]! - 1)).toBeLessThan(1e-4);
          });
        },
      ),
    );
  });

  it('give columns of zeros the coefficient 0', () => {
    const found = leastSquares(
      [
        [1, 0],
        [2, 0],
      ],
      [3, 6],
    )!;
    expect(found[0]).toBeCloseTo(3, 12);
    expect(found[1]).toBe(0);
  });

  it('shrink with a ridge as the closed form says, and give up on columns that depend on each other', () => {
    // One column x: scaled to norm 1, its coefficient is (x.b / |x|) / (1 + ridge) / |x|.
    const found = leastSquares([[3], [4]], [6, 8], 0.25)!;
    expect(found[0]).toBeCloseTo(2 / 1.25, 12);
    const twice = [
      [1, 2],
      [2, 4],
      [5, 10],
    ];
    expect(leastSquares(twice, [1, 2, 5])).toBeUndefined();
    expect(leastSquares(twice, [1, 2, 5], 1e-6)).toBeDefined();
  });
});

/** By the first row, as the definition says. */
function determinant(matrix: readonly number[], order: number): number {
  if (order === 1) return matrix[0]!;
  let sum = 0;
  for (let column = 0; column < order; column++) {
    const minor = matrix.filter((_, at) => at >= order && at % order !== column);
    sum += (column % 2 ? -1 : 1) * matrix[column]! * determinant(minor, order - 1);
  }
  return sum;
}
