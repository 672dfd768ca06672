/**
 * @file How the learning rate runs over a training: linear warm-up, then one of five rules.
 */
import type { OptimiserSettings } from './optimiser.js';

/** What the rate does behind the warm-up. */
export enum RateRule {
  /** Half a cosine to zero (SGDR without restarts: Loshchilov and Hutter, ICLR 2017). */
  Cosine = 'cosine',
  /** Times `stepFactor` at each milestone. */
  Step = 'step',
  /** A cosine up and one down (Smith and Topin 2017, arXiv 1708.07120); `warmupFraction` is the part that rises. */
  OneCycle = 'onecycle',
  /** A straight line to zero. */
  Linear = 'linear',
  /** The peak, to the end. */
  Constant = 'constant',
}

interface ScheduleBase {
  readonly epochs: number;
  readonly batchSize: number;
  readonly peakLearningRate: number;
  /** Part of all steps spent warming up, 0 to 1. */
  readonly warmupFraction: number;
  readonly labelSmoothing: number;
  /** Default {@link RateRule.Cosine}. */
  readonly schedule?: RateRule | undefined;
  /** Of {@link RateRule.Step}: where the rate falls, below 1 a part of all steps, else a number of epochs. Default half and three quarters. */
  readonly milestones?: readonly number[] | undefined;
  /** Of {@link RateRule.Step}: what the rate is multiplied by. Default 0.1. */
  readonly stepFactor?: number | undefined;
  /** Of {@link RateRule.OneCycle}: the peak over the first rate. Default 25. */
  readonly startDivisor?: number | undefined;
  /** Of {@link RateRule.OneCycle}: the first rate over the last. Default 10 000. */
  readonly endDivisor?: number | undefined;
  /** Largest joint norm of the gradients of a step; longer ones are shortened. Absent: as they are. */
  readonly clipNorm?: number | undefined;
  /**
   * Parts that a batch is worked through in, one after the other, their gradients added up (default 1): the memory of
   * one part, and the step of the whole batch but for batch norm, which sees the parts.
   */
  readonly accumulate?: number | undefined;
}

/** How long, at which rates, and by which optimiser. */
export type Schedule = ScheduleBase & OptimiserSettings;

/** Learning rate of step 0 <= step < steps. */
export function learningRate(schedule: Schedule, step: number, steps: number): number {
  const { peakLearningRate: peak, schedule: rule = RateRule.Cosine } = schedule;
  const warmup = Math.max(1, Math.round(schedule.warmupFraction * steps));
  if (rule === RateRule.OneCycle) return oneCycle(schedule, step, steps, warmup);
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  switch (rule) {
    case RateRule.Cosine:
      return 0.5 * peak * (1 + Math.cos(Math.PI * progress));
    case RateRule.Linear:
      return peak * (1 - progress);
    case RateRule.Constant:
      return peak;
    case RateRule.Step: {
      const { milestones = [0.5, 0.75], stepFactor = 0.1, epochs } = schedule;
      const stepOf = (milestone: number): number =>
        Math.round((milestone < 1 ? milestone : milestone / epochs) * steps);
      return peak * stepFactor ** milestones.filter((milestone) => step >= stepOf(milestone)).length;
    }
  }
}

/** From the first rate at step 0 to the peak at step `rise`, and on to the last rate at the last step. */
function oneCycle(schedule: Schedule, step: number, steps: number, rise: number): number {
  const { peakLearningRate: peak, startDivisor = 25, endDivisor = 1e4 } = schedule;
  const first = peak / startDivisor;
  const between = (from: number, to: number, progress: number): number =>
    from + 0.5 * (to - from) * (1 - Math.cos(Math.PI * progress));
  if (step < rise) return between(first, peak, step / rise);
  return between(peak, first / endDivisor, (step - rise) / Math.max(1, steps - 1 - rise));
}
