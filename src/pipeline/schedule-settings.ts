/**
 * @file The sections `supernet` and `retrain` of a configuration: how long to train, at which rates, by which optimiser.
 */
import { z } from 'zod';

const fraction = z.number().min(0).max(1);
const belowOne = z.number().min(0).lt(1);

const common = {
  epochs: z.int().min(1),
  batchSize: z.int().min(2),
  warmupFraction: fraction.default(0.1),
  labelSmoothing: fraction.default(0),
  /** Largest joint norm of the gradients of a step. */
  clipNorm: z.number().positive().optional(),
  /** Parts that a batch is worked through in, their gradients added up. */
  accumulate: z.int().min(1).default(1),
};

const sgdSchedule = z.strictObject({
  optimiser: z.literal('sgd').default('sgd'),
  ...common,
  peakLearningRate: z.number().positive().default(0.1),
  momentum: fraction.default(0.9),
  nesterov: z.boolean().default(false),
  weightDecay: z.number().min(0).default(5e-4),
});

const adamwSchedule = z.strictObject({
  optimiser: z.literal('adamw'),
  ...common,
  peakLearningRate: z.number().positive().default(1e-3),
  beta1: belowOne.default(0.9),
  beta2: belowOne.default(0.999),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: z.number().min(0).default(0.01),
});

export const scheduleSchema = z
  .discriminatedUnion('optimiser', [sgdSchedule, adamwSchedule], {
    error: ({ code }) => (code === 'invalid_union' ? 'must be sgd or adamw' : undefined),
  })
  .refine(({ batchSize, accumulate }) => batchSize >= 2 * accumulate, {
    path: ['accumulate'],
    message: 'must leave every part at least 2 of the images of a batch',
  });

/** Every key that a schedule may have, and with which optimiser where it goes with one alone. */
export const scheduleKeys: ReadonlyMap<string, 'sgd' | 'adamw' | undefined> = new Map([
  ...Object.keys(sgdSchedule.shape).map(
    (key) => [key, key in adamwSchedule.shape ? undefined : 'sgd'] as const,
  ),
  ...Object.keys(adamwSchedule.shape).map(
    (key) => [key, key in sgdSchedule.shape ? undefined : 'adamw'] as const,
  ),
]);
