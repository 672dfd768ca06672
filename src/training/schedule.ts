/**
 * @file The training schedule: linear warm-up, then a cosine to zero.
 */

export interface Schedule {
  readonly epochs: number;
  readonly batchSize: number;
  readonly peakLearningRate: number;
  /** Part of all steps spent warming up, 0 to 1. */
  readonly warmupFraction: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly labelSmoothing: number;
}

/** Learning rate of step 0 <= step < steps. */
export function learningRate(schedule: Schedule, step: number, steps: number): number {
  const warmup = Math.max(1, Math.round(schedule.warmupFraction * steps));
  if (step < warmup) return (schedule.peakLearningRate * (step + 1)) / warmup;
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  return 0.5 * schedule.peakLearningRate * (1 + Math.cos(Math.PI * progress));
}
