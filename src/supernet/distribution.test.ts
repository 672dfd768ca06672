import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { distributionOf, drawFrom, kurtosisOf, quantilesOf, WeightLaw } from '../operators/weight-laws.js';
import { centralDifferences, normals, relativeError } from '../tensor/float64.cases.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { momentDistance, momentsOf, publishedDivergence, sortedDistance } from './distribution.js';

const laws = Object.values(WeightLaw);

/** The value and gradient of a term at these weights. */
function evaluated(
  values: Float32Array,
  term: (weights: Tensor) => Tensor,
): { readonly value: number; readonly gradient: Float32Array } {
  const weights = Tensor.persistent([values.length], values, true);
  const { value, tape } = Tape.record(() => term(weights));
  const held = value.data[0]!;
  tape.backward(value);
  const gradient = weights.gradient!.slice();
  weights.dispose();
  return { value: held, gradient };
}

const mean = (list: ArrayLike<number>): number =>
  Array.from(list).reduce((total, each) => total + each, 0) / list.length;

/** From the definitions, in float64. */
const oracles = {
  sorted(values: Float64Array, law: WeightLaw): number {
    const size = Math.sqrt(mean(values.map((v) => v * v)));
    const quantiles = quantilesOf(law, values.length);
    return mean([...values].sort((a, b) => a - b).map((v, i) => (v / size - quantiles[i]!) ** 2));
  },
  moment(values: Float64Array, law: WeightLaw): number {
    const middle = mean(values);
    const central = (power: number): number => mean(values.map((v) => (v - middle) ** power));
    const skewness = central(3) / central(2) ** 1.5;
    const aim = kurtosisOf[law];
    return skewness ** 2 / 6 + (aim * Math.log(central(4) / central(2) ** 2 / aim)) ** 2 / 24;
  },
  published(values: Float64Array, law: WeightLaw): number {
    const random = Random.stream('sample');
    const sample = Array.from(values, () => drawFrom(law, 2, random));
    const softmax = (list: ArrayLike<number>): number[] => {
      const total = Array.from(list).reduce((sum, each) => sum + Math.exp(each), 0);
      return Array.from(list, (each) => Math.exp(each) / total);
    };
    const [p, q] = [softmax(values), softmax(sample)];
    return mean(q.map((each, i) => each * Math.log(each / p[i]!)));
  },
};

const terms = {
  sorted: sortedDistance,
  moment: momentDistance,
  published: (weights: Tensor, law: WeightLaw, weight: number) =>
    publishedDivergence(weights, law, weight, Random.stream('sample')),
};

describe.each(Object.keys(terms) as (keyof typeof terms)[])('the term %s', (kind) => {
  it.each(laws)('towards the %s is its definition, with the gradient of central differences', (law) => {
    for (const [scale, offset] of [
      [1, 0],
      [0.05, 0.02],
    ] as const) {
      const values = normals(80, 'term', scale).map((v, i) => scale * (v + (i % 9 === 0 ? 2 : 0)) + offset);
      const at = Float64Array.from(values);
      const { value, gradient } = evaluated(values, (weights) => terms[kind](weights, law, 3));
      const oracle = (): number => 3 * oracles[kind](at, law);
      expect(value / oracle()).toBeCloseTo(1, 4);
      // A step that no two neighbours in the order are apart by.
      expect(relativeError(gradient, centralDifferences(oracle, at, 1e-8 * scale))).toBeLessThan(1e-4);
    }
  });
});

describe('the distances', () => {
  it.each(['sorted', 'moment'] as const)('%s does not depend on the scale, nor pull at it', (kind) => {
    const values = normals(500, 'scale');
    for (const law of laws) {
      const { value } = evaluated(values, (weights) => terms[kind](weights, law, 1));
      const wide = evaluated(
        values.map((v) => 64 * v),
        (weights) => terms[kind](weights, law, 1),
      );
      expect(wide.value).toBeCloseTo(value, 6);
      const radial = values.reduce((total, v, i) => total + v * wide.gradient[i]!, 0);
      const size = Math.sqrt(values.reduce((total, v) => total + v * v, 0));
      const length = Math.sqrt(wide.gradient.reduce((total, g) => total + g * g, 0));
      expect(Math.abs(radial) / (size * length)).toBeLessThan(1e-4);
    }
  });

  it.each(['sorted', 'moment'] as const)('%s is small at its law and larger at the other one', (kind) => {
    for (const law of laws)
      for (const of of laws) {
        const values = Float32Array.from(quantilesOf(of, 5000), (q) => 0.1 * q);
        const { value } = evaluated(values, (weights) => terms[kind](weights, law, 1));
        if (of === law) expect(value).toBeLessThan(2e-3);
        else expect(value).toBeGreaterThan(0.03);
      }
  });

  it('say nothing of tensors that have no form', () => {
    for (const kind of ['sorted', 'moment'] as const) {
      const { value, gradient } = evaluated(new Float32Array(6), (weights) =>
        terms[kind](weights, laws[0]!, 1),
      );
      expect([value, ...gradient]).toEqual([0, 0, 0, 0, 0, 0, 0]);
    }
  });
});

/** sup |F_n - F| of the law at the root mean square of the values. */
function kolmogorovDistance(values: Float32Array, law: WeightLaw): number {
  const sorted = [...values].sort((a, b) => a - b);
  const size = Math.sqrt(mean(sorted.map((v) => v * v)));
  return Math.max(
    ...sorted.flatMap((v, i) => {
      const below = distributionOf(law, v / size);
      return [Math.abs(below - i / sorted.length), Math.abs(below - (i + 1) / sorted.length)];
    }),
  );
}

/** Gradient descent on the term alone from uniform values of unit variance. */
function descended(
  count: number,
  steps: number,
  rate: number,
  term: (weights: Tensor, step: number) => Tensor,
): { readonly from: Float32Array; readonly to: Float32Array } {
  const random = Random.stream('uniform');
  const from = Float32Array.from({ length: count }, () => Math.sqrt(12) * (random.uniform() - 0.5));
  const to = from.slice();
  for (let step = 0; step < steps; step++) {
    const { gradient } = evaluated(to, (weights) => term(weights, step));
    gradient.forEach((g, i) => (to[i] = to[i]! - rate * count * g));
  }
  return { from, to };
}

describe('descent from a uniform tensor', () => {
  it.each(laws)('by the sorted distance ends at the %s, at the size that it had', (law) => {
    const { from, to } = descended(1000, 60, 0.1, (weights) => sortedDistance(weights, law, 1));
    expect(kolmogorovDistance(from, law)).toBeGreaterThan(0.05);
    expect(kolmogorovDistance(to, law)).toBeLessThan(0.004);
    expect(
      Math.abs(momentsOf(to).kurtosis / momentsOf(Float32Array.from(quantilesOf(law, 1000))).kurtosis - 1),
    ).toBeLessThan(0.03);
    expect(momentsOf(to).deviation / momentsOf(from).deviation).toBeCloseTo(1, 1);
  });

  it.each(laws)('by the moments ends at the kurtosis of the %s and no skewness', (law) => {
    const { from, to } = descended(1000, 300, 0.02, (weights) => momentDistance(weights, law, 1));
    expect(momentsOf(from).kurtosis).toBeCloseTo(1.8, 1);
    expect(momentsOf(to).kurtosis).toBeCloseTo(kurtosisOf[law], 1);
    expect(Math.abs(momentsOf(to).skewness)).toBeLessThan(0.01);
  });

  it('by the released term ends near a constant, and at no Laplacian', () => {
    const law = WeightLaw.Laplacian;
    const { from, to } = descended(100, 6000, 0.05, (weights, step) =>
      publishedDivergence(weights, law, 1, Random.stream('fresh', step)),
    );
    expect(momentsOf(from).deviation).toBeGreaterThan(0.9);
    expect(momentsOf(to).deviation).toBeLessThan(0.25);
    expect(momentsOf(to).kurtosis).toBeLessThan(4.5);
  });

  it('the released term is least, on average over its samples, at equal weights', () => {
    const law = WeightLaw.Laplacian;
    const average = (values: Float32Array): number =>
      mean(
        Array.from(
          { length: 400 },
          (_, k) =>
            evaluated(values, (weights) => publishedDivergence(weights, law, 1, Random.stream('of', k)))
              .value,
        ),
      );
    const laplacian = Float32Array.from(quantilesOf(law, 100), (q) => Math.SQRT2 * q);
    const values = [0, 0.25, 0.5, 1].map((scale) => average(laplacian.map((v) => scale * v)));
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(values.at(-1)).toBeGreaterThan(1.1 * values[0]!);
  });
});
