/**
 * @file Gaussian-process regression on genomes (Rasmussen and Williams 2006, chapters 2 and 5).
 *
 * The distance of two genomes is the number h of genes in which they differ, which is half the squared distance of their
 * one-hot codes. Two covariances: `exp(-h / length)`, a product over positions and so positive definite, which knows
 * interactions; and `1 - h / positions`, the inner product of the one-hot codes, with which the mean of the process is ridge
 * regression on them (chapter 2.1) and its deviation that of Bayesian linear regression. Values are standardised; the
 * variance of the signal has a closed form, noise and length are those of largest marginal likelihood on a grid.
 */
import { cholesky, logDeterminant, solveFactored, solveLower } from '../../base/linear-algebra.js';
import type { Genome } from '../../spaces/contract.js';

export enum Covariance {
  /** 1 - h / positions: ridge regression. */
  Linear = 'linear',
  /** exp(-h / length). */
  Exponential = 'exponential',
}

/** What the likelihood is maximised over. */
export interface Hyperparameters {
  /** Of the exponential covariance, in genes. */
  readonly length: number;
  /** Variance of the noise over that of the signal; of ridge regression, lambda / positions. */
  readonly noise: number;
}

/** Beliefs about genomes of a pool, in the units of the values. */
export interface Posterior {
  readonly mean: Float64Array;
  /** Of the value without noise; falls when pool members are taken as known. */
  readonly deviation: Float64Array;
  /** Goes on as if genome `at` of the pool had been evaluated and found as believed (Ginsbourger et al. 2010). */
  believe(at: number): void;
}

/** Lengths as shares of the genome, and noises, that are tried. */
const lengths = [0.125, 0.25, 0.5, 1, 2, 4, 8];
const noises = [1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1];
/** So many values settle the hyperparameters; so many, the latest, are conditioned on. */
const mostForLikelihood = 128;
const mostValues = 600;

/** A process conditioned on values; gives the beliefs about any pool of genomes. */
export type Surrogate = (pool: readonly Genome[]) => Posterior;

/** Fits a process, hyperparameters included, to the values of `genomes`. Deterministic. */
export function fitGaussianProcess(
  covariance: Covariance,
  genomes: readonly Genome[],
  values: readonly number[],
): Surrogate {
  const from = Math.max(0, genomes.length - mostValues);
  const [known, their] = [genomes.slice(from), values.slice(from)];
  return conditioned(covariance, known, their, likeliest(covariance, known, their));
}

/** The hyperparameters of largest likelihood on the grid, by an even selection of the values. */
function likeliest(
  covariance: Covariance,
  genomes: readonly Genome[],
  values: readonly number[],
): Hyperparameters {
  const count = Math.min(mostForLikelihood, genomes.length);
  const chosen = Array.from({ length: count }, (_, at) => Math.floor((at * genomes.length) / count));
  const [few, their] = [chosen.map((at) => genomes[at]!), chosen.map((at) => values[at]!)];
  const positions = genomes[0]!.length;
  const grid = (covariance === Covariance.Linear ? [1] : lengths).flatMap((share) =>
    noises.map((noise): Hyperparameters => ({ length: share * positions, noise })),
  );
  let best = grid[0]!;
  let most = -Infinity;
  for (const tried of grid) {
    const likelihood = logLikelihood(covariance, few, their, tried);
    if (likelihood > most) [best, most] = [tried, likelihood];
  }
  return best;
}

/** Logarithm of the marginal likelihood of the standardised values at the best variance of the signal, but for constants. */
export function logLikelihood(
  covariance: Covariance,
  genomes: readonly Genome[],
  values: readonly number[],
  hyperparameters: Hyperparameters,
): number {
  const count = genomes.length;
  const lower = factor(covariance, genomes, hyperparameters);
  const { standardised } = standardise(values);
  const half = solveLower(lower, count, standardised);
  return -0.5 * (count * Math.log(signalOf(half)) + logDeterminant(lower, count));
}

/** A process with given hyperparameters. */
export function conditioned(
  covariance: Covariance,
  genomes: readonly Genome[],
  values: readonly number[],
  hyperparameters: Hyperparameters,
): Surrogate {
  const count = genomes.length;
  const correlations = correlationsOf(covariance, genomes[0]!.length, hyperparameters);
  const lower = factor(covariance, genomes, hyperparameters);
  const { standardised, center, scale } = standardise(values);
  const weights = solveFactored(lower, count, standardised);
  const signal = signalOf(solveLower(lower, count, standardised));
  return (pool) => {
    const mean = new Float64Array(pool.length);
    const variance = new Float64Array(pool.length);
    const deviation = new Float64Array(pool.length);
    /** By member of the pool: L^-1 k(known, member). */
    const explained = pool.map((genome, at) => {
      const covariances = Float64Array.from(genomes, (other) => correlations[differing(genome, other)]!);
      mean[at] = center + scale * dot(covariances, weights);
      const column = solveLower(lower, count, covariances);
      variance[at] = Math.max(0, 1 - dot(column, column));
      return column;
    });
    /** By belief: the further row of L^-1 k(known and believed, pool). */
    const believed: Float64Array[] = [];
    const refresh = (): void =>
      variance.forEach((each, at) => (deviation[at] = scale * Math.sqrt(signal * each)));
    refresh();
    return {
      mean,
      deviation,
      believe(known) {
        const pivot = Math.sqrt(variance[known]! + hyperparameters.noise);
        const row = Float64Array.from(pool, (genome, at) => {
          const correlation = correlations[differing(genome, pool[known]!)]!;
          const shared = dot(explained[at]!, explained[known]!);
          const since = believed.reduce((sum, before) => sum + before[at]! * before[known]!, 0);
          return (correlation - shared - since) / pivot;
        });
        believed.push(row);
        row.forEach((each, at) => (variance[at] = Math.max(0, variance[at]! - each * each)));
        refresh();
      },
    };
  };
}

/** The covariance of genomes over the variance of the signal, by the number of genes in which they differ. */
function correlationsOf(
  covariance: Covariance,
  positions: number,
  { length }: Hyperparameters,
): Float64Array {
  return Float64Array.from({ length: positions + 1 }, (_, differing) =>
    covariance === Covariance.Linear ? 1 - differing / positions : Math.exp(-differing / length),
  );
}

/** Cholesky factor of the covariance of the noisy values, over the variance of the signal. */
function factor(covariance: Covariance, genomes: readonly Genome[], given: Hyperparameters): Float64Array {
  const count = genomes.length;
  const correlations = correlationsOf(covariance, genomes[0]!.length, given);
  const matrix = new Float64Array(count * count);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) matrix[i * count + j] = correlations[differing(genomes[i]!, genomes[j]!)]!;
    matrix[i * count + i] = 1 + given.noise;
  }
  // Positive definite by the noise on the diagonal.
  return cholesky(matrix, count) as Float64Array;
}

/** Number of genes in which two genomes differ. */
function differing(a: Genome, b: Genome): number {
  let count = 0;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) count++;
  return count;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at]! * b[at]!;
  return sum;
}

function standardise(values: readonly number[]): {
  readonly standardised: readonly number[];
  readonly center: number;
  readonly scale: number;
} {
  const center = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / values.length);
  const scale = spread > 0 ? spread : 1;
  return { standardised: values.map((value) => (value - center) / scale), center, scale };
}

/** The variance of the signal that makes the values most likely: y' K^-1 y / n, from L^-1 y. */
function signalOf(half: Float64Array): number {
  return Math.max(half.reduce((sum, each) => sum + each * each, 0) / half.length, Number.EPSILON);
}
