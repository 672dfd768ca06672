/**
 * @file Strict fairness (FairNAS: Chu, Zhang and Xu, ICCV 2021, arXiv 1907.01845) over the operator families: one step
 * runs as many networks as there are families, every block using each family in one of them, and makes one update by
 * the sum of their gradients. So no order in which families come can favour one.
 *
 * A position with fewer families than another goes on with its own cycle: all of them are used equally often over its
 * cycles, though not in every single step.
 */
import { Role, type PathsRule } from './contract.js';

export const strictFair: PathsRule = {
  passes: ({ mostFamilies }) => mostFamilies,
  paths: (source, seed, step) =>
    Array.from({ length: source.mostFamilies }, (_, at) => ({
      genome: source.fair(seed, step * source.mostFamilies + at),
      role: Role.Alone,
    })),
};
