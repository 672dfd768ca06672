/**
 * @file What a search may minimise at once: the error on search-validation and the costs of the network.
 */
import { z } from 'zod';
import { type Costs, Quantity } from './costs.js';
import { type Objectives, paretoSet } from './dominance.js';
import { boxOf, hypervolume } from './hypervolume.js';

/** The words are those of a budget. */
export enum Objective {
  /** 1 - accuracy on search-validation. */
  Error = 'error',
  Energy = 'energy',
  Latency = 'latency',
  Macs = 'macs',
  Params = 'params',
  Area = 'area',
  Sram = 'sram',
  Flash = 'flash',
}

const quantityOf: Readonly<Record<Exclude<Objective, Objective.Error>, Quantity>> = {
  [Objective.Energy]: Quantity.Energy,
  [Objective.Latency]: Quantity.Latency,
  [Objective.Macs]: Quantity.Macs,
  [Objective.Params]: Quantity.Params,
  [Objective.Area]: Quantity.Area,
  [Objective.Sram]: Quantity.Sram,
  [Objective.Flash]: Quantity.Flash,
};

/** The cost behind an objective as it stands in a result; undefined for the error and for what is no objective. */
export function objectiveQuantity(objective: string): Quantity | undefined {
  return Object.hasOwn(quantityOf, objective) ? quantityOf[objective as keyof typeof quantityOf] : undefined;
}

export const defaultObjectives: readonly Objective[] = [Objective.Error, Objective.Energy];

/** The error and at least one cost. */
export const objectivesSchema = z
  .array(
    z.enum(Objective, {
      error: ({ input }) =>
        `'${String(input)}' is no objective; choose among ${Object.values(Objective).join(', ')}`,
    }),
  )
  .refine((objectives) => objectives.includes(Objective.Error) && objectives.length > 1, {
    message: "must hold 'error' and at least one cost, as in [error, energy]",
  })
  .refine((objectives) => new Set(objectives).size === objectives.length, {
    message: 'must not name an objective twice',
  })
  .readonly();

/** What is compared of an evaluated network. */
export interface Judged {
  /** On search-validation, 0 to 1. */
  readonly accuracy: number;
  readonly costs: Costs;
}

/** The values of `objectives`, all to be minimised. */
export function objectiveValues({ accuracy, costs }: Judged, objectives: readonly Objective[]): Objectives {
  return objectives.map((objective) =>
    objective === Objective.Error ? 1 - accuracy : costs[quantityOf[objective]],
  );
}

/** Who of `judged` nobody else beats in all objectives, the least error first; of equal ones the first given. */
export function frontOf<T extends Judged>(
  judged: readonly T[],
  objectives: readonly Objective[],
): readonly T[] {
  return [...paretoSet(judged, (each) => objectiveValues(each, objectives))].sort(
    (a, b) => b.accuracy - a.accuracy,
  );
}

/**
 * `count` members of a front that stand for it, none of them in `chosen`: one after another the one that adds most to
 * the hypervolume of those chosen so far, which is at least 63 % of the best choice (Guerreiro, Fonseca and Paquete 2016).
 * Fewer when the front has no more. The first chosen comes first.
 */
export function spreadAlong<T extends Judged>(
  front: readonly T[],
  chosen: readonly T[],
  count: number,
  objectives: readonly Objective[],
): readonly T[] {
  const valuesOf = (each: T): Objectives => objectiveValues(each, objectives);
  const rest = front.filter((each) => !chosen.includes(each));
  if (rest.length === 0) return [];
  const { reference } = boxOf([...front, ...chosen].map(valuesOf));
  const taken = chosen.map(valuesOf);
  const found: T[] = [];
  while (found.length < count && rest.length > 0) {
    const volumes = rest.map((each) => hypervolume([...taken, valuesOf(each)], reference));
    const [best] = rest.splice(volumes.indexOf(Math.max(...volumes)), 1) as [T];
    taken.push(valuesOf(best));
    found.push(best);
  }
  return found;
}
