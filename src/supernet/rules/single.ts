/**
 * @file Uniform single path, as published with ShiftAddNAS and SPOS (Guo et al., ECCV 2020, arXiv 1904.00420): every step
 * trains one network, drawn uniformly from the space.
 */
import { Role, type PathsRule } from './contract.js';

export const single: PathsRule = {
  passes: () => 1,
  paths: (source, seed, step) => [{ genome: source.uniform(seed, step), role: Role.Alone }],
};
