import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { rankCorrelation } from '../../base/statistics.js';
import { bootstrap, IntervalKind } from './bootstrap.js';
import { kendallTau, kendallTauWithin } from './kendall.js';
import {
  bestThird,
  energyBins,
  kendallTauDifference,
  rankFidelity,
  type RankedNetwork,
} from './rank-fidelity.js';
import { topRegret } from './regret.js';

// Few values make ties frequent.
const pair = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 }));
const pairs = fc.array(pair, { minLength: 1, maxLength: 24 });
const columns = (rows: readonly (readonly [number, number])[]): [number[], number[]] => [
  rows.map(([a]) => a),
  rows.map(([, b]) => b),
];

/** tau-b from its definition, pair by pair. */
function plainTau(a: readonly number[], b: readonly number[]): number {
  let [surplus, apartA, apartB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j < i; j++) {
      const [signA, signB] = [Math.sign(a[i]! - a[j]!), Math.sign(b[i]! - b[j]!)];
      surplus += signA * signB;
      apartA += Math.abs(signA);
      apartB += Math.abs(signB);
    }
  return surplus / Math.sqrt(apartA * apartB);
}

describe('Kendall tau-b', () => {
  it('is the definition, with ties', () => {
    fc.assert(
      fc.property(pairs, (rows) => {
        const [a, b] = columns(rows);
        const expected = plainTau(a, b);
        if (Number.isNaN(expected)) expect(kendallTau(a, b)).toBeNaN();
        else expect(kendallTau(a, b)).toBeCloseTo(expected, 12);
      }),
    );
  });

  it('has the values of the textbook', () => {
    expect(kendallTau([1, 2, 3, 4], [1, 2, 3, 4])).toBe(1);
    expect(kendallTau([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1);
    expect(kendallTau([1, 2, 3, 4], [1, 3, 2, 4])).toBeCloseTo(4 / 6, 14);
    // Kendall (1970), chapter 3: with ties in both, 4 of 6 and 5 of 6 pairs are told apart.
    expect(kendallTau([1, 1, 2, 2], [1, 2, 3, 3])).toBeCloseTo(4 / Math.sqrt(4 * 5), 14);
    expect(kendallTau([1, 1], [1, 2])).toBeNaN();
    expect(kendallTau([], [])).toBeNaN();
  });

  it('is symmetric, flips with either side, and does not change with the scale', () => {
    fc.assert(
      fc.property(pairs, (rows) => {
        const [a, b] = columns(rows);
        const tau = kendallTau(a, b);
        fc.pre(!Number.isNaN(tau));
        expect(kendallTau(b, a)).toBeCloseTo(tau, 12);
        expect(
          kendallTau(
            a.map((x) => -x),
            b,
          ),
        ).toBeCloseTo(-tau, 12);
        expect(
          kendallTau(
            a.map((x) => x ** 3 + 5),
            b.map((x) => Math.exp(x)),
          ),
        ).toBeCloseTo(tau, 12);
        expect(Math.abs(tau)).toBeLessThanOrEqual(1 + 1e-12);
      }),
    );
  });

  it('inside groups counts no pair across them', () => {
    fc.assert(
      fc.property(pairs, pairs, (one, two) => {
        const groups = [one, two].map((rows) => ({ first: columns(rows)[0], second: columns(rows)[1] }));
        // Far apart in both, tied groups aside: the definition over all pairs of which both lie in one group.
        const all = [...one.map((p) => [...p, 0] as const), ...two.map((p) => [...p, 1] as const)];
        let [surplus, apartA, apartB] = [0, 0, 0];
        all.forEach(([a, b, group], i) =>
          all.slice(0, i).forEach(([c, d, other]) => {
            if (group !== other) return;
            surplus += Math.sign(a - c) * Math.sign(b - d);
            apartA += a === c ? 0 : 1;
            apartB += b === d ? 0 : 1;
          }),
        );
        const expected = surplus / Math.sqrt(apartA * apartB);
        if (Number.isNaN(expected)) expect(kendallTauWithin(groups)).toBeNaN();
        else expect(kendallTauWithin(groups)).toBeCloseTo(expected, 12);
      }),
    );
  });
});

/** The mean over every order of the items that a sort by score could give. */
function plainRegret(scores: readonly number[], truths: readonly number[], k: number): number {
  const orders = permutations([...scores.keys()]).filter((order) =>
    order.every((at, place) => place === 0 || scores[order[place - 1]!]! >= scores[at]!),
  );
  const best = Math.max(...truths);
  const regrets = orders.map((order) => best - Math.max(...order.slice(0, k).map((at) => truths[at]!)));
  return regrets.reduce((sum, regret) => sum + regret, 0) / regrets.length;
}

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}

describe('the top-k regret', () => {
  it('is the mean over the orders of tied items', () => {
    const few = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(
        fc.array(few, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 7 }),
        (rows, k) => {
          const [scores, truths] = columns(rows);
          expect(topRegret(scores, truths, k)).toBeCloseTo(plainRegret(scores, truths, k), 12);
        },
      ),
    );
  });

  it('is zero for the truth itself, falls with k, and is the mean shortfall of a scorer that knows nothing', () => {
    fc.assert(
      fc.property(pairs, (rows) => {
        const [scores, truths] = columns(rows);
        expect(topRegret(truths, truths, 1)).toBe(0);
        for (let k = 2; k <= rows.length; k++)
          expect(topRegret(scores, truths, k)).toBeLessThanOrEqual(topRegret(scores, truths, k - 1) + 1e-12);
      }),
    );
    expect(topRegret([1, 1, 1], [3, 6, 9], 1)).toBeCloseTo(3, 12);
    expect(topRegret([1, 1, 1], [3, 6, 9], 3)).toBe(0);
    expect(topRegret([], [], 1)).toBeNaN();
  });
});

describe('the bootstrap', () => {
  const mean =
    (values: readonly number[]) =>
    (indices: readonly number[]): number[] => [
      indices.reduce((sum, at) => sum + values[at]!, 0) / indices.length,
    ];
  const normal = (seed: number, count: number): number[] => {
    const random = Random.stream(seed, 'sample');
    return Array.from({ length: count }, () => random.normal());
  };

  it.each(Object.values(IntervalKind))('%s covers a mean about as often as it says', (kind) => {
    let covered = 0;
    const trials = 300;
    for (let seed = 0; seed < trials; seed++) {
      const options = { seed, resamples: 300, confidence: 0.9 };
      const { low, high } = bootstrap(25, mean(normal(seed, 25)), [kind], options)[0]!;
      if (low <= 0 && 0 <= high) covered++;
    }
    // Binomial with 300 trials at 0.9: standard deviation 0.017; the bootstrap at 25 items is a little short.
    expect(covered / trials).toBeGreaterThan(0.83);
    expect(covered / trials).toBeLessThan(0.95);
  });

  it('gives for a mean nearly the interval of the normal distribution', () => {
    const values = normal(7, 400);
    const average = values.reduce((sum, x) => sum + x, 0) / 400;
    const error = Math.sqrt(values.reduce((sum, x) => sum + (x - average) ** 2, 0)) / 400;
    for (const kind of Object.values(IntervalKind)) {
      const { value, low, high } = bootstrap(400, mean(values), [kind], { seed: 1, resamples: 4000 })[0]!;
      expect(value).toBeCloseTo(average, 12);
      expect((high - average) / error).toBeCloseTo(1.96, 0);
      expect((average - low) / error).toBeCloseTo(1.96, 0);
    }
  });

  it('BCa undoes the bias of a statistic, which percentiles double', () => {
    // The variance divided by n is too small by 1/n; its true value is 1.
    const variance =
      (values: readonly number[]) =>
      (indices: readonly number[]): number[] => {
        const center = mean(values)(indices)[0]!;
        return [indices.reduce((sum, at) => sum + (values[at]! - center) ** 2, 0) / indices.length];
      };
    const covered = { bca: 0, percentile: 0 };
    for (let seed = 0; seed < 300; seed++) {
      const kinds = [IntervalKind.Bca, IntervalKind.Percentile];
      const values = normal(seed, 12);
      const twice = (indices: readonly number[]): number[] => {
        const [value] = variance(values)(indices);
        return [value!, value!];
      };
      const [bca, percentile] = bootstrap(12, twice, kinds, { seed, resamples: 400, confidence: 0.9 });
      covered.bca += bca!.low <= 1 && 1 <= bca!.high ? 1 : 0;
      covered.percentile += percentile!.low <= 1 && 1 <= percentile!.high ? 1 : 0;
    }
    expect(covered.bca).toBeGreaterThan(covered.percentile + 10);
  });

  it('depends on the seed alone, and has no interval where samples say nothing', () => {
    const run = (seed: number) => bootstrap(20, mean(normal(1, 20)), [IntervalKind.Bca], { seed });
    expect(run(3)).toEqual(run(3));
    expect(run(4)).not.toEqual(run(3));
    const constant = bootstrap(5, () => [0.5], [IntervalKind.Bca], { seed: 1 });
    expect(constant).toEqual([{ value: 0.5, low: 0.5, high: 0.5 }]);
    const nothing = bootstrap(5, () => [Number.NaN], [IntervalKind.Bca], { seed: 1 });
    expect(nothing).toEqual([{ value: NaN, low: NaN, high: NaN }]);
    expect(bootstrap(0, () => [Number.NaN], [IntervalKind.Percentile], { seed: 1 })[0]!.low).toBeNaN();
  });
});

/** Networks whose truth rises with their energy, and a score that sees the truth through noise. */
function networksOf(count: number, noise: number, seed = 1): RankedNetwork[] {
  const random = Random.stream(seed, 'networks');
  return Array.from({ length: count }, () => {
    const energyMj = random.uniform();
    const truth = 0.6 + 0.3 * energyMj + 0.05 * random.normal();
    return { truth, energyMj, score: truth + noise * random.normal() };
  });
}

describe('rank fidelity', () => {
  const options = { seed: 1, resamples: 300 };

  it('gives each figure of its own subset', () => {
    const networks = networksOf(31, 0.05);
    const fidelity = rankFidelity(networks, { ...options, energyBins: 4, topK: [1, 4] });
    const of = (subset: readonly RankedNetwork[]): [number[], number[]] => [
      subset.map(({ score }) => score),
      subset.map(({ truth }) => truth),
    ];
    const third = bestThird(networks);
    const bins = energyBins(networks, 4);
    expect(third).toHaveLength(11);
    expect(bins.map((bin) => bin.length).sort()).toEqual([7, 8, 8, 8]);
    expect(bins.flat()).toHaveLength(31);
    for (const [subset, found] of [
      [networks, fidelity.overall],
      [third, fidelity.bestThird],
      ...bins.map((bin, at) => [bin, fidelity.energyBins[at]!] as const),
    ] as const) {
      expect(found.networks).toBe(subset.length);
      expect(found.kendallTau.value).toBe(kendallTau(...of(subset)));
      expect(found.spearman.value).toBe(rankCorrelation(...of(subset)));
      expect(found.topRegret.map(({ k, regret }) => [k, regret.value])).toEqual([
        [1, topRegret(...of(subset), 1)],
        [4, topRegret(...of(subset), 4)],
      ]);
      for (const { value, low, high } of [found.kendallTau, found.spearman]) {
        expect(low).toBeLessThan(value);
        expect(high).toBeGreaterThan(value);
      }
    }
    for (const [at, { fromMj, toMj }] of fidelity.energyBins.entries()) {
      expect(fromMj).toBe(Math.min(...bins[at]!.map(({ energyMj }) => energyMj)));
      expect(toMj).toBeLessThan(fidelity.energyBins[at + 1]?.fromMj ?? Infinity);
    }
    expect(fidelity.kendallTauInsideBins.value).toBe(
      kendallTauWithin(bins.map((bin) => ({ first: of(bin)[0], second: of(bin)[1] }))),
    );
  });

  it('sees through a scorer that only counts energy', () => {
    const networks = networksOf(120, 0).map((network) => ({ ...network, score: network.energyMj }));
    const fidelity = rankFidelity(networks, { ...options, energyBins: 12 });
    expect(fidelity.overall.kendallTau.low).toBeGreaterThan(0.5);
    expect(fidelity.kendallTauInsideBins.value).toBeLessThan(0.25);
    expect(fidelity.bestThird.kendallTau.value).toBeLessThan(fidelity.overall.kendallTau.value);
  });

  it('does not depend on the order of the networks, ties included', () => {
    const coarse = networksOf(30, 0.1).map(({ truth, score, energyMj }) => ({
      truth: Math.round(truth * 20) / 20,
      score: Math.round(score * 10) / 10,
      energyMj: Math.round(energyMj * 8) / 8,
    }));
    const figures = (networks: readonly RankedNetwork[]): unknown => {
      const { overall, bestThird: third, energyBins: bins } = rankFidelity(networks, options);
      return [overall, third, ...bins].map(
        ({ networks: count, kendallTau: tau, spearman, topRegret: top }) => [
          count,
          ...[tau, spearman, ...top.map(({ regret }) => regret)].map(({ value }) => value.toFixed(9)),
        ],
      );
    };
    expect(figures(Random.stream('order').shuffle([...coarse]))).toEqual(figures(coarse));
  });

  it('says which of two scorers ranks better, and that two alike do not differ', () => {
    const clear = networksOf(60, 0.02);
    const blurred = networksOf(60, 0.3);
    const noisy = clear.map((network, at) => ({ ...network, score: blurred[at]!.score }));
    const { overall } = kendallTauDifference(clear, noisy, options);
    expect(overall.low).toBeGreaterThan(0);
    expect(kendallTauDifference(clear, clear, options).overall).toEqual({ value: 0, low: 0, high: 0 });
    expect(() => kendallTauDifference(clear, clear.slice(1), options)).toThrow(/same networks/);
  });

  it('survives JSON, few networks and none, and names a figure that is missing', () => {
    for (const count of [0, 1, 2, 3]) {
      const fidelity = rankFidelity(networksOf(count, 0.1), options);
      expect(fidelity.overall.networks).toBe(count);
      expect(() => JSON.stringify(fidelity)).not.toThrow();
    }
    expect(() => rankFidelity([{ truth: 0.5, score: Number.NaN, energyMj: 1 }], options)).toThrow(
      /network 0: its score is not a number/,
    );
  });
});
