/**
 * @file K winners take all as the activation of a block: its keys in `architecture.json`.
 */
import { z } from 'zod';
import type { KWinnersSettings } from '../../nn/k-winners.js';

/** `activation` of a block whose activation is k winners. */
export interface KWinnersActivation extends KWinnersSettings {
  readonly kind: 'kwinners';
}

/** ReLU where it is left out. */
export const activationSchema = z
  .strictObject({
    kind: z.literal('kwinners'),
    share: z.number().gt(0).max(1),
    boost: z.number().min(0),
    factor: z.number().min(0).max(1),
    inferenceFactor: z.number().min(1).optional(),
    local: z.boolean().optional(),
  })
  .refine(({ share, inferenceFactor = 1 }) => share * inferenceFactor <= 1, {
    path: ['inferenceFactor'],
    message: 'makes more than all units win',
  })
  .optional();

/** Lines of a drawing. */
export function activationLines(activation: KWinnersActivation | undefined): readonly string[] {
  return activation === undefined
    ? []
    : [
        `${+(100 * activation.share).toFixed(1)} % win${activation.local === true ? ' at each position' : ''}`,
      ];
}
