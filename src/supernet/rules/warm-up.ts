/**
 * @file Progressive warm-up (NASA: Shi et al., ICCAD 2022, arXiv 2210.13361): the supernet begins with the families that learn
 * fast and the others join it, phase by phase, until it has them all.
 */
import type { SearchSpace } from '../../spaces/contract.js';
import type { PathSource, PathsRule } from './contract.js';
import { pathsOf } from './paths.js';

/** A part of the training in which some families alone are used. */
export interface WarmUpPhase {
  readonly families: readonly string[];
  /** Part of all steps. */
  readonly part: number;
}

/** A phase on its steps; the last one has all families. */
export interface Phase {
  readonly source: PathSource;
  /** First step, and the one behind the last. */
  readonly from: number;
  readonly until: number;
}

/** The phases of a training of `steps` steps, in order; those without a step are left out. @throws OptionError */
export function phasesOf(
  space: SearchSpace,
  warmUp: readonly WarmUpPhase[],
  rule: PathsRule,
  steps: number,
): readonly Phase[] {
  const parts = [...warmUp, { families: space.families, part: Infinity }];
  let done = 0;
  let from = 0;
  return parts
    .map(({ families, part }) => {
      done += part;
      const until = Math.min(steps, Math.round(done * steps));
      const unshifted = pathsOf(space, families);
      const source = from === 0 ? unshifted : pathsOf(space, families, from * rule.passes(unshifted));
      const phase = { source, from, until };
      from = until;
      return phase;
    })
    .filter((phase) => phase.until > phase.from);
}
