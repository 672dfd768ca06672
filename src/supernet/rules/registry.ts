/**
 * @file The rules by name.
 */
import type { PathsRule } from './contract.js';
import { fair } from './fair.js';
import { sandwich } from './sandwich.js';
import { single } from './single.js';
import { strictFair } from './strict-fair.js';

export enum PathsKind {
  Single = 'single',
  Fair = 'fair',
  StrictFair = 'strict-fair',
  Sandwich = 'sandwich',
}

/** Whether the steps of a rule have one path each. */
export function isSinglePath(kind: PathsKind): boolean {
  return kind === PathsKind.Single || kind === PathsKind.Fair;
}

/** The rule of this name; `randomPaths` is for the sandwich. */
export function pathsRule(kind: PathsKind, randomPaths: number): PathsRule {
  switch (kind) {
    case PathsKind.Single:
      return single;
    case PathsKind.Fair:
      return fair;
    case PathsKind.StrictFair:
      return strictFair;
    case PathsKind.Sandwich:
      return sandwich(randomPaths);
  }
}
