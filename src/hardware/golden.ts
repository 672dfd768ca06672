/**
 * @file Compares this implementation with figures of the published cost model, layer by layer.
 *
 * The claim of the `paper` profiles is "exactly the published model"; this is the check that a user can run.
 */
import { readFileSync } from 'node:fs';
import { costColumns, readLayerTable } from './csv.js';
import { estimateLayer } from './estimate.js';
import { loadProfile } from './profile.js';

/** How far the golden table and our prices are apart. */
export interface GoldenComparison {
  /** Rows compared. */
  readonly rows: number;
  /** Rows all of whose figures agree within `tolerance`. */
  readonly matched: number;
  /** Rows whose tiling is the published one too; where optima tie, another tiling has the same price. */
  readonly sameTiling: number;
  readonly tolerance: number;
  /** The largest relative deviation of any figure, and where it stands. */
  readonly largestDeviation: number;
  readonly largestAt: { readonly line: number; readonly column: string } | undefined;
  /** Every figure outside the tolerance. */
  readonly deviations: readonly GoldenDeviation[];
}

/** One figure that does not agree. */
export interface GoldenDeviation {
  readonly line: number;
  readonly column: string;
  readonly expected: number;
  readonly actual: number;
}

const goldenTable = new URL('./golden/paper-cv-layers.csv', import.meta.url);
const tilingColumns = ['N0', 'N3', 'M0', 'M1', 'M2', 'M3', 'C0', 'C1', 'C2', 'E1', 'E3'];

/**
 * Prices the 158 golden vision layers, each with the paper profile of its PE bound, and compares every figure.
 * @param tolerance relative; 1e-6 by default (the table has ten digits).
 */
export function compareWithGolden(tolerance = 1e-6): GoldenComparison {
  const { rows } = readLayerTable(readFileSync(goldenTable, 'utf8'));
  const deviations: GoldenDeviation[] = [];
  let matched = 0;
  let sameTiling = 0;
  let largestDeviation = 0;
  let largestAt: GoldenComparison['largestAt'];
  for (const { line, cells, layer } of rows) {
    const cost = estimateLayer(layer, loadProfile(`paper-cv-${cells.get('PE_strictly_below')}`));
    let agrees = true;
    for (const [column, value] of Object.entries(costColumns)) {
      if (tilingColumns.includes(column)) continue;
      const expected = Number(cells.get(column));
      const actual = value(cost);
      const deviation = actual === expected ? 0 : Math.abs(actual - expected) / Math.abs(expected);
      if (deviation > largestDeviation) {
        largestDeviation = deviation;
        largestAt = { line, column };
      }
      if (!(deviation <= tolerance)) {
        agrees = false;
        deviations.push({ line, column, expected, actual });
      }
    }
    if (agrees) matched++;
    if (tilingColumns.every((column) => costColumns[column]!(cost) === Number(cells.get(column))))
      sameTiling++;
  }
  return { rows: rows.length, matched, sameTiling, tolerance, largestDeviation, largestAt, deviations };
}
