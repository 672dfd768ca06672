/**
 * @file Every row of the benchmark, and the choice of rows by name.
 */
import { OptionError } from '../../src/base/errors.js';
import type { BenchCase } from './case.js';
import { convolutionCases } from './convolution-cases.js';
import { functionCases } from './function-cases.js';
import { matrixCases } from './matrix-cases.js';
import { stepCases } from './networks.js';
import { poolingCases } from './pooling-cases.js';
import { rowCases } from './row-cases.js';
import { sequenceCases } from './sequence-cases.js';

/** In the order of the table. Building a subject allocates; listing does not. */
export function allCases(): readonly BenchCase[] {
  return [
    ...convolutionCases(),
    ...matrixCases(),
    ...sequenceCases(),
    ...rowCases(),
    ...functionCases(),
    ...poolingCases(),
    ...stepCases(),
  ];
}

/**
 * The cases whose name is one of `only` or begins with one of them up to a hyphen; without `only`, all but the extra
 * ones, which `all` adds. @throws OptionError for a name that fits no case
 */
export function chooseCases(
  cases: readonly BenchCase[],
  only: readonly string[] | undefined,
  all: boolean,
): readonly BenchCase[] {
  if (only === undefined) return cases.filter(({ extra }) => all || extra !== true);
  const fits = (name: string, wanted: string): boolean => name === wanted || name.startsWith(`${wanted}-`);
  const unknown = only.find((wanted) => !cases.some(({ name }) => fits(name, wanted)));
  if (unknown !== undefined) {
    const names = cases.filter(({ extra }) => extra !== true).map(({ name }) => name);
    throw new OptionError(`--only ${unknown}: no such row; the rows are ${names.join(', ')}`);
  }
  return cases.filter(({ name }) => only.some((wanted) => fits(name, wanted)));
}
