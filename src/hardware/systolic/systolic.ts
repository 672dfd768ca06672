/**
 * @file Systolic arrays in closed form: cycles and buffer accesses as SCALE-Sim v2 counts them without stalls.
 *
 * A layer is a matrix product of `rows` output positions, `depth` products per output and `columns` output channels.
 * Each dataflow lays two of the three over the array and streams the third past it, fold by fold:
 *
 *     weights stay   depth over rows, channels over columns, positions stream: positions + 2 R + C - 2 cycles a fold
 *     inputs stay    depth over rows, positions over columns, channels stream: channels + 2 R + C - 2
 *     outputs stay   positions over rows, channels over columns, depth streams: depth + R + C - 2
 *
 * R cycles go into loading what stays (outputs need none), R + C - 2 into the skew of the wavefront. Source of the
 * folding: Samajdar et al., SCALE-Sim (ISPASS 2020); the terms are proved against a cycle-by-cycle array in the tests.
 */
import { OptionError } from '../../base/errors.js';
import { Primitive, type LayerDescription } from '../layer.js';
import { problemOf } from '../loopnest/problem.js';

/** What stays in the elements. */
export enum SystolicDataflow {
  Weights = 'weights',
  Inputs = 'inputs',
  Outputs = 'outputs',
}

/** Elements side by side. */
export interface SystolicArray {
  readonly rows: number;
  readonly columns: number;
}

/** A matrix product [rows x depth] times [depth x columns], `groups` of them one after the other. */
export interface MatrixProduct {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly groups: number;
}

export interface SystolicCost {
  /** Last cycle, counted from 0 as SCALE-Sim does: one less than the number of cycles. */
  readonly cycles: number;
  readonly folds: number;
  readonly cyclesPerFold: number;
  readonly operations: number;
  /** Operations per element and cycle. */
  readonly utilisation: number;
  /** Words read from the input and weight buffers and written to the output buffer. */
  readonly inputReads: number;
  readonly weightReads: number;
  readonly outputWrites: number;
}

/** The matrix product that a layer is: rows are batch x output positions, depth the products of one output. */
export function matrixProductOf(layer: LayerDescription): MatrixProduct {
  const [N, G, M, C, P, Q, R, S] = problemOf(layer).bounds as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { rows: N * P * Q, depth: C * R * S, columns: M, groups: G };
}

/**
 * Cycles and buffer accesses of a layer on a systolic array without stalls.
 * @throws OptionError when the array has no elements; LayerError for an impossible layer.
 */
export function systolicCycles(
  layer: LayerDescription,
  array: SystolicArray,
  dataflow: SystolicDataflow,
): SystolicCost {
  const cost = systolicProduct(matrixProductOf(layer), array, dataflow);
  // What moves takes the cycles and has no operations in them.
  return layer.primitive === Primitive.Move ? { ...cost, operations: 0, utilisation: 0 } : cost;
}

/** As {@link systolicCycles}, for a matrix product. */
export function systolicProduct(
  { rows, depth, columns, groups }: MatrixProduct,
  array: SystolicArray,
  dataflow: SystolicDataflow,
): SystolicCost {
  for (const [key, size] of Object.entries({ rows: array.rows, columns: array.columns }))
    if (!Number.isInteger(size) || size < 1)
      throw new OptionError(`a systolic array needs a whole number of ${key}, at least 1, got ${size}`);
  const skew = array.rows + array.columns - 2;
  const [overRows, overColumns, streamed, loading] = {
    [SystolicDataflow.Weights]: [depth, columns, rows, array.rows] as const,
    [SystolicDataflow.Inputs]: [depth, rows, columns, array.rows] as const,
    [SystolicDataflow.Outputs]: [rows, columns, depth, 0] as const,
  }[dataflow];
  const rowFolds = Math.ceil(overRows / array.rows);
  const columnFolds = Math.ceil(overColumns / array.columns);
  const folds = rowFolds * columnFolds * groups;
  const cyclesPerFold = loading + streamed + skew;
  const cycles = folds * cyclesPerFold - 1;
  const operations = rows * depth * columns * groups;
  // What streams along one side comes again for every fold over the other side; partial sums leave once per row fold.
  const [inputTimes, weightTimes, outputTimes] = {
    [SystolicDataflow.Weights]: [columnFolds, 1, rowFolds] as const,
    [SystolicDataflow.Inputs]: [1, columnFolds, rowFolds] as const,
    [SystolicDataflow.Outputs]: [columnFolds, rowFolds, 1] as const,
  }[dataflow];
  return {
    cycles,
    folds,
    cyclesPerFold,
    operations,
    utilisation: operations / ((cycles + 1) * array.rows * array.columns),
    inputReads: rows * depth * groups * inputTimes,
    weightReads: depth * columns * groups * weightTimes,
    outputWrites: rows * columns * groups * outputTimes,
  };
}
