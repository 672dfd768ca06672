/**
 * @file Coordinate descent on the violation of a budget: the repair of candidates that are too dear.
 */
import type { Genome } from '../spaces/contract.js';
import { type Budget, type Costs, limitedQuantities, violation } from './costs.js';

export type CostOf = (genome: Genome) => Costs;

/** A genome with its costs and its distance from the budget. */
export interface Priced {
  readonly genome: Genome;
  readonly costs: Costs;
  /** See {@link violation}; 0 when the budget is met. */
  readonly violation: number;
}

export function price(genome: Genome, costOf: CostOf, budget: Budget): Priced {
  const costs = costOf(genome);
  return { genome, costs, violation: violation(costs, budget) };
}

/**
 * Sets one gene after another, in the order of `positions`, to the option of least violation (ties: least sum of
 * cost / limit, then the earlier option), round after round, until the budget is met or a round changes nothing.
 * Ends, because every step lowers the pair (violation, sum).
 */
export function descend(
  start: Genome,
  optionCounts: readonly number[],
  costOf: CostOf,
  budget: Budget,
  positions: readonly number[] = [...optionCounts.keys()],
): Priced {
  const limited = limitedQuantities(budget);
  const strainOf = (costs: Costs): number =>
    limited.reduce((sum, quantity) => sum + costs[quantity] / budget[quantity]!, 0);
  let best = price(start, costOf, budget);
  let bestStrain = strainOf(best.costs);
  for (let changed = true; changed && best.violation > 0;) {
    changed = false;
    for (const position of positions) {
      const { genome } = best;
      for (let option = 0; option < optionCounts[position]!; option++) {
        if (option === genome[position]) continue;
        const other = price(genome.with(position, option), costOf, budget);
        const strain = strainOf(other.costs);
        if (other.violation < best.violation || (other.violation === best.violation && strain < bestStrain)) {
          best = other;
          bestStrain = strain;
          changed = true;
        }
      }
      if (best.violation === 0) return best;
    }
  }
  return best;
}
