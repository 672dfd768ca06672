/**
 * @file Which subnets each step of a whole training runs: a rule over the phases of a warm-up.
 */
import type { SearchSpace } from '../../spaces/contract.js';
import type { Path } from './contract.js';
import { pathsRule, type PathsKind } from './registry.js';
import { phasesOf, type WarmUpPhase } from './warm-up.js';

export interface PlanSettings {
  readonly paths: PathsKind;
  /** Of the sandwich: networks between the widest and the smallest. */
  readonly randomPaths: number;
  readonly warmUp: readonly WarmUpPhase[];
}

export interface PathPlan {
  readonly families: readonly string[];
  /** Of a step, a teacher before its pupils. */
  paths(seed: number, step: number): readonly Path[];
  /** Forward and backward passes of the first so many steps. */
  passesUntil(steps: number): number;
}

/** The plan of a training of `steps` steps. @throws OptionError for a family that the space does not have */
export function createPlan(space: SearchSpace, settings: PlanSettings, steps: number): PathPlan {
  const rule = pathsRule(settings.paths, settings.randomPaths);
  const phases = phasesOf(space, settings.warmUp, rule, steps);
  return {
    families: space.families,
    paths(seed, step) {
      const phase = phases.find(({ until }) => step < until);
      if (phase === undefined) throw new RangeError(`step ${step} is behind the last of the training`);
      return rule.paths(phase.source, seed, step - phase.from);
    },
    passesUntil: (count) =>
      phases.reduce(
        (sum, { source, from, until }) =>
          sum + rule.passes(source) * Math.max(0, Math.min(until, count) - from),
        0,
      ),
  };
}
