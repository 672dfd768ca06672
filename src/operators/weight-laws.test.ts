import { describe, expect, it } from 'vitest';
import { normalQuantile } from '../base/normal-distribution.js';
import { Random } from '../base/random.js';
import { distributionOf, drawFrom, kurtosisOf, quantilesOf, WeightLaw } from './weight-laws.js';

describe.each(Object.values(WeightLaw))('%s', (law) => {
  it('has ascending, odd quantiles of root mean square 1 that its distribution takes back to their places', () => {
    for (const count of [1, 2, 7, 100, 20_001]) {
      const quantiles = quantilesOf(law, count);
      expect(quantiles).toHaveLength(count);
      quantiles.forEach((each, i) => {
        if (i > 0) expect(each).toBeGreaterThan(quantiles[i - 1]!);
        expect(each + quantiles[count - 1 - i]!).toBeCloseTo(0, 14);
      });
      const square = quantiles.reduce((sum, each) => sum + each * each, 0) / count;
      expect(square).toBeCloseTo(count === 1 ? 0 : 1, 12);
    }
    const many = 200_001;
    const quantiles = quantilesOf(law, many);
    for (const share of [0.001, 0.1, 0.5, 0.84, 0.999]) {
      const at = Math.floor(share * many);
      expect(distributionOf(law, quantiles[at]!)).toBeCloseTo((at + 0.5) / many, 4);
    }
    const fourth = quantiles.reduce((sum, each) => sum + each ** 4, 0) / many;
    expect(Math.abs(fourth / kurtosisOf[law] - 1)).toBeLessThan(0.01);
  });

  it('has draws of its scale and kurtosis', () => {
    const random = Random.stream('laws', law);
    const draws = Array.from({ length: 200_000 }, () => drawFrom(law, 2, random));
    const moment = (power: number): number =>
      draws.reduce((sum, each) => sum + Math.abs(each) ** power, 0) / draws.length;
    expect(moment(law === WeightLaw.Gaussian ? 2 : 1) / (law === WeightLaw.Gaussian ? 4 : 2)).toBeCloseTo(
      1,
      1,
    );
    expect(Math.abs(moment(4) / moment(2) ** 2 / kurtosisOf[law] - 1)).toBeLessThan(0.06);
    expect(Math.abs(draws.reduce((sum, each) => sum + each, 0) / draws.length)).toBeLessThan(0.03);
  });
});

it('normal quantiles are those of the inverse, up to the one scale', () => {
  const count = 1001;
  const quantiles = quantilesOf(WeightLaw.Gaussian, count);
  const scale = quantiles[900]! / normalQuantile(900.5 / count);
  quantiles.forEach((each, i) => expect(each).toBeCloseTo(scale * normalQuantile((i + 0.5) / count), 9));
});
