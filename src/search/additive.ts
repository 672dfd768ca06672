/**
 * @file Exact answers about a budget where costs add up over the positions of a genome.
 *
 * Then cost(g) = base + sum over positions p of step[p][g_p], and "which genome violates the limits least" is a
 * multiple-choice knapsack. With x_q = cost_q / limit_q - 1 the violation is V = sum_q max(0, x_q), which is the
 * maximum over mu in [0, 1]^Q of sum_q mu_q x_q. So every mu gives a lower bound of V that separates over positions
 * (Lagrangian relaxation, Everett 1963): minimise sum_q mu_q step_q at each position alone. Unit vectors give the
 * minimum of each single quantity. A projected subgradient ascent finds a good mu and, on the way, good genomes; branch
 * and bound with these bounds settles what is left.
 */
import type { Genome } from '../spaces/contract.js';
import { type Budget, limitedQuantities, type Quantity } from './costs.js';
import { type CostOf, price, type Priced } from './descent.js';

/** Costs as base + steps; `steps[position][option]` holds one number per limited quantity, relative to its limit. */
export interface AdditiveModel {
  readonly limited: readonly Quantity[];
  /** x_q of the genome of all zeros. */
  readonly base: readonly number[];
  readonly steps: readonly (readonly (readonly number[])[])[];
}

/** Genomes on which additivity is checked before it is relied on. */
const checks = 24;
/** Relative disagreement that is put down to rounding. */
const tolerance = 1e-9;

/**
 * Measures the steps around the genome of all zeros and compares the sums with the true costs of genomes chosen to find them
 * out, and of random ones; null when they disagree, that is, when the costs of this space do not add up.
 */
export function additiveModel(
  optionCounts: readonly number[],
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): AdditiveModel | null {
  const limited = limitedQuantities(budget);
  const excess = (genome: Genome): number[] => {
    const costs = costOf(genome);
    return limited.map((quantity) => costs[quantity] / budget[quantity]! - 1);
  };
  const zeros = optionCounts.map(() => 0);
  const base = excess(zeros);
  const steps = optionCounts.map((count, position) =>
    Array.from({ length: count }, (_, option) =>
      excess(zeros.with(position, option)).map((value, q) => value - base[q]!),
    ),
  );
  const lightest = lightestGenome(optionCounts, costOf);
  const telling = limited.flatMap((_, q) => [
    dearestGenome(optionCounts, (genome) => excess(genome)[q]!, zeros),
    ...pairs(
      lightest,
      dearestGenome(optionCounts, (genome) => excess(genome)[q]!, lightest),
    ),
  ]);
  for (const genome of [lightest, ...telling, ...Array.from({ length: checks }, sample)]) {
    const truth = excess(genome);
    for (const [q, start] of base.entries()) {
      const sum = genome.reduce((total, gene, position) => total + steps[position]![gene]![q]!, start);
      if (Math.abs(sum - truth[q]!) > tolerance * (1 + Math.abs(truth[q]!))) return null;
    }
  }
  return { limited, base, steps };
}

/** At each position the option that costs most when the others are those of `around`. */
function dearestGenome(
  optionCounts: readonly number[],
  costOf: (genome: Genome) => number,
  around: Genome,
): Genome {
  return optionCounts.map((count, position) => {
    const costs = Array.from({ length: count }, (_, option) => costOf(around.with(position, option)));
    return costs.indexOf(Math.max(...costs));
  });
}

/**
 * `least` with the options of `most` at one or two positions. A quantity that is the largest of what the positions need
 * cannot pass for a sum on all of these, unless it is one: where two positions can need more than the least network does,
 * the larger of the two is no sum of both.
 */
function* pairs(least: Genome, most: Genome): Generator<Genome> {
  for (let first = 0; first < least.length; first++)
    for (let second = first; second < least.length; second++)
      yield least.with(first, most[first]!).with(second, most[second]!);
}

/** At each position the option of fewest operations, which add up in every space. */
export function lightestGenome(optionCounts: readonly number[], costOf: CostOf): Genome {
  const zeros = optionCounts.map(() => 0);
  return optionCounts.map((count, position) => {
    const macs = Array.from({ length: count }, (_, option) => costOf(zeros.with(position, option)).macs);
    return macs.indexOf(Math.min(...macs));
  });
}

/** The outcome of {@link leastViolation}. */
export interface LeastViolation {
  readonly nearest: Priced;
  /** True when no genome violates less (up to rounding); false when the node limit ended the proof. */
  readonly proven: boolean;
}

/**
 * The genome of least violation, at violation 0 the first one found. Every genome is judged by its true costs.
 * `improve` is a local search applied to the best genome of the ascent; `nodeLimit` bounds the branch and bound.
 */
export function leastViolation(
  model: AdditiveModel,
  costOf: CostOf,
  budget: Budget,
  improve: (genome: Genome) => Priced,
  nodeLimit = 200_000,
): LeastViolation {
  const ascent = ascend(model, costOf, budget);
  let nearest = ascent.nearest;
  if (nearest.violation > 0) {
    const improved = improve(nearest.genome);
    if (improved.violation < nearest.violation) nearest = improved;
  }
  const bounded = ascent.bound > tolerance && nearest.violation <= ascent.bound * (1 + tolerance);
  if (nearest.violation === 0 || bounded) return { nearest, proven: true };
  return branchAndBound(model, ascent.multipliers, nearest, costOf, budget, nodeLimit);
}

/** Minimises each position alone under the multipliers. */
function relaxed(model: AdditiveModel, multipliers: readonly number[]) {
  const excess = [...model.base];
  const genome = model.steps.map((options) => {
    const values = options.map((step) => weighted(step, multipliers));
    const choice = values.indexOf(Math.min(...values));
    for (const [q, value] of options[choice]!.entries()) excess[q]! += value;
    return choice;
  });
  return { genome, excess, bound: weighted(excess, multipliers) };
}

/** Projected subgradient ascent on the multipliers, from each quantity alone and from all of them together. */
function ascend(model: AdditiveModel, costOf: CostOf, budget: Budget) {
  const alone = model.limited.map((_, q) => model.limited.map((__, other) => (other === q ? 1 : 0)));
  let nearest: Priced | undefined;
  let bound = -Infinity;
  let best: readonly number[] = model.limited.map(() => 1);
  const visit = (multipliers: readonly number[]): readonly number[] => {
    const point = relaxed(model, multipliers);
    if (point.bound > bound) {
      bound = point.bound;
      best = multipliers;
    }
    const priced = price(point.genome, costOf, budget);
    if (nearest === undefined || priced.violation < nearest.violation) nearest = priced;
    return point.excess;
  };
  for (const multipliers of alone) visit(multipliers);
  let multipliers = best.map(() => 1);
  for (let round = 1; round <= 80 && nearest?.violation !== 0; round++) {
    const slope = visit(multipliers);
    const norm = Math.hypot(...slope);
    if (norm === 0) break;
    const step = 0.5 / Math.sqrt(round) / norm;
    multipliers = multipliers.map((value, q) => Math.min(1, Math.max(0, value + step * slope[q]!)));
  }
  return { nearest: nearest!, bound, multipliers: best };
}

function branchAndBound(
  model: AdditiveModel,
  multipliers: readonly number[],
  incumbent: Priced,
  costOf: CostOf,
  budget: Budget,
  nodeLimit: number,
): LeastViolation {
  const { base, steps } = model;
  const positions = steps.length;
  const spread = steps.map((options) => {
    const values = options.map((step) => weighted(step, multipliers));
    return Math.max(...values) - Math.min(...values);
  });
  const order = [...steps.keys()].sort((a, b) => spread[b]! - spread[a]! || a - b);
  const options = order.map((position) =>
    steps[position]!.map((step, option) => ({ option, step, value: weighted(step, multipliers) })).sort(
      (a, b) => a.value - b.value || a.option - b.option,
    ),
  );
  // Least that the positions from `depth` on can add: to each quantity alone, and to the weighted sum.
  const restOf: number[][] = [base.map(() => 0)];
  const restWeighted: number[] = [0];
  for (let depth = positions - 1; depth >= 0; depth--) {
    const rest = restOf[0]!.map((sum, q) => sum + Math.min(...options[depth]!.map(({ step }) => step[q]!)));
    restOf.unshift(rest);
    restWeighted.unshift(restWeighted[0]! + options[depth]![0]!.value);
  }
  let nearest = incumbent;
  let nodes = 0;
  const genome: number[] = steps.map(() => 0);
  const visit = (depth: number, excess: readonly number[]): void => {
    if (nearest.violation === 0 || nodes >= nodeLimit) return;
    nodes++;
    const rest = restOf[depth]!;
    const apart = excess.reduce((sum, value, q) => sum + Math.max(0, value + rest[q]!), 0);
    const bound = Math.max(apart, weighted(excess, multipliers) + restWeighted[depth]!);
    // Below the tolerance the model cannot tell a violation from rounding, so the true costs decide.
    if (bound >= Math.max(nearest.violation * (1 - tolerance), tolerance)) return;
    if (depth === positions) {
      const leaf = price([...genome], costOf, budget);
      if (leaf.violation < nearest.violation) nearest = leaf;
      return;
    }
    for (const { option, step } of options[depth]!) {
      genome[order[depth]!] = option;
      visit(
        depth + 1,
        excess.map((value, q) => value + step[q]!),
      );
    }
  };
  visit(0, base);
  return { nearest, proven: nearest.violation === 0 || nodes < nodeLimit };
}

function weighted(values: readonly number[], multipliers: readonly number[]): number {
  let sum = 0;
  for (let q = 0; q < values.length; q++) sum += values[q]! * multipliers[q]!;
  return sum;
}
