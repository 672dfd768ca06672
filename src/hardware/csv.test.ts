import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileError } from '../base/errors.js';
import { formatCsvLine, parseCsv, type CsvRecord } from './csv-text.js';
import { costColumns, costsCsv, estimateCsv, fp32OperandBits } from './csv.js';
import { estimate } from './estimate.js';
import { Primitive } from './layer.js';
import { version3Stages, visionNetwork } from './published/vision.js';

const goldenText = readFileSync(new URL('./golden/paper-cv-layers.csv', import.meta.url), 'utf8');
const header = 'type,N,H,W,C,R,M,E,F,stride';
const conv = 'Conv,1,14,14,32,3,32,14,14,1';

const cellsOf = (record: CsvRecord | undefined): readonly string[] =>
  record && 'cells' in record ? record.cells : [];
/** A priced table as one map per row. */
const table = (csv: string): Map<string, string>[] => {
  const [head, ...rows] = parseCsv(csv);
  return rows.map((row) => new Map(cellsOf(head).map((column, index) => [column, cellsOf(row)[index]!])));
};

describe('parseCsv', () => {
  it('reads back whatever was written', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', ' ', ',', '"', '\n', '\r', '1', 'é') });
    fc.assert(
      fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 5 }), { maxLength: 6 }), (rows) => {
        const text = rows.map((row) => formatCsvLine(row)).join('\r\n');
        expect(parseCsv(text).map(cellsOf)).toEqual(rows);
      }),
    );
  });

  it('skips a byte order mark and blank lines, and counts lines through quoted breaks', () => {
    expect(parseCsv('\uFEFFa,b\r\n\r\n"x\ny",2\nz,3')).toEqual([
      { line: 1, cells: ['a', 'b'] },
      { line: 3, cells: ['x\ny', '2'] },
      { line: 5, cells: ['z', '3'] },
    ]);
  });

  it('reports broken quoting by line and goes on', () => {
    expect(parseCsv('a"b,1\n"c"d,2\ne,3\n"f,4\ng,5')).toEqual([
      { line: 1, problem: 'a quote stands inside an unquoted cell' },
      { line: 2, problem: 'text follows the closing quote of a cell' },
      { line: 3, cells: ['e', '3'] },
      { line: 4, problem: 'a quoted cell is never closed' },
      { line: 5, cells: ['g', '5'] },
    ]);
  });
});

describe('costsCsv', () => {
  it('writes what estimateCsv reads and prices alike', () => {
    const layers = visionNetwork({ resolution: 64, lastStride: 2, stages: version3Stages });
    const costs = ['fair', 'paper-cv-192'].map((profile) => estimate(layers, profile));
    const csv = costsCsv(layers, costs);
    expect(table(csv)).toHaveLength(2 * layers.length);
    expect(new Set(table(csv).map((row) => row.get('profile')))).toEqual(new Set(['fair', 'paper-cv-192']));
    const half = csv
      .split('\n')
      .slice(0, layers.length + 1)
      .join('\n');
    const { rows, badRows, notices } = estimateCsv(half, { profile: 'fair' });
    expect({ badRows, notices }).toEqual({ badRows: [], notices: [] });
    expect(rows.map(({ cost }) => cost)).toEqual(costs[0]!.layers);
  });
});

describe('estimateCsv', () => {
  it('prices the golden table to the published figures, column by column, in its column order', () => {
    const golden = table(goldenText);
    const { csv, rows, badRows, notices } = estimateCsv(goldenText, { profile: 'paper-cv-168' });
    expect(csv.split('\n')[0]).toBe(`${goldenText.split('\n')[0]!.trim()},profile`);
    expect(rows.length).toBe(158);
    expect(badRows).toEqual([]);
    const priced = table(csv);
    let compared = 0;
    golden.forEach((expected, index) => {
      if (expected.get('PE_strictly_below') !== '168') return;
      compared++;
      for (const column of Object.keys(costColumns)) {
        const deviation = Math.abs(Number(priced[index]!.get(column)) - Number(expected.get(column)));
        expect(deviation, `row ${index + 2}, ${column}`).toBeLessThanOrEqual(
          1e-8 * Number(expected.get(column)),
        );
      }
      expect(priced[index]!.get('profile')).toBe('paper-cv-168');
    });
    expect(compared).toBe(85);
    // The rows made with the other array are priced with the profile given, and said so.
    expect(notices).toHaveLength(1);
    expect(notices[0]!.message).toMatch(/PE_strictly_below says 192, priced with at most 167/);
    expect(notices[0]!.lines).toHaveLength(73);
  });

  it('takes no width that is none', () => {
    const row = (bits: string): string => `Conv,1,8,8,4,3,4,8,8,1,${bits}`;
    const text = ['type,N,H,W,C,R,M,E,F,stride,bits', ...['32', '0', 'x', '128', ''].map(row)].join('\n');
    const { rows, badRows } = estimateCsv(text, { profile: 'fair' });
    expect(rows.map(({ line }) => line)).toEqual([2, 6]);
    expect(badRows).toEqual(
      ['0', 'x', '128'].map((bits, at) => ({
        line: at + 3,
        message: `bits must be an integer from 1 to 64, got '${bits}'`,
      })),
    );
  });

  it('says when rows were meant for other words than the profile prices', () => {
    const text = `${header},bits\n${conv},8\n${conv},32\n`;
    expect(estimateCsv(text, { profile: 'fair' }).notices).toEqual([
      { message: "bits says 8, priced at 32 bit (profile 'fair')", lines: [2] },
    ]);
  });

  it('needs only the shape columns, in any order, and keeps further columns', () => {
    const text = `name,stride,F,E,M,R,C,W,H,N,type\n"conv, first",1,14,14,32,3,32,14,14,1,Conv\n`;
    const { csv, rows } = estimateCsv(text, { profile: 'fair' });
    const [row] = table(csv);
    expect(row!.get('name')).toBe('conv, first');
    expect(rows[0]!.layer).toMatchObject({ name: 'conv, first', inChannels: 32, outHeight: 14 });
    expect(Number(row!.get('energy_mJ'))).toBeCloseTo(rows[0]!.cost.energyMj, 9);
    expect(row!.get('table')).toBe('');
  });

  it('honours groups where the profile does', () => {
    const text = `${header},groups\n${conv},32\n${conv},\n`;
    const fairRows = estimateCsv(text, { profile: 'fair' }).rows;
    expect(fairRows.map((row) => row.cost.operations)).toEqual([14 * 14 * 32 * 9, 14 * 14 * 32 * 32 * 9]);
    const paperRows = estimateCsv(text, { profile: 'paper-cv-168' }).rows;
    expect(paperRows[0]!.cost.energyMj).toBe(paperRows[1]!.cost.energyMj);
  });

  it('takes operand widths from the caller', () => {
    const text = `${header}\n${conv}\n${conv.replace('Conv', 'Shift')}\n`;
    const narrow = { weight: 4, activation: 8, partialSum: 16 };
    const { rows } = estimateCsv(text, { profile: 'fair', operandBits: () => narrow });
    expect(rows.map((row) => row.layer.operandBits)).toEqual([narrow, narrow]);
    const byDefault = estimateCsv(text, { profile: 'fair' }).rows;
    expect(byDefault.map((row) => row.layer.operandBits)).toEqual([
      fp32OperandBits(Primitive.Multiply),
      { weight: 5, activation: 32, partialSum: 32 },
    ]);
    expect(rows[0]!.cost.energyMj).toBeLessThan(byDefault[0]!.cost.energyMj);
  });

  it('lists broken rows by line and still prices the good ones', () => {
    const text = [
      header,
      conv,
      'Pool,1,14,14,32,3,32,14,14,1',
      'Conv,1,14,14,0,3,32,14,14,1',
      'Conv,1,14,14,32,3,32',
      'Conv,1,14,14,32,13,32,14,14,1',
      'Conv,1,14,14,32,3,1e3,14,14,1',
      'Add,1,14,14,32,3,32,14,14,1',
    ].join('\r\n');
    const { rows, badRows, csv } = estimateCsv(text, { profile: 'fair' });
    expect(rows.map((row) => row.line)).toEqual([2, 8]);
    expect(table(csv)).toHaveLength(2);
    expect(badRows.map((row) => row.line)).toEqual([3, 4, 5, 6, 7]);
    const messages = badRows.map((row) => row.message);
    expect(messages[0]).toMatch(/type must be one of Conv, FC, Shift, Add, Move, got 'Pool'/);
    expect(messages[1]).toMatch(/C must be a positive integer, got '0'/);
    expect(messages[2]).toMatch(/7 cells where the header has 10/);
    expect(messages[3]).toMatch(/does not fit profile 'fair'.*input register file/);
    expect(messages[4]).toMatch(/M must be a positive integer, got '1e3'/);
  });

  it('refuses a header that cannot be used', () => {
    const price = (text: string): unknown => estimateCsv(text, { profile: 'fair' });
    expect(() => price('')).toThrow(FileError);
    expect(() => price('')).toThrow(/CSV is empty/);
    expect(() => price(`type,N,H,W,C,R,M,E\n`)).toThrow(/lacks columns F, stride/);
    expect(() => price(`${header},type\n`)).toThrow(/names column 'type' twice/);
    expect(() => price(`${header}\n\n`)).toThrow(/a header and no rows/);
    expect(() => price(`${header}\n${conv}\n`.replaceAll(',', ';'))).toThrow(/separated by semicolons/);
    expect(() => price(`${header}\n${conv}\n`.replaceAll(',', '\t'))).toThrow(/separated by tabs/);
  });

  it('reads types in any case and leaves their cells as they were', () => {
    const text = [header, conv, conv.replace('Conv', 'cONV'), conv.replace('Conv', 'SHIFT')].join('\n');
    const { rows, badRows, csv } = estimateCsv(text, { profile: 'fair' });
    expect(badRows).toEqual([]);
    expect(rows.map(({ cost }) => cost.primitive)).toEqual(['multiply', 'multiply', 'shift']);
    expect(rows[1]!.cost.energyMj).toBe(rows[0]!.cost.energyMj);
    expect(table(csv).map((row) => row.get('type'))).toEqual(['Conv', 'cONV', 'SHIFT']);
  });

  it('reads the light branches of the translation tables, and says so when a block is none', () => {
    const row = 'N,1,1,256,1,256,1,1,1'.replace('N', '30');
    const text = [
      `block,${header}`,
      `add,Shift,${row}`,
      `shiftadd,Shift,${row}`,
      `conv,Conv,32,30,1,8,3,8,30,1,1`,
      `shiftadd,Conv,32,30,1,8,3,8,30,1,1`,
      `-,FC,${row}`,
      `stage2,Shift,${row}`,
    ].join('\n');
    const { rows, notices } = estimateCsv(text, { profile: 'paper-nlp-aug' });
    expect(rows.map(({ layer }) => [layer.primitive, layer.role])).toEqual([
      ['multiply', 'lightLinear'],
      ['shift', 'lightLinear'],
      ['multiply', 'lightKernel'],
      ['add', 'lightKernel'],
      ['multiply', undefined],
      ['shift', undefined],
    ]);
    expect(notices).toEqual([
      {
        message: expect.stringMatching(
          /block 'stage2' is none of conv, add, shiftadd, -; priced by its type alone/,
        ),
        lines: [7],
      },
    ]);
  });

  it('lists rows whose output map is impossible', () => {
    const text = [header, 'Conv,1,28,28,8,3,8,99,99,1', 'Conv,1,28,28,8,3,8,30,30,1'].join('\n');
    const { rows, badRows } = estimateCsv(text, { profile: 'fair' });
    expect(rows.map(({ line }) => line)).toEqual([3]);
    expect(badRows).toHaveLength(1);
    expect(badRows[0]!.message).toMatch(/outHeight \(99\) is larger than any padding could make it/);
  });
});
