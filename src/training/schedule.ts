/**
 * @file The training schedule: linear warm-up, then a cosine to zero.
 */
import type { OptimiserSettings } from './optimiser.js';

interface ScheduleBase {
  readonly epochs: number;
  readonly batchSize: number;
  readonly peakLearningRate: number;
  /** Part of all steps spent warming up, 0 to 1. */
  readonly warmupFraction: number;
  readonly labelSmoothing: number;
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
  const warmup = Math.max(1, Math.round(schedule.warmupFraction * steps));
  if (step < warmup) return (schedule.peakLearningRate * (step + 1)) / warmup;
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  return 0.5 * schedule.peakLearningRate * (1 + Math.cos(Math.PI * progress));
}
