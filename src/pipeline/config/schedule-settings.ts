/**
 * @file The sections `supernet` and `retrain` of a configuration: how long to train, at which rates, by which optimiser.
 */
import { z } from 'zod';
import { RateRule } from '../../training/schedule.js';

const fraction = z.number().min(0).max(1);
const belowOne = z.number().min(0).lt(1);

/** With `schedule: step` alone. */
const stepKeys = {
  /** Below 1 a part of all steps, else a number of epochs. */
  milestones: z.array(z.number().positive()).min(1).readonly().optional(),
  stepFactor: z.number().positive().lt(1).optional(),
};

/** With `schedule: onecycle` alone. */
const oneCycleKeys = {
  startDivisor: z.number().min(1).optional(),
  endDivisor: z.number().min(1).optional(),
};

const common = {
  epochs: z.int().min(1),
  batchSize: z.int().min(2),
  warmupFraction: fraction.default(0.1),
  labelSmoothing: fraction.default(0),
  /** How the rate falls behind the warm-up; a cosine when left out. */
  schedule: z.enum(RateRule).optional(),
  ...stepKeys,
  ...oneCycleKeys,
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

const adam = {
  ...common,
  peakLearningRate: z.number().positive().default(1e-3),
  beta1: belowOne.default(0.9),
  beta2: belowOne.default(0.999),
  epsilon: z.number().positive().default(1e-8),
};

const adamwSchedule = z.strictObject({
  optimiser: z.literal('adamw'),
  ...adam,
  weightDecay: z.number().min(0).default(0.01),
});

const radamSchedule = z.strictObject({
  optimiser: z.literal('radam'),
  ...adam,
  weightDecay: z.number().min(0).default(1e-4),
});

const schedules = [sgdSchedule, adamwSchedule, radamSchedule] as const;
const byOptimiser = [
  ['sgd', sgdSchedule],
  ['adamw', adamwSchedule],
  ['radam', radamSchedule],
] as const;

export const scheduleSchema = z
  .discriminatedUnion('optimiser', schedules, {
    error: ({ code }) => (code === 'invalid_union' ? 'must be sgd, adamw or radam' : undefined),
  })
  .refine(({ batchSize, accumulate }) => batchSize >= 2 * accumulate, {
    path: ['accumulate'],
    message: 'must leave every part at least 2 of the images of a batch',
  })
  .superRefine((schedule, context) => {
    const rules = [
      [RateRule.Step, stepKeys],
      [RateRule.OneCycle, oneCycleKeys],
    ] as const;
    for (const [rule, keys] of rules)
      for (const key of Object.keys(keys) as (keyof typeof schedule)[])
        if (schedule[key] !== undefined && schedule.schedule !== rule)
          context.addIssue({
            code: 'custom',
            path: [key],
            message: `goes with 'schedule: ${rule}' alone; leave it out or change the schedule`,
          });
  });

/** Every key that a schedule may have, and with which optimisers where it does not go with all. */
export const scheduleKeys: ReadonlyMap<string, readonly string[] | undefined> = new Map(
  [...new Set(schedules.flatMap(({ shape }) => Object.keys(shape)))].map((key) => {
    const having = byOptimiser.filter(([, { shape }]) => key in shape).map(([name]) => name);
    return [key, having.length === schedules.length ? undefined : having] as const;
  }),
);
