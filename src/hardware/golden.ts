/**
 * @file Compares this implementation with figures of the published cost model, layer by layer.
 *
 * The claim of the `paper` profiles is "exactly the published model"; this is the check that a user can run.
 */
import { readFileSync } from 'node:fs';
import { costColumns, readLayerTable } from './csv.js';
import { estimateLayer } from './estimate.js';
import { loadProfile } from './profile.js';

/** How far one golden table and our prices are apart. */
export interface GoldenTable {
  readonly file: string;
  /** Rows compared. */
  readonly rows: number;
  /** Rows all of whose figures agree within the tolerance. */
  readonly matched: number;
  /** Rows whose tiling is the published one too; where optima tie, another tiling has the same price. */
  readonly sameTiling: number;
  /** The largest relative deviation of any figure, and where it stands. */
  readonly largestDeviation: number;
  readonly largestAt: { readonly file: string; readonly line: number; readonly column: string } | undefined;
  /** Every figure outside the tolerance. */
  readonly deviations: readonly GoldenDeviation[];
}

/** How far all golden tables and our prices are apart. */
export interface GoldenComparison extends Omit<GoldenTable, 'file'> {
  readonly tolerance: number;
  readonly tables: readonly GoldenTable[];
}

/** One figure that does not agree. */
export interface GoldenDeviation {
  readonly file: string;
  readonly line: number;
  readonly column: string;
  readonly expected: number;
  readonly actual: number;
}

/** The golden tables, and the profile that made each row. */
const goldenTables: readonly { readonly file: string; readonly profileOf: (cell: CellOf) => string }[] = [
  { file: 'paper-cv-layers.csv', profileOf: (cell) => `paper-cv-${cell('PE_strictly_below')}` },
  { file: 'paper-nlp-layers.csv', profileOf: (cell) => `paper-${cell('table').toLowerCase()}` },
];
type CellOf = (column: string) => string;
const tilingColumns = ['N0', 'N3', 'M0', 'M1', 'M2', 'M3', 'C0', 'C1', 'C2', 'E1', 'E3'];

/**
 * Prices the golden layers (158 of the vision networks, 59 of the translation networks), each with the paper profile
 * that made its row, and compares every figure.
 * @param tolerance relative; 1e-6 by default (the tables have ten digits).
 */
export function compareWithGolden(tolerance = 1e-6): GoldenComparison {
  const parts = goldenTables.map(({ file, profileOf }) => compareTable(file, profileOf, tolerance));
  const sum = (of: (part: GoldenTable) => number): number =>
    parts.reduce((total, part) => total + of(part), 0);
  const worst = parts.reduce((a, b) => (b.largestDeviation > a.largestDeviation ? b : a));
  return {
    rows: sum(({ rows }) => rows),
    matched: sum(({ matched }) => matched),
    sameTiling: sum(({ sameTiling }) => sameTiling),
    tolerance,
    largestDeviation: worst.largestDeviation,
    largestAt: worst.largestAt,
    deviations: parts.flatMap(({ deviations }) => deviations),
    tables: parts,
  };
}

function compareTable(file: string, profileOf: (cell: CellOf) => string, tolerance: number): GoldenTable {
  const { rows } = readLayerTable(readFileSync(new URL(`./golden/${file}`, import.meta.url), 'utf8'));
  const deviations: GoldenDeviation[] = [];
  let matched = 0;
  let sameTiling = 0;
  let largestDeviation = 0;
  let largestAt: GoldenComparison['largestAt'];
  for (const { line, cells, layer } of rows) {
    const cost = estimateLayer(layer, loadProfile(profileOf((column) => cells.get(column)!)));
    let agrees = true;
    for (const [column, value] of Object.entries(costColumns)) {
      if (tilingColumns.includes(column)) continue;
      const expected = Number(cells.get(column));
      const actual = value(cost);
      const deviation = actual === expected ? 0 : Math.abs(actual - expected) / Math.abs(expected);
      if (deviation > largestDeviation) {
        largestDeviation = deviation;
        largestAt = { file, line, column };
      }
      if (!(deviation <= tolerance)) {
        agrees = false;
        deviations.push({ file, line, column, expected, actual });
      }
    }
    if (agrees) matched++;
    if (tilingColumns.every((column) => costColumns[column]!(cost) === Number(cells.get(column))))
      sameTiling++;
  }
  return { file, rows: rows.length, matched, sameTiling, largestDeviation, largestAt, deviations };
}
