import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { allGenomes, checkGenome, productMoves } from './product.js';

const counts = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 });

describe('a product space', () => {
  it('knows its exact size, and enumerates that many different legal genomes', () => {
    fc.assert(
      fc.property(counts, (optionCounts) => {
        const genomes = [...allGenomes(optionCounts)];
        expect(BigInt(genomes.length)).toBe(productMoves(optionCounts).size);
        expect(new Set(genomes.map(String)).size).toBe(genomes.length);
        for (const genome of genomes) checkGenome(genome, optionCounts, 'toy');
      }),
    );
  });

  it('counts beyond 2^53 exactly', () => {
    expect(productMoves(Array.from({ length: 40 }, () => 7)).size).toBe(7n ** 40n);
  });

  it('samples, mutates and crosses into legal genomes', () => {
    fc.assert(
      fc.property(
        counts,
        fc.integer(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (optionCounts, seed, rate) => {
          const random = Random.stream(seed);
          const space = productMoves(optionCounts);
          const [first, second] = [space.sample(random), space.sample(random)];
          const child = space.crossover(first, second, random);
          child.forEach((gene, at) => expect([first[at], second[at]]).toContain(gene));
          for (const genome of [first, second, child, space.mutate(first, rate, random)])
            checkGenome(genome, optionCounts, 'toy');
          expect(space.mutate(first, 0, random)).toEqual(first);
        },
      ),
    );
  });

  it('samples uniformly over the genomes (chi-square, 23 degrees of freedom)', () => {
    const optionCounts = [2, 3, 4];
    const space = productMoves(optionCounts);
    const random = Random.stream(7, 'uniformity');
    const draws = 24_000;
    const seen = new Map<string, number>();
    for (let i = 0; i < draws; i++) {
      const key = String(space.sample(random));
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    const expected = draws / 24;
    let chiSquare = 0;
    for (const genome of allGenomes(optionCounts))
      chiSquare += ((seen.get(String(genome)) ?? 0) - expected) ** 2 / expected;
    // 99.9th percentile of chi-square with 23 degrees of freedom; the 0.1st is 7.53 (too even would be wrong as well).
    expect(chiSquare).toBeLessThan(49.73);
    expect(chiSquare).toBeGreaterThan(7.53);
  });

  it('redraws each gene with the mutation rate and inherits at even odds', () => {
    const options = 5;
    const space = productMoves(Array.from({ length: 20 }, () => options));
    const random = Random.stream(3, 'rates');
    const [zeros, ones] = [space.optionCounts.map(() => 0), space.optionCounts.map(() => 1)];
    let changed = 0;
    let fromSecond = 0;
    const rounds = 2_000;
    for (let i = 0; i < rounds; i++) {
      changed += space.mutate(zeros, 0.2, random).filter((gene) => gene !== 0).length;
      fromSecond += space.crossover(zeros, ones, random).filter((gene) => gene === 1).length;
    }
    const genes = rounds * 20;
    // A redraw may give the same option again, so a gene changes with 0.2 * 4/5; bounds are 4 standard deviations.
    const changes = 0.2 * (1 - 1 / options);
    expect(Math.abs(changed / genes - changes)).toBeLessThan(
      4 * Math.sqrt((changes * (1 - changes)) / genes),
    );
    expect(Math.abs(fromSecond / genes - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / genes));
  });

  it('refuses illegal genomes by name', () => {
    expect(() => checkGenome([0, 1], [2, 2, 2], 'toy')).toThrow(/3 genes, not 2/);
    for (const gene of [-1, 2, 0.5, Number.NaN])
      expect(() => checkGenome([0, gene, 0], [2, 2, 2], 'toy')).toThrow(/gene 1 .* 0 to 1/);
  });
});
