/**
 * @file The contract of a rule: which subnets a training step of the supernet runs, and who learns from whom.
 *
 * A rule is a pure function of the seed and the step, so a training that was killed and resumed goes on with the same
 * subnets. Each stands in a file of its own; `registry.ts` knows their names.
 */
import type { Genome } from '../../spaces/contract.js';

/** Where the subnets come from: the space, perhaps confined to some families (`paths.ts`). */
export interface PathSource {
  /** Families that may be used, in order of the space. */
  readonly families: readonly string[];
  /** Families at the position that has most of them. */
  readonly mostFamilies: number;
  /** Uniform over the networks; `index` counts the draws. */
  uniform(seed: number, index: number): Genome;
  /**
   * One of a sequence that is fair to the families: in as many successive ones as a position has families, it uses each of
   * them exactly once, in an order of its own.
   */
  fair(seed: number, index: number): Genome;
  /** All blocks, as wide as they can be, of the family that multiplies (of the first family where none does). */
  widest(): Genome;
  /** As few blocks and as narrow as can be, of one family throughout; `turn` says which, all taking turns. */
  smallest(turn: number): Genome;
}

/** What a pass does with what the widest network says. */
export enum Role {
  /** Neither teaches nor learns from another: the labels alone. */
  Alone = 'alone',
  Teacher = 'teacher',
  Pupil = 'pupil',
}

/** A subnet that a step runs. */
export interface Path {
  readonly genome: Genome;
  readonly role: Role;
}

export interface PathsRule {
  /** How many paths each step has. */
  passes(source: PathSource): number;
  /** The paths of a step, a teacher before its pupils. Steps are counted from 0 where the source begins to be used. */
  paths(source: PathSource, seed: number, step: number): readonly Path[];
}
