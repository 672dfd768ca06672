/**
 * @file Screening by a surrogate: a strategy makes more offspring than are evaluated, and a model of the accuracies seen
 * so far says which of them deserve it (BANANAS, arXiv 1910.11858; NSGANetV2, arXiv 2007.10396).
 */
import { z } from 'zod';
import { expectedExcess } from '../../base/normal-distribution.js';
import { Covariance, fitGaussianProcess, type Posterior, type Surrogate } from './gaussian-process.js';
import type { Genome } from '../../spaces/contract.js';

export enum SurrogateKind {
  /** Every offspring is evaluated. */
  None = 'none',
  /** Ridge regression on one-hot genomes: effects that add up. */
  Ridge = 'ridge',
  /** Gaussian process on one-hot genomes: interactions too. */
  GaussianProcess = 'gp',
}

/** The options of screening, for the schemas of strategies. */
export const screeningSettings = {
  surrogate: z.enum(SurrogateKind).default(SurrogateKind.None),
  /** Offspring made for each that is evaluated. */
  oversampling: z.int().min(2).default(10),
};

export interface Screening {
  readonly surrogate: SurrogateKind;
  readonly oversampling: number;
}

/** The surrogate of that kind for what was evaluated so far; undefined when none is asked for or nothing was. */
export function surrogateOf(
  kind: SurrogateKind,
  evaluated: readonly { readonly genome: Genome; readonly accuracy: number }[],
): Surrogate | undefined {
  if (kind === SurrogateKind.None || evaluated.length === 0) return undefined;
  return fitGaussianProcess(
    kind === SurrogateKind.Ridge ? Covariance.Linear : Covariance.Exponential,
    evaluated.map(({ genome }) => genome),
    evaluated.map(({ accuracy }) => accuracy),
  );
}

/**
 * Indices of `count` members of the pool, one after another the one of largest expected improvement over `best`, each then
 * taken as known so that the next is not its twin. Ties: the larger mean, then the earlier.
 */
export function chooseByImprovement(posterior: Posterior, best: number, count: number): readonly number[] {
  const { mean, deviation } = posterior;
  const left = new Set(mean.keys());
  const chosen: number[] = [];
  while (chosen.length < count && left.size > 0) {
    let [found, most] = [-1, -1];
    for (const at of left) {
      const improvement = expectedExcess(mean[at]! - best, deviation[at]!);
      if (improvement > most || (improvement === most && mean[at]! > mean[found]!))
        [found, most] = [at, improvement];
    }
    left.delete(found);
    chosen.push(found);
    posterior.believe(found);
  }
  return chosen;
}
