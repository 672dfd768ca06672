/**
 * @file The two ways in which a layer cannot be priced. Both are the user's to mend, so both are `UserError`s.
 */
import { UserError } from '../base/errors.js';

/** A layer description with a size that is missing, not a positive integer, contradictory or too large. */
export class LayerError extends UserError {
  override readonly name = 'LayerError';
  constructor(
    readonly layerName: string,
    readonly key: string,
    problem: string,
  ) {
    super('BAD_LAYER', `layer '${layerName}': ${key} ${problem}`);
  }
}

/** One resource of the accelerator that even the smallest tile of a layer overfills. */
export interface RefusedLimit {
  /** Which resource, in words: `'processing elements'`, `'global buffer words'`, ... */
  readonly resource: string;
  /** What the smallest possible tile needs of it. */
  readonly needed: number;
  /** The largest amount the profile admits. */
  readonly available: number;
  /** Whether the profile states the limit as one to stay below, hence as `available` + 1. */
  readonly strict: boolean;
}

/** No tiling of the layer fits the accelerator; says which limits refuse even the smallest tile, as the profile states them. */
export class MappingError extends UserError {
  override readonly name = 'MappingError';
  constructor(
    readonly layerName: string,
    profileName: string,
    readonly refused: readonly RefusedLimit[],
  ) {
    const reasons = refused.map(
      ({ resource, needed, available, strict }) =>
        `its smallest tile needs ${needed} ${resource}, which must ${strict ? `stay below ${available + 1}` : `be at most ${available}`}`,
    );
    super(
      'NO_MAPPING',
      `layer '${layerName}' does not fit profile '${profileName}': ${reasons.join('; ')}. ` +
        'Use smaller feature maps or kernels, or a profile with larger limits.',
    );
  }
}

/** The layer's output has one row and the profile insists on spreading at least two rows over the array. */
export class SingleRowError extends UserError {
  override readonly name = 'SingleRowError';
  constructor(
    readonly layerName: string,
    profileName: string,
  ) {
    super(
      'NO_MAPPING',
      `layer '${layerName}' does not fit profile '${profileName}': outHeight is 1, and the published model needs at ` +
        "least 2 output rows side by side (1 too few) unless the input map is 1x1 too; use the 'fair' profile.",
    );
  }
}
