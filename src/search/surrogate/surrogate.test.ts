import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leastSquares } from '../../base/linear-algebra.js';
import { expectedExcess } from '../../base/normal-distribution.js';
import { Random } from '../../base/random.js';
import { rankCorrelation } from '../../base/statistics.js';
import type { Genome } from '../../spaces/contract.js';
import { createEvolution } from '../evolution.js';
import { hypervolume } from '../hypervolume.js';
import { createNsga2 } from '../nsga2.js';
import { frontOf, Objective, objectiveValues } from '../objectives.js';
import { createRandomSearch } from '../random-search.js';
import { bestOf, runSearch, type SearchProblem, type SearchState, type SearchStrategy } from '../strategy.js';
import { additiveAccuracy, additiveCosts, entangledAccuracy, toySpace } from '../toy.cases.js';
import { conditioned, Covariance, fitGaussianProcess, logLikelihood } from './gaussian-process.js';
import { chooseByImprovement, SurrogateKind } from './screening.js';

const counts = [3, 4, 2, 3, 3];
const space = toySpace(counts);

function genomesOf(count: number, seed: number): Genome[] {
  const random = Random.stream(seed, 'genomes');
  const found = new Map<string, Genome>();
  while (found.size < count) {
    const genome = space.sample(random);
    found.set(genome.join(), genome);
  }
  return [...found.values()];
}

const differing = (a: Genome, b: Genome): number => a.filter((gene, at) => gene !== b[at]).length;
const correlations: Record<Covariance, (a: Genome, b: Genome, length: number) => number> = {
  [Covariance.Linear]: (a, b) => 1 - differing(a, b) / counts.length,
  [Covariance.Exponential]: (a, b, length) => Math.exp(-differing(a, b) / length),
};

/** Solves A x = b by elimination with pivoting: the plain oracle. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, at) => [...row, right[at]!]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let i = column; i < size; i++)
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = i;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let i = 0; i < size; i++) {
      if (i === column) continue;
      const factor = rows[i]![column]! / rows[column]![column]!;
      for (let j = column; j <= size; j++) rows[i]![j]! -= factor * rows[column]![j]!;
    }
  }
  return rows.map((row, at) => row[size]! / row[at]!);
}

describe.each(Object.values(Covariance))('a Gaussian process with the %s covariance', (covariance) => {
  const hyperparameters = { length: 2.5, noise: 0.07 };
  const k = (a: Genome, b: Genome): number => correlations[covariance](a, b, hyperparameters.length);
  const matrixOf = (genomes: readonly Genome[]): number[][] =>
    genomes.map((a, i) => genomes.map((b, j) => k(a, b) + (i === j ? hyperparameters.noise : 0)));
  const genomes = genomesOf(9, 1);
  const values = genomes.map((_, at) => 0.5 + 0.1 * Math.sin(at * at));
  const pool = genomesOf(6, 2);

  it('has the posterior of the closed form', () => {
    const center = values.reduce((sum, value) => sum + value, 0) / values.length;
    const centred = values.map((value) => value - center);
    const weights = solve(matrixOf(genomes), centred);
    const signal = centred.reduce((sum, value, at) => sum + value * weights[at]!, 0) / values.length;
    const { mean, deviation } = conditioned(covariance, genomes, values, hyperparameters)(pool);
    pool.forEach((genome, at) => {
      const shared = genomes.map((other) => k(genome, other));
      const solved = solve(matrixOf(genomes), shared);
      const inner = (b: readonly number[]): number => shared.reduce((sum, each, i) => sum + each * b[i]!, 0);
      expect(mean[at]).toBeCloseTo(center + inner(weights), 9);
      expect(deviation[at]! ** 2).toBeCloseTo(signal * (1 - inner(solved)), 9);
    });
  });

  it('goes on from a belief as from a value that was as believed', () => {
    const posterior = conditioned(covariance, genomes, values, hyperparameters)(pool);
    const believed = [...posterior.mean];
    posterior.believe(2);
    posterior.believe(5);
    expect([...posterior.mean]).toEqual(believed);
    // Variances do not depend on the values, but for the signal, which stays that of the values seen.
    const more = [...genomes, pool[2]!, pool[5]!];
    const before = conditioned(covariance, genomes, values, hyperparameters)([genomes[0]!]).deviation[0]!;
    const reference = 1 - variance(genomes, genomes[0]!);
    const signal = before ** 2 / (1 - reference);
    pool.forEach((genome, at) => {
      expect(posterior.deviation[at]! ** 2).toBeCloseTo(signal * variance(more, genome), 9);
    });
  });

  /** Variance at `genome` over that of the signal, after values at `known`. */
  function variance(known: readonly Genome[], genome: Genome): number {
    const shared = known.map((other) => k(genome, other));
    const solved = solve(matrixOf(known), shared);
    return 1 - shared.reduce((sum, each, at) => sum + each * solved[at]!, 0);
  }

  it('has the likelihood of the closed form', () => {
    const difference = (noise: number): number =>
      logLikelihood(covariance, genomes.slice(0, 2), [0, 1], { length: 2.5, noise });
    // Two standardised values, -1 and 1: y'K^-1y = 2 / (1 + noise - c), det = (1 + noise)^2 - c^2.
    const c = k(genomes[0]!, genomes[1]!);
    for (const noise of [0.01, 0.5]) {
      const quadratic = 2 / (1 + noise - c);
      const expected = -0.5 * (2 * Math.log(quadratic / 2) + Math.log((1 + noise) ** 2 - c ** 2));
      expect(difference(noise)).toBeCloseTo(expected, 9);
    }
  });

  it('returns to what it has seen where there is little noise, and is sure of it', () => {
    const exact = conditioned(covariance, genomes.slice(0, 4), values.slice(0, 4), {
      length: 2,
      noise: 1e-9,
    });
    const { mean, deviation } = exact(genomes.slice(0, 4));
    for (let at = 0; at < 4; at++) {
      expect(mean[at]).toBeCloseTo(values[at]!, 6);
      expect(deviation[at]).toBeLessThan(1e-3);
    }
  });

  it('says a constant for constant values, whatever there is to see', () => {
    const { mean, deviation } = fitGaussianProcess(
      covariance,
      genomes,
      genomes.map(() => 0.25),
    )(pool);
    for (const each of mean) expect(each).toBeCloseTo(0.25, 12);
    for (const each of deviation) expect(each).toBeLessThan(1e-6);
    expect(fitGaussianProcess(covariance, [genomes[0]!], [0.5])(pool).mean[0]).toBe(0.5);
  });
});

describe('the two surrogates', () => {
  it('the linear covariance is ridge regression on one-hot genomes', () => {
    const genomes = genomesOf(14, 3);
    const random = Random.stream('values');
    const values = genomes.map(() => random.uniform());
    const noise = 0.2;
    const center = values.reduce((sum, value) => sum + value, 0) / values.length;
    const oneHot = (genome: Genome): number[] =>
      genome.flatMap((gene, at) =>
        Array.from({ length: counts[at]! }, (_, option) => (option === gene ? 1 : 0)),
      );
    // min |X w - y|^2 + lambda |w|^2 with lambda = noise positions, as least squares on rows of sqrt(lambda) more.
    const width = oneHot(genomes[0]!).length;
    const penalty = Array.from({ length: width }, (_, at) =>
      Array.from({ length: width }, (_, column) => (column === at ? Math.sqrt(noise * counts.length) : 0)),
    );
    const rows = [...genomes.map(oneHot), ...penalty];
    const right = [...values.map((value) => value - center), ...penalty.map(() => 0)];
    const w = leastSquares(rows, right)!;
    const pool = genomesOf(8, 4);
    const { mean } = conditioned(Covariance.Linear, genomes, values, { length: 1, noise })(pool);
    pool.forEach((genome, at) => {
      const predicted = center + oneHot(genome).reduce((sum, each, i) => sum + each * w[i]!, 0);
      expect(mean[at]).toBeCloseTo(predicted, 9);
    });
  });

  it('rank unseen genomes: both where effects add up, the exponential one better where they interact', () => {
    const large = Array.from({ length: 8 }, () => 4);
    const random = Random.stream('landscape');
    const draw = (count: number): Genome[] =>
      Array.from({ length: count }, () => large.map((options) => random.integer(options)));
    const [seen, unseen] = [draw(250), draw(200)];
    const agreement = (covariance: Covariance, truth: (genome: Genome) => number): number =>
      rankCorrelation(
        [...fitGaussianProcess(covariance, seen, seen.map(truth))(unseen).mean],
        unseen.map(truth),
      );
    const additive = additiveAccuracy(large, 1);
    const entangled = entangledAccuracy(large, 1);
    expect(agreement(Covariance.Linear, additive)).toBeGreaterThan(0.99);
    expect(agreement(Covariance.Exponential, additive)).toBeGreaterThan(0.95);
    expect(agreement(Covariance.Exponential, entangled)).toBeGreaterThan(
      agreement(Covariance.Linear, entangled) + 0.05,
    );
  });
});

describe('the choice by expected improvement', () => {
  const believedAt: number[] = [];
  const posterior = (mean: readonly number[], deviation: readonly number[], shrink = 1) => {
    const left = Float64Array.from(deviation);
    believedAt.length = 0;
    return {
      mean: Float64Array.from(mean),
      deviation: left,
      believe: (at: number) => {
        believedAt.push(at);
        left.forEach((each, i) => (left[i] = each * shrink));
      },
    };
  };

  it('takes the largest first, then goes by what is believed of the rest', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ min: 0, max: 1, noNaN: true }),
            fc.double({ min: 0.01, max: 0.3, noNaN: true }),
          ),
          { minLength: 1, maxLength: 8 },
        ),
        (rows) => {
          const [means, deviations] = [rows.map(([mean]) => mean), rows.map(([, deviation]) => deviation)];
          const order = chooseByImprovement(posterior(means, deviations), 0.7, rows.length);
          expect(new Set(order).size).toBe(rows.length);
          expect(believedAt).toEqual(order);
          const gains = order.map((at) => expectedExcess(means[at]! - 0.7, deviations[at]!));
          gains.forEach((gain, at) => expect(gain).toBeLessThanOrEqual(gains[Math.max(0, at - 1)]!));
        },
      ),
    );
    // Doubtful 1 comes first, but once nothing is in doubt the means decide.
    expect(chooseByImprovement(posterior([0.6, 0.5, 0.65], [0.01, 0.5, 0.01], 0), 0.7, 3)).toEqual([1, 2, 0]);
  });
});

/** P(at least `wins` of `games` fair coins). */
function signTest(wins: number, games: number): number {
  let [term, sum] = [0.5 ** games, 0];
  for (let k = 0; k <= games; k++) {
    if (k >= wins) sum += term;
    term *= (games - k) / (k + 1);
  }
  return sum;
}

describe('screened searches at equal evaluations', () => {
  const large = Array.from({ length: 8 }, () => 6);
  const options = { generations: 6, population: 16 };
  const seeds = 14;
  const front = [Objective.Error, Objective.Energy];
  const best = (state: SearchState): number => bestOf(state)!.accuracy;
  const volume = ({ archive }: SearchState): number =>
    hypervolume(
      frontOf(archive, front).map((each) => objectiveValues(each, front)),
      [1, 5],
    );

  /** Chance that `first` beats `second` so often if it were no better; by seed, ties left out. */
  async function chance(
    first: (problem: SearchProblem) => SearchStrategy,
    second: (problem: SearchProblem) => SearchStrategy,
    figure: (state: SearchState) => number,
  ): Promise<number> {
    let [wins, losses] = [0, 0];
    for (let seed = 0; seed < seeds; seed++) {
      const accuracyOf = entangledAccuracy(large, seed);
      const problem = {
        space: toySpace(large),
        costOf: additiveCosts(large, seed),
        budget: { energyMj: 5 },
        seed,
      };
      const [a, b] = await Promise.all(
        [first, second].map(async (create) => {
          const strategy = create(problem);
          const state = await runSearch(strategy, strategy.start(), ({ genome }) => accuracyOf(genome));
          expect(state.archive).toHaveLength(6 * 16);
          return figure(state);
        }),
      );
      if (a! > b!) wins++;
      if (a! < b!) losses++;
    }
    return signTest(wins, wins + losses);
  }

  const random = (problem: SearchProblem) => createRandomSearch(problem, options);

  it.each([SurrogateKind.Ridge, SurrogateKind.GaussianProcess])(
    '%s beats random search where effects interact',
    async (surrogate) => {
      const guided = (problem: SearchProblem) => createRandomSearch(problem, { ...options, surrogate });
      const evolved = (problem: SearchProblem) => createEvolution(problem, { ...options, surrogate });
      expect(await chance(guided, random, best)).toBeLessThan(0.05);
      expect(await chance(evolved, random, best)).toBeLessThan(0.01);
    },
  );

  it('a Gaussian process makes evolution better than it is alone', async () => {
    const surrogate = SurrogateKind.GaussianProcess;
    const guided = (problem: SearchProblem) => createEvolution(problem, { ...options, surrogate });
    const alone = (problem: SearchProblem) => createEvolution(problem, options);
    expect(await chance(guided, alone, best)).toBeLessThan(0.05);
  });

  it.each([SurrogateKind.Ridge, SurrogateKind.GaussianProcess])(
    '%s makes NSGA-II cover more volume than it does alone',
    async (surrogate) => {
      const guided = (problem: SearchProblem) => createNsga2(problem, { ...options, surrogate });
      const alone = (problem: SearchProblem) => createNsga2(problem, options);
      expect(await chance(guided, alone, volume)).toBeLessThan(0.01);
    },
  );

  it('the sign test is the binomial one', () => {
    expect(signTest(5, 5)).toBeCloseTo(1 / 32, 12);
    expect(signTest(0, 7)).toBeCloseTo(1, 12);
    expect(signTest(2, 3)).toBeCloseTo(0.5, 12);
  });
});
