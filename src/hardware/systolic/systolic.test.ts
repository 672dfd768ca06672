/**
 * @file The closed form of systolic arrays against a cycle-by-cycle array and SCALE-Sim's published runs.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Primitive } from '../layer.js';
import { simulateProduct } from './simulate.cases.js';
import { SystolicDataflow, matrixProductOf, systolicCycles, systolicProduct } from './systolic.js';

const dataflow = fc.constantFrom(...Object.values(SystolicDataflow));
const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });

describe('systolic arrays', () => {
  it('take the cycles that the array takes, which computes the product', () => {
    fc.assert(
      fc.property(
        fc.record({ m: size(7), k: size(7), n: size(7), rows: size(4), columns: size(4), seed: size(1000) }),
        dataflow,
        ({ m, k, n, rows, columns, seed }, flow) => {
          const value = (i: number, j: number): number => ((seed + 7 * i + 13 * j + i * j) % 11) - 5;
          const a = Array.from({ length: m }, (_, i) => Array.from({ length: k }, (_, j) => value(i, j)));
          const b = Array.from({ length: k }, (_, i) => Array.from({ length: n }, (_, j) => value(j, i + 3)));
          const simulated = simulateProduct(a, b, { rows, columns }, flow);
          expect(simulated.product).toEqual(
            a.map((row) => b[0]!.map((_, j) => row.reduce((sum, x, i) => sum + x * b[i]![j]!, 0))),
          );
          const closed = systolicProduct(
            { rows: m, depth: k, columns: n, groups: 1 },
            { rows, columns },
            flow,
          );
          expect(closed.cycles + 1).toBe(simulated.cycles);
          expect(closed.utilisation).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('handles groups one after the other', () => {
    const layer = {
      name: 'depth-wise',
      primitive: Primitive.Multiply,
      fullyConnected: false,
      batch: 2,
      inHeight: 8,
      inWidth: 8,
      inChannels: 6,
      kernel: 3,
      outHeight: 8,
      outWidth: 8,
      outChannels: 6,
      stride: 1,
      groups: 6,
      operandBits: { weight: 8, activation: 8, partialSum: 32 },
    };
    expect(matrixProductOf(layer)).toEqual({ rows: 128, depth: 9, columns: 1, groups: 6 });
    const cost = systolicCycles(layer, { rows: 4, columns: 4 }, SystolicDataflow.Weights);
    expect(cost.folds).toBe(3 * 6);
    expect(cost.operations).toBe(2 * 64 * 9 * 6);
    expect(() => systolicCycles(layer, { rows: 0, columns: 4 }, SystolicDataflow.Weights)).toThrow(
      'a systolic array needs a whole number of rows, at least 1, got 0',
    );
  });
});
