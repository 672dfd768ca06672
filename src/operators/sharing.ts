/**
 * @file Sharing maps that need nothing of a family.
 */
import type { InvertibleSharingMap } from './contract.js';

/** The shared tensor as it is. */
export const identitySharing: InvertibleSharingMap = {
  parameters: [],
  apply: (shared) => shared,
  invert: (weights) => weights.slice(),
};
