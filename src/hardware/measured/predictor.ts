/**
 * @file Latencies of shapes that were not timed, from those that were: the linear predictor, and how predictors are judged.
 *
 * The linear one says latency = a + sum of b_i count_i, with coefficients for each class of operations (features.ts) by
 * least squares of the relative error, so that small layers count as much as large ones. Refits of the published
 * latency data found such a fit better than the published multi-layer perceptron (0.6 % against 3.9 % mean error), so it is the
 * default; the perceptron is in `training/latency-mlp.ts`.
 */
import { OptionError } from '../../base/errors.js';
import { leastSquares } from '../../base/linear-algebra.js';
import { Random } from '../../base/random.js';
import { classOf, countsOf } from './features.js';
import { operationKey, type Operation } from './operation.js';
import { predictionErrors, type PredictionErrors } from './statistics.js';
import { latencyOfRow, type MeasuredRow } from './table.js';

/** Predicts latencies in ms, above zero. */
export interface LatencyPredictor {
  /** @throws OptionError for an operation of a kind of which too few were timed */
  predictMs(operation: Operation): number;
}

/** Makes a predictor from timed operations. */
export type PredictorFit = (rows: readonly MeasuredRow[]) => LatencyPredictor;

/** The predictors there are. */
export enum PredictorKind {
  Linear = 'linear',
  Mlp = 'mlp',
}

export const predictorKinds: readonly PredictorKind[] = Object.values(PredictorKind);

/** Rows of a class per coefficient below which its counts are not told apart. */
const rowsPerCoefficient = 2;
/** Keeps counts that always grow together from cancelling each other. */
const ridge = 1e-6;

interface ClassFit {
  readonly coefficients: readonly number[];
  /** No operation of the class is predicted to be faster than the fastest that was timed. */
  readonly leastMs: number;
}

/** The linear predictor; deterministic. */
export const fitLinear: PredictorFit = (rows) => {
  const classes = new Map<string, MeasuredRow[]>();
  for (const row of rows) {
    const name = classOf(row.operation);
    classes.set(name, [...(classes.get(name) ?? []), row]);
  }
  const fits = new Map([...classes].map(([name, members]) => [name, fitClass(members)]));
  return {
    predictMs(operation) {
      const fit = fits.get(classOf(operation));
      if (fit === undefined) throw tooFew(operation);
      const value = designRow(operation).reduce((sum, each, at) => sum + each * fit.coefficients[at]!, 0);
      return Math.max(fit.leastMs, value);
    },
  };
};

/** The complaint about an operation that nothing timed is like. */
export function tooFew(operation: Operation): OptionError {
  return new OptionError(
    `the latency table has no row for '${operationKey(operation)}' and too few like it to predict one; ` +
      'time more with hw measure --sample',
  );
}

function designRow(operation: Operation): readonly number[] {
  return [1, ...countsOf(operation)];
}

/** Where a class has few rows only the operations (the first count) tell its members apart. */
function fitClass(rows: readonly MeasuredRow[]): ClassFit {
  const design = rows.map(({ operation }) => designRow(operation));
  const latencies = rows.map(latencyOfRow);
  const width = design[0]!.length;
  const columns =
    rows.length >= rowsPerCoefficient * width ? [...design[0]!.keys()] : rows.length >= 4 ? [0, 1] : [0];
  const relative = design.map((row, at) => columns.map((column) => row[column]! / latencies[at]!));
  const ones = rows.map(() => 1);
  const solved = leastSquares(relative, ones, ridge) as readonly number[];
  const coefficients = new Array<number>(width).fill(0);
  columns.forEach((column, at) => (coefficients[column] = solved[at]!));
  return { coefficients, leastMs: Math.min(...latencies) };
}

/** Least rows of a table on which predictors are judged: fewer leave nothing to hold out. */
export const fewestForErrors = 20;

/**
 * Errors on rows that the predictor has not seen: the layers are dealt into `folds` parts by `seed`, and each is predicted
 * by a fit to the others. Undefined where there are fewer than {@link fewestForErrors}.
 */
export function heldOutErrors(
  rows: readonly MeasuredRow[],
  fit: PredictorFit,
  seed: number,
  folds = 5,
): PredictionErrors | undefined {
  const layers = rows.filter(({ operation }) => operation.kind === 'layer');
  if (layers.length < fewestForErrors) return undefined;
  const order = Random.stream(seed, 'held out').shuffle([...layers]);
  const predicted: number[] = [];
  const truth: number[] = [];
  for (let fold = 0; fold < folds; fold++) {
    const predictor = fit(order.filter((_, at) => at % folds !== fold));
    for (const [at, row] of order.entries()) {
      if (at % folds !== fold) continue;
      predicted.push(predictor.predictMs(row.operation));
      truth.push(latencyOfRow(row));
    }
  }
  return predictionErrors(predicted, truth);
}

/** A latency, and whether it was timed or predicted. */
export interface KnownLatency {
  readonly latencyMs: number;
  readonly predicted: boolean;
}

/** Latencies by a table where it has the operation, by a predictor fitted to it elsewhere. */
export function latencyLookup(
  rows: readonly MeasuredRow[],
  predictor: LatencyPredictor,
): (operation: Operation) => KnownLatency {
  const known = new Map(
    rows.map((row): [string, KnownLatency] => [
      operationKey(row.operation),
      { latencyMs: latencyOfRow(row), predicted: false },
    ]),
  );
  return (operation) => {
    const key = operationKey(operation);
    let found = known.get(key);
    if (found === undefined)
      known.set(key, (found = { latencyMs: predictor.predictMs(operation), predicted: true }));
    return found;
  };
}
