/**
 * @file What a candidate costs, what a budget allows, and by how much the one exceeds the other.
 */

/** Cost of one network, one inference at batch 1 under the budget's profile. */
export interface Costs {
  readonly energyMj: number;
  readonly latencyMs: number;
  /** Primitive operations (multiply-, shift- or add-accumulates). */
  readonly macs: number;
  readonly params: number;
  /** Array of the profile with its elements divided among multiplications, shifts and additions as the network needs. */
  readonly areaMm2: number;
  /** Arena of the activations, in the widths of the profile. */
  readonly sramBytes: number;
  /** Parameters as stored, in the widths of the profile. */
  readonly flashBytes: number;
}

/** A quantity a budget may limit; the value is the key of {@link Costs}. */
export enum Quantity {
  Energy = 'energyMj',
  Latency = 'latencyMs',
  Macs = 'macs',
  Params = 'params',
  Area = 'areaMm2',
  Sram = 'sramBytes',
  Flash = 'flashBytes',
}

export const quantities: readonly Quantity[] = Object.values(Quantity);

/** "At most" limits in the units of {@link Costs}; a quantity that is absent is not limited. */
export type Budget = Readonly<Partial<Record<Quantity, number>>>;

/** The quantities that `budget` limits, in the order of {@link quantities}. */
export function limitedQuantities(budget: Budget): readonly Quantity[] {
  return quantities.filter((quantity) => budget[quantity] !== undefined);
}

/** True when every limit holds; a cost equal to its limit is within. */
export function meets(costs: Costs, budget: Budget): boolean {
  return quantities.every((quantity) => {
    const limit = budget[quantity];
    return limit === undefined || costs[quantity] <= limit;
  });
}

/** Sum over the limits of (cost - limit) / limit where that is positive; 0 exactly when {@link meets}. */
export function violation(costs: Costs, budget: Budget): number {
  let sum = 0;
  for (const quantity of quantities) {
    const limit = budget[quantity];
    if (limit !== undefined && costs[quantity] > limit) sum += (costs[quantity] - limit) / limit;
  }
  return sum;
}
