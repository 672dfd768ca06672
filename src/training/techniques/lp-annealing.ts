/**
 * @file Annealing of the exponent of add layers ("Universal Adder Neural Networks", arXiv 2105.14202): y = -sum |x - w|^p
 * begins at p = 2, where it is a convolution plus norms and its gradient is smooth, and ends as the L1 layer of AdderNet.
 *
 * Step t of T has p = 2 - t / (0.75 T), and p = 1 from three quarters of the training on. The paper's text that we know
 * names the ends and not the way between; the straight line is ours.
 */
import type { Parameter } from '../../nn/module.js';
import type { Technique } from '../technique.js';

export interface LpSettings {
  /** The exponent of the first step, 1 to 2. */
  readonly start: number;
  /** Part of the training behind which the exponent is 1. */
  readonly until: number;
}

/** The exponent in step `step`. */
export function exponentAt({ start, until }: LpSettings, step: number, steps: number): number {
  return step >= until * steps ? 1 : start + ((1 - start) * step) / (until * steps);
}

/** The tensors that hold exponents: never trained, and called `exponent`. */
export function exponentsOf(parameters: readonly Parameter[]): readonly Parameter[] {
  return parameters.filter(({ name, fixed }) => fixed === true && name.endsWith('.exponent'));
}

/** Sets the exponent of every layer that has one before each step; it is 1 in the end. */
export function lpAnnealing(parameters: readonly Parameter[], settings: LpSettings): Technique {
  const exponents = exponentsOf(parameters);
  const set = (p: number): void => {
    for (const { tensor } of exponents) tensor.data.fill(p);
  };
  return {
    name: 'lp',
    beforeStep: ({ step, steps }) => set(exponentAt(settings, step, steps)),
    finish: () => set(1),
  };
}
