/**
 * @file A search held against random search at equal evaluations (Li and Talwalkar, arXiv 1902.07638): the control, and how
 * both came along with the number of evaluations.
 */
import type { Objectives } from './dominance.js';
import { dominates } from './dominance.js';
import { boxOf, hypervolume } from './hypervolume.js';
import { objectiveValues, type Judged, type Objective } from './objectives.js';
import { createRandomSearch } from './random-search.js';
import type { SearchProblem, SearchStrategy } from './strategy.js';

/** Random search without any help that ends after exactly `evaluations`, or with the space. */
export function createControl(
  { space, costOf, budget, seed }: SearchProblem,
  evaluations: number,
  population: number,
): SearchStrategy {
  const generations = Math.ceil(evaluations / population);
  const random = createRandomSearch({ space, costOf, budget, seed }, { generations, population });
  return {
    ...random,
    propose: (state) => random.propose(state).slice(0, evaluations - state.archive.length),
  };
}

/** How far a search was after so many evaluations. */
export interface ProgressPoint {
  readonly evaluations: number;
  /** On search-validation, 0 to 1. */
  readonly bestAccuracy: number;
  /** Of everything judged so far, up to the common reference point. */
  readonly hypervolume: number;
}

/** One side of the comparison. */
export interface ControlSide {
  readonly evaluations: number;
  readonly bestAccuracy: number;
  readonly hypervolume: number;
  /** At most {@link mostPoints}, evenly spaced, the last one at the end. */
  readonly curve: readonly ProgressPoint[];
}

export interface ControlComparison {
  readonly objectives: readonly string[];
  /** A tenth of the range beyond the worst value of each objective on either side. */
  readonly reference: Objectives;
  readonly search: ControlSide;
  readonly random: ControlSide;
}

const mostPoints = 100;

/** Both archives under one reference point; candidates of one generation count in the order of the archive. */
export function compareWithControl(
  search: readonly Judged[],
  random: readonly Judged[],
  objectives: readonly Objective[],
): ControlComparison {
  const valuesOf = (each: Judged): Objectives => objectiveValues(each, objectives);
  const { reference } = boxOf([...search, ...random].map(valuesOf));
  const side = (archive: readonly Judged[]): ControlSide => {
    const curve = progressOf(archive, objectives, reference);
    return { ...curve.at(-1)!, curve };
  };
  return { objectives, reference, search: side(search), random: side(random) };
}

/** How a search with this archive came along, at evenly spaced numbers of evaluations. */
export function progressOf(
  archive: readonly Judged[],
  objectives: readonly Objective[],
  reference: Objectives,
): readonly ProgressPoint[] {
  const points = Math.min(mostPoints, archive.length);
  const stops = new Set(
    Array.from({ length: points }, (_, at) => Math.round(((at + 1) * archive.length) / points)),
  );
  const curve: ProgressPoint[] = [];
  let front: readonly Objectives[] = [];
  let bestAccuracy = 0;
  archive.forEach((judged, at) => {
    bestAccuracy = Math.max(bestAccuracy, judged.accuracy);
    const values = objectiveValues(judged, objectives);
    if (!front.some((other) => dominates(other, values)))
      front = [...front.filter((other) => !dominates(values, other)), values];
    const evaluations = at + 1;
    if (stops.has(evaluations))
      curve.push({ evaluations, bestAccuracy, hypervolume: hypervolume(front, reference) });
  });
  return curve;
}
