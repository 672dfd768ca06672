import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { allocateBits, layerImportance, type AllocatedLayer } from './allocation.js';
import { fitBinaryLevels, nearestLevel } from './binary-codes.js';
import { inverseFactor } from './linear-algebra.js';
import { correctionFactor, outputError, quantiseColumns, type ColumnQuantiser } from './optq.js';
import { additivePowers, Rounding } from './powers.js';

/** X'X of `rows` random inputs that are mixed by a random matrix, so that they correlate. */
function correlatedProducts(size: number, rows: number, label: string): Float64Array {
  const random = Random.stream(label);
  const mix = Float64Array.from({ length: size * size }, () => random.normal());
  const products = new Float64Array(size * size);
  for (let row = 0; row < rows; row++) {
    const z = Float64Array.from({ length: size }, () => random.normal());
    const x = Float64Array.from({ length: size }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < size; j++) sum += mix[i * size + j]! * z[j]! * (j < 3 ? 4 : 0.3);
      return sum;
    });
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) products[i * size + j]! += x[i]! * x[j]!;
  }
  return products;
}

const powers: ColumnQuantiser = {
  quantise: (_, values, result) =>
    values.forEach((w, f) => (result[f] = additivePowers(w, 1, Rounding.Value))),
};

/** Scales of each column by itself, over its filters: ShiftAddLLM's accurate setting. */
const columnCodes: ColumnQuantiser = {
  quantise(_, values, result) {
    const levels = fitBinaryLevels(values, { codes: 2 });
    values.forEach((w, f) => (result[f] = levels.values[nearestLevel(levels, w)]!));
  },
};

function randomWeights(count: number, label: string): Float64Array {
  const random = Random.stream(label);
  return Float64Array.from({ length: count }, () => random.normal());
}

describe('inverseFactor', () => {
  it.each([1, 2, 5, 63, 64, 65, 130, 200])("U has U H U' = I for a matrix of %i rows", (size) => {
    const h = correlatedProducts(size, 2 * size + 5, 'factor').map(
      (v, i) => v / size + (i % (size + 1) ? 0 : 1),
    );
    const u = inverseFactor(h, size);
    for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) expect(u[i * size + j]).toBe(0);
    // H^-1 = U'U, so U H U' is the identity.
    const uh = new Float64Array(size * size);
    for (let i = 0; i < size; i++)
      for (let k = i; k < size; k++)
        for (let j = 0; j < size; j++) uh[i * size + j]! += u[i * size + k]! * h[k * size + j]!;
    let worst = 0;
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = j; k < size; k++) sum += uh[i * size + k]! * u[j * size + k]!;
        worst = Math.max(worst, Math.abs(sum - (i === j ? 1 : 0)));
      }
    expect(worst).toBeLessThan(1e-8);
  });

  it('refuses what is not positive definite', () => {
    expect(() => inverseFactor(Float64Array.of(1, 2, 2, 1), 2)).toThrow('not positive definite');
  });
});

describe('the correction by inputs', () => {
  const [columns, filters] = [24, 6];

  it('is no correction where the Hessian is a multiple of the identity', () => {
    const weights = randomWeights(columns * filters, 'identity');
    const products = Float64Array.from({ length: columns ** 2 }, (_, i) => (i % (columns + 1) ? 0 : 7));
    const factor = correctionFactor(products, columns);
    for (const quantiser of [powers, columnCodes])
      expect(quantiseColumns(weights, filters, quantiser, factor)).toEqual(
        quantiseColumns(weights, filters, quantiser),
      );
  });

  it.each([
    ['powers of two', powers],
    ['binary codes', columnCodes],
  ])('more than halves the output error of %s on correlated inputs', (_, quantiser) => {
    const weights = randomWeights(columns * filters, 'correlated');
    const products = correlatedProducts(columns, 200, 'correlated');
    const plain = quantiseColumns(weights, filters, quantiser);
    const corrected = quantiseColumns(weights, filters, quantiser, correctionFactor(products, columns));
    const error = (q: Float64Array): number => outputError(weights, q, filters, products);
    expect(error(corrected)).toBeLessThan(0.5 * error(plain));
  });

  it('outputError is the squared error of the outputs', () => {
    const weights = randomWeights(columns * filters, 'outputs');
    const quantised = quantiseColumns(weights, filters, powers);
    const random = Random.stream('inputs');
    const products = new Float64Array(columns ** 2);
    let expected = 0;
    for (let row = 0; row < 30; row++) {
      const x = Float64Array.from({ length: columns }, () => random.normal());
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < columns; j++) products[i * columns + j]! += x[i]! * x[j]!;
      for (let f = 0; f < filters; f++) {
        const off = x.reduce(
          (sum, v, i) => sum + v * (weights[i * filters + f]! - quantised[i * filters + f]!),
          0,
        );
        expected += off * off;
      }
    }
    expect(outputError(weights, quantised, filters, products)).toBeCloseTo(expected, 6);
  });

  it('inputs that are always zero are no failure', () => {
    const factor = correctionFactor(new Float64Array(columns ** 2), columns);
    const weights = randomWeights(columns * filters, 'zero');
    expect(quantiseColumns(weights, filters, powers, factor)).toEqual(
      quantiseColumns(weights, filters, powers),
    );
  });

  it('the importance follows its formula', () => {
    // Diagonal factor: scores are w / u, here 1, 2, 3, 4 -> Frobenius norm sqrt(30), variance 1.25.
    const score = layerImportance([0.5, 1, 6, 8], 2, Float64Array.of(0.5, 0, 0, 2));
    expect(score).toBeCloseTo(Math.sqrt(30) * 1.25, 12);
  });
});

describe('allocateBits', () => {
  const layers = fc.array(
    fc.record({
      weights: fc.integer({ min: 1, max: 50 }),
      choices: fc
        .uniqueArray(
          fc.record({
            bits: fc.integer({ min: 1, max: 8 }),
            error: fc.double({ min: 0, max: 9, noNaN: true }),
          }),
          { minLength: 1, maxLength: 4, selector: ({ bits }) => bits },
        )
        .map((choices) => choices as AllocatedLayer['choices']),
    }),
    { minLength: 1, maxLength: 6 },
  );

  it('equals a look at every combination, and keeps the budget', () => {
    fc.assert(
      fc.property(layers, fc.double({ min: 0.5, max: 9, noNaN: true }), (all, mean) => {
        const total = all.reduce((sum, { weights }) => sum + weights, 0);
        let least: number | undefined;
        const visit = (at: number, bits: number, error: number): void => {
          if (at === all.length) {
            if (bits <= mean * total * (1 + 1e-9)) least = Math.min(least ?? Infinity, error);
            return;
          }
          for (const choice of all[at]!.choices)
            visit(at + 1, bits + choice.bits * all[at]!.weights, error + choice.error);
        };
        visit(0, 0, 0);
        const chosen = allocateBits(all, mean);
        if (least === undefined) {
          expect(chosen).toBeUndefined();
          return;
        }
        const picked = chosen!.map((choice, i) => all[i]!.choices[choice]!);
        const spent = picked.reduce((sum, { bits }, i) => sum + bits * all[i]!.weights, 0);
        expect(spent).toBeLessThanOrEqual(mean * total * (1 + 1e-9));
        expect(picked.reduce((sum, { error }) => sum + error, 0)).toBeCloseTo(least, 9);
      }),
    );
  });

  it('eight layers of four choices as by brute force', () => {
    const random = Random.stream('eight');
    const all = Array.from({ length: 8 }, () => ({
      weights: 1 + random.integer(1000),
      choices: [2, 3, 4, 8].map((bits) => ({ bits, error: random.uniform() / bits })),
    }));
    const budget = 3.3 * all.reduce((sum, { weights }) => sum + weights, 0);
    let least = Infinity;
    for (let code = 0; code < 4 ** 8; code++) {
      const picked = all.map(({ weights, choices }, i) => ({ weights, ...choices[(code >> (2 * i)) & 3]! }));
      if (picked.reduce((sum, { weights, bits }) => sum + weights * bits, 0) <= budget)
        least = Math.min(
          least,
          picked.reduce((sum, { error }) => sum + error, 0),
        );
    }
    const chosen = allocateBits(all, 3.3)!;
    expect(chosen.reduce((sum, choice, i) => sum + all[i]!.choices[choice]!.error, 0)).toBeCloseTo(least, 12);
  });
});
