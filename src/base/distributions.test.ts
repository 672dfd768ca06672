import { describe, expect, it } from 'vitest';
import { beta, logGamma } from './distributions.js';
import { Random } from './random.js';

const moments = (draws: readonly number[]): { mean: number; variance: number } => {
  const mean = draws.reduce((sum, v) => sum + v, 0) / draws.length;
  return { mean, variance: draws.reduce((sum, v) => sum + (v - mean) ** 2, 0) / draws.length };
};
const draws = (count: number, draw: (random: Random) => number, ...labels: number[]): number[] => {
  const random = Random.stream('distributions', ...labels);
  return Array.from({ length: count }, () => draw(random));
};

describe('logGamma', () => {
  it.each([0.3, 1, 2.5, 20])('has mean and variance equal to its shape %d', (shape) => {
    const { mean, variance } = moments(draws(40_000, (random) => Math.exp(logGamma(random, shape)), shape));
    expect(Math.abs(mean / shape - 1)).toBeLessThan(0.05);
    expect(Math.abs(variance / shape - 1)).toBeLessThan(0.1);
  });
});

describe('beta', () => {
  it.each([
    [1, 1],
    [0.2, 0.2],
    [2, 5],
    [0.5, 3],
  ])('Beta(%d, %d) has the moments it should have', (a, b) => {
    const { mean, variance } = moments(draws(40_000, (random) => beta(random, a, b), a, b));
    expect(mean).toBeCloseTo(a / (a + b), 1.7);
    expect(Math.abs(variance / ((a * b) / ((a + b) ** 2 * (a + b + 1))) - 1)).toBeLessThan(0.06);
  });

  it('is uniform at a = b = 1', () => {
    const sorted = draws(20_000, (random) => beta(random, 1, 1)).sort((x, y) => x - y);
    const distance = Math.max(...sorted.map((v, i) => Math.abs(v - i / sorted.length)));
    // Kolmogorov's bound at a level of one in ten thousand.
    expect(distance).toBeLessThan(2.23 / Math.sqrt(sorted.length));
  });

  it('stays a number in [0, 1] where gamma draws vanish, and then is nearly always an end', () => {
    const values = draws(2000, (random) => beta(random, 1e-4, 1e-4));
    for (const value of values) expect(value >= 0 && value <= 1).toBe(true);
    expect(values.filter((v) => v > 0.01 && v < 0.99).length).toBeLessThan(20);
    expect(moments(values).mean).toBeCloseTo(0.5, 1);
  });

  it.each([0, -1, NaN, Infinity])('refuses %d', (a) => {
    expect(() => beta(Random.stream(1), a, 1)).toThrow(RangeError);
  });
});
