/**
 * @file Exact answers about a budget where some quantities add up over the positions of a genome and others are the
 * largest of what the positions need: peak memory is that of the hungriest block, whatever the others do.
 *
 * With the peaks held at or below some levels, options that need more are struck from their positions, and what is left
 * is a problem of sums (additive.ts). Only levels that some option reaches can matter, and there are few.
 */
import type { Genome } from '../spaces/contract.js';
import { additiveModel, leastViolation, lightestGenome, type LeastViolation } from './additive.js';
import { type Budget, limitedQuantities, type Quantity } from './costs.js';
import { type CostOf, descend, price, type Priced } from './descent.js';

/** What the options need: `levels[position][option]` holds one number per quantity, relative to its limit. */
export interface PeakModel {
  readonly peaks: readonly Quantity[];
  readonly levels: readonly (readonly (readonly number[])[])[];
}

/** Genomes on which the model is checked before it is relied on. */
const checks = 24;

/**
 * Measures what each option needs, around the genome of fewest operations; null where the largest of these is not the
 * cost of random genomes. `peaks` are limited quantities of `budget`.
 */
export function peakModel(
  optionCounts: readonly number[],
  costOf: CostOf,
  budget: Budget,
  peaks: readonly Quantity[],
  sample: () => Genome,
): PeakModel | null {
  const least = lightestGenome(optionCounts, costOf);
  const needs = (genome: Genome): number[] => {
    const costs = costOf(genome);
    return peaks.map((quantity) => costs[quantity] / budget[quantity]!);
  };
  const levels = optionCounts.map((count, position) =>
    Array.from({ length: count }, (_, option) => needs(least.with(position, option))),
  );
  for (let i = 0; i < checks; i++) {
    const genome = sample();
    const truth = needs(genome);
    for (const q of peaks.keys())
      if (Math.max(...genome.map((gene, position) => levels[position]![gene]![q]!)) !== truth[q]) return null;
  }
  return { peaks, levels };
}

/**
 * The genome of least violation, as {@link leastViolation}; null when the quantities that are no peaks do not add up.
 */
export function leastViolationWithPeaks(
  { peaks, levels }: PeakModel,
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): LeastViolation | null {
  const sums: Budget = Object.fromEntries(
    limitedQuantities(budget)
      .filter((quantity) => !peaks.includes(quantity))
      .map((quantity) => [quantity, budget[quantity]!]),
  );
  let nearest: Priced | undefined;
  let proven = true;
  for (const ceilings of ascendingCeilings(levels, peaks.length)) {
    const excess = ceilings.reduce((sum, ceiling) => sum + ceiling - 1, 0);
    if (nearest !== undefined && nearest.violation <= excess) break;
    const allowed = levels.map((options) =>
      [...options.keys()].filter((option) => ceilings.every((ceiling, q) => options[option]![q]! <= ceiling)),
    );
    if (allowed.some((options) => options.length === 0)) continue;
    const found = withinOptions(allowed, costOf, sums, sample);
    if (found === null) return null;
    const candidate = price(found.nearest.genome, costOf, budget);
    proven &&= found.proven;
    if (nearest === undefined || candidate.violation < nearest.violation) nearest = candidate;
  }
  return { nearest: nearest!, proven: proven || nearest!.violation === 0 };
}

/** Every choice of a ceiling per peak: its limit (1), or a level above it that some option has; least excess first. */
function ascendingCeilings(levels: PeakModel['levels'], count: number): readonly (readonly number[])[] {
  let choices: readonly (readonly number[])[] = [[]];
  for (let q = 0; q < count; q++) {
    const above = new Set(levels.flatMap((options) => options.map((needs) => Math.max(1, needs[q]!))));
    above.add(1);
    choices = choices.flatMap((choice) => [...above].map((ceiling) => [...choice, ceiling]));
  }
  const excess = (ceilings: readonly number[]): number => ceilings.reduce((sum, each) => sum + each - 1, 0);
  return choices.toSorted((a, b) => excess(a) - excess(b));
}

/** The problem of sums with only the `allowed` options of each position. */
function withinOptions(
  allowed: readonly (readonly number[])[],
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): LeastViolation | null {
  const whole = (genome: Genome): Genome => genome.map((gene, position) => allowed[position]![gene]!);
  const counts = allowed.map((options) => options.length);
  const costWithin: CostOf = (genome) => costOf(whole(genome));
  const first = counts.map(() => 0);
  if (limitedQuantities(budget).length === 0)
    return { nearest: price(whole(first), costOf, budget), proven: true };
  const sampleWithin = (): Genome => sample().map((gene, position) => gene % counts[position]!);
  const model = additiveModel(counts, costWithin, budget, sampleWithin);
  if (model === null) return null;
  const improve = (genome: Genome): Priced => descend(genome, counts, costWithin, budget);
  const { nearest, proven } = leastViolation(model, costWithin, budget, improve);
  return { nearest: { ...nearest, genome: whole(nearest.genome) }, proven };
}
