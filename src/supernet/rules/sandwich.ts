/**
 * @file The sandwich rule (US-Nets: Yu and Huang, ICCV 2019, arXiv 1903.05134; BigNAS: Yu et al., ECCV 2020, arXiv
 * 2003.11142): every step trains the widest network, the smallest, and some between them, drawn fairly.
 *
 * The widest multiplies throughout and teaches the others, most of which do not. The smallest is of one family throughout,
 * and the families take turns.
 */
import { Role, type PathsRule } from './contract.js';

/** With `randomPaths` networks between the widest and the smallest. */
export function sandwich(randomPaths: number): PathsRule {
  return {
    passes: () => 2 + randomPaths,
    paths: (source, seed, step) => [
      { genome: source.widest(), role: Role.Teacher },
      { genome: source.smallest(step), role: Role.Pupil },
      ...Array.from({ length: randomPaths }, (_, at) => ({
        genome: source.fair(seed, step * randomPaths + at),
        role: Role.Pupil,
      })),
    ],
  };
}
