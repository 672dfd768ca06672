/**
 * @file Fair over a cycle: every step trains one network, and in as many steps as there are families every block uses each
 * of them once (`../sampler.ts`).
 */
import { Role, type PathsRule } from './contract.js';

export const fair: PathsRule = {
  passes: () => 1,
  paths: (source, seed, step) => [{ genome: source.fair(seed, step), role: Role.Alone }],
};
