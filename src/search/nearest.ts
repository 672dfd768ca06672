/**
 * @file Whether a budget can be met at all, decided before anything is trained, and if not, what comes nearest.
 */
import { InfeasibleBudgetError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { allNetworks, offeredOptions, structureCount, structures } from '../spaces/offers.js';
import { additiveModel, leastViolation, type LeastViolation } from './additive.js';
import { describeBudget, describeCosts, suggestLimit } from './budget.js';
import { type Budget, limitedQuantities } from './costs.js';
import { type CostOf, descend, price, type Priced } from './descent.js';
import { leastViolationWithPeaks, peakModel } from './peaks.js';

/** The genome that meets the budget, or else the one that misses it by least. */
export interface NearestPoint extends Priced {
  readonly feasible: boolean;
  /**
   * True when the answer is certain: the budget is met, or no genome violates it less. False when only a local search
   * could be made (costs that do not add up over positions, in a large space).
   */
  readonly proven: boolean;
}

/** Spaces up to this size are simply looked through when their costs do not add up. */
const enumerable = 4096n;
const restarts = 16;

/** Structures up to this number are settled one after another. */
const mostStructures = 256n;

/**
 * Decides whether `budget` can be met and finds the canonical genome of least violation. Exact when, under each structure,
 * every limited quantity adds up over the positions or is the largest of what they need, which is verified, and for small
 * spaces; a coordinate descent from several starts otherwise. Deterministic. `costOf` should remember its answers.
 */
export function nearestReachable(space: SearchSpace, costOf: CostOf, budget: Budget): NearestPoint {
  const { optionCounts } = space;
  const zeros = optionCounts.map(() => 0);
  if (limitedQuantities(budget).length === 0)
    return { ...price(space.canonical(zeros), costOf, budget), feasible: true, proven: true };
  const random = Random.stream('nearest', space.identity);
  const sample = (): Genome => space.sample(random);

  const exact = exactlyNearest(space, costOf, budget, sample);
  if (exact !== null) {
    const { nearest, proven } = exact;
    return { ...nearest, feasible: nearest.violation === 0, proven };
  }
  const canonical = ({ genome }: Priced): Priced => price(space.canonical(genome), costOf, budget);
  const improve = (genome: Genome): Priced => canonical(descend(genome, optionCounts, costOf, budget));
  const exhaustive = space.size <= enumerable;
  const candidates = exhaustive
    ? mapEach(allNetworks(space), (genome) => price(genome, costOf, budget))
    : mapEach(starts(space, costOf, budget, sample), improve);
  let nearest: Priced | undefined;
  for (const candidate of candidates) {
    if (nearest === undefined || candidate.violation < nearest.violation) nearest = candidate;
    if (nearest.violation === 0) break;
  }
  const feasible = nearest!.violation === 0;
  return { ...nearest!, feasible, proven: feasible || exhaustive };
}

/** The best of all structures; null where there are too many, or {@link nearestWithin} one gives no answer. */
function exactlyNearest(
  space: SearchSpace,
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): LeastViolation | null {
  if (structureCount(space) > mostStructures) return null;
  let best: LeastViolation | undefined;
  for (const base of structures(space)) {
    const found = nearestWithin(space, base, costOf, budget, sample);
    if (found === null) return null;
    const proven = found.proven && (best?.proven ?? true);
    best = {
      nearest:
        best === undefined || found.nearest.violation < best.nearest.violation ? found.nearest : best.nearest,
      proven,
    };
    if (best.nearest.violation === 0) return { ...best, proven: true };
  }
  return best!;
}

/** The nearest network of one structure: what it offers at each position is a product. */
function nearestWithin(
  space: SearchSpace,
  base: Genome,
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): LeastViolation | null {
  const { structure = [] } = space;
  const options = base.map((gene, position) =>
    structure.includes(position) ? [gene] : offeredOptions(space, base, position),
  );
  const counts = options.map(({ length }) => length);
  const whole = (choice: Genome): Genome => choice.map((at, position) => options[position]![at]!);
  const costWithin: CostOf = (choice) => costOf(whole(choice));
  const sampleWithin = (): Genome => {
    const drawn = sample();
    const moved = space.canonical(drawn.map((gene, at) => (structure.includes(at) ? base[at]! : gene)));
    return moved.map((gene, position) => options[position]!.indexOf(gene));
  };
  const found = nearestOfProduct(counts, costWithin, budget, sampleWithin);
  return found && { ...found, nearest: { ...found.nearest, genome: whole(found.nearest.genome) } };
}

/** Where every limited quantity is a sum, or the largest of what the positions need; null where one is neither. */
function nearestOfProduct(
  optionCounts: readonly number[],
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): LeastViolation | null {
  const improve = (genome: Genome): Priced => descend(genome, optionCounts, costOf, budget);
  const model = additiveModel(optionCounts, costOf, budget, sample);
  if (model !== null) return leastViolation(model, costOf, budget, improve);
  const limited = limitedQuantities(budget);
  const peaks = limited.filter(
    (quantity) => additiveModel(optionCounts, costOf, { [quantity]: budget[quantity]! }, sample) === null,
  );
  if (peaks.length === 0) return null;
  const levels = peakModel(optionCounts, costOf, budget, peaks, sample);
  return levels === null ? null : leastViolationWithPeaks(levels, costOf, budget, sample);
}

/**
 * A genome within the budget.
 * @throws InfeasibleBudgetError giving the limits, the nearest reachable point and what to change.
 */
export function findFeasible(space: SearchSpace, costOf: CostOf, budget: Budget): Genome {
  const nearest = nearestReachable(space, costOf, budget);
  if (!nearest.feasible) throw infeasible(space, budget, nearest);
  return nearest.genome;
}

function infeasible(space: SearchSpace, budget: Budget, nearest: NearestPoint): InfeasibleBudgetError {
  const suggestions = limitedQuantities(budget)
    .filter((quantity) => nearest.costs[quantity] > budget[quantity]!)
    .map((quantity) => suggestLimit(quantity, nearest.costs[quantity]));
  const { name } = space;
  const claim = nearest.proven
    ? `no network of the ${name} space meets`
    : `no network was found in the ${name} space that meets`;
  return new InfeasibleBudgetError(
    `${claim} ${describeBudget(budget)}; the nearest has ` +
      `${describeCosts(nearest.costs)}: raise the budget to ${suggestions.join(',')} or make the space smaller ` +
      '(fewer channels or blocks)',
  );
}

/** Starts of the descent: the cheapest option of every position for each limit alone, then random genomes. */
function* starts(
  space: SearchSpace,
  costOf: CostOf,
  budget: Budget,
  sample: () => Genome,
): Generator<Genome> {
  for (const quantity of limitedQuantities(budget)) {
    // A limit out of reach: the descent runs on to the least of this quantity that it can find.
    const alone: Budget = { [quantity]: budget[quantity]! * 1e-12 };
    yield descend(
      space.optionCounts.map(() => 0),
      space.optionCounts,
      costOf,
      alone,
    ).genome;
  }
  for (let i = 0; i < restarts; i++) yield sample();
}

function* mapEach<T, U>(items: Iterable<T>, change: (item: T) => U): Generator<U> {
  for (const item of items) yield change(item);
}
