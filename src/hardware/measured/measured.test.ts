import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Primitive } from '../layer.js';
import { classOf } from './features.js';
import { linearLaw, rowOf, toyLayer, toyLayers } from './measured.cases.js';
import { operationKey, OperationKind, type Operation } from './operation.js';
import { fitLinear, heldOutErrors, latencyLookup } from './predictor.js';
import { predictionErrors } from './statistics.js';
import {
  emptyTable,
  latencyOfRow,
  machineDifferences,
  readLatencyTable,
  requireSameMachine,
  spreadOfRow,
  writeLatencyTable,
  type MeasuredMachine,
} from './table.js';

const home = mkdtempSync(join(tmpdir(), 'measured-'));
afterAll(() => rmSync(home, { recursive: true }));

const machine: MeasuredMachine = { cpu: 'A', isa: 'avx2', threads: 2, device: 'native', engine: '1' };
const join8: Operation = { kind: OperationKind.Join, batch: 1, height: 8, width: 8, channels: 8 };

describe('prediction errors', () => {
  it('are those of the textbook', () => {
    expect(predictionErrors([1.1, 1.6], [1, 2])).toMatchObject({ count: 2, rankCorrelation: 1 });
    expect(predictionErrors([1.1, 1.6], [1, 2]).meanRelative).toBeCloseTo(0.15, 12);
    expect(predictionErrors([1.1, 1.6], [1, 2]).medianRelative).toBeCloseTo(0.15, 12);
  });
});

describe('the linear predictor', () => {
  const rows = toyLayers(240, 1).map((layer) => rowOf(layer, linearLaw(layer)));

  it('follows a law that is linear in the counts, for layers it has not seen', () => {
    const { predictMs } = fitLinear(rows);
    for (const layer of toyLayers(60, 2)) {
      const fastest = Math.min(
        ...rows.filter(({ operation }) => classOf(operation) === layer.primitive).map(latencyOfRow),
      );
      expect(predictMs(layer) / Math.max(fastest, linearLaw(layer))).toBeCloseTo(1, 2);
    }
    const errors = heldOutErrors(rows, fitLinear, 1)!;
    expect(errors.count).toBe(240);
    expect(errors.meanRelative).toBeLessThan(0.005);
    expect(errors.rankCorrelation).toBeGreaterThan(0.9999);
  });

  it('is judged on rows it has not seen: noise that nothing explains stays in the errors', () => {
    const noisy = rows.map((row, at) => rowOf(row.operation, latencyOfRow(row) * (at % 2 === 0 ? 0.8 : 1.2)));
    const errors = heldOutErrors(noisy, fitLinear, 1)!;
    expect(errors.meanRelative).toBeGreaterThan(0.15);
    expect(heldOutErrors(noisy, fitLinear, 1)).toEqual(errors);
    expect(heldOutErrors(noisy, fitLinear, 2)).not.toEqual(errors);
    expect(heldOutErrors(rows.slice(0, 19), fitLinear, 1)).toBeUndefined();
  });

  it('never says less than the fastest of its class, and says when it knows nothing of a class', () => {
    const { predictMs } = fitLinear(rows);
    const least = Math.min(
      ...rows
        .filter(
          ({ operation }) => operation.kind === OperationKind.Layer && operation.primitive === Primitive.Add,
        )
        .map(latencyOfRow),
    );
    const tiny = toyLayer({
      primitive: Primitive.Add,
      inHeight: 1,
      outHeight: 1,
      inWidth: 1,
      outWidth: 1,
      inChannels: 1,
      outChannels: 1,
      kernel: 1,
    });
    expect(predictMs(tiny)).toBe(least);
    expect(() => predictMs(join8)).toThrow(/no row for 'join 1x8x8x8' and too few like it/);
  });

  it('makes do with few rows of a class', () => {
    const one = fitLinear([rowOf(join8, 0.01)]);
    expect(one.predictMs({ ...join8, height: 16 })).toBeCloseTo(0.01, 4);
    const some = fitLinear([4, 8, 16, 32].map((height) => rowOf({ ...join8, height }, 0.001 * height)));
    expect(some.predictMs({ ...join8, height: 24 })).toBeCloseTo(0.024, 4);
  });
});

describe('a lookup', () => {
  it('takes what was measured and marks what is predicted', () => {
    const layers = toyLayers(40, 3);
    const rows = layers.map((layer) => rowOf(layer, 7));
    const of = latencyLookup(rows, { predictMs: () => 5 });
    expect(of(layers[3]!)).toEqual({ latencyMs: 7, predicted: false });
    expect(of({ ...layers[3]!, inChannels: 999 })).toEqual({ latencyMs: 5, predicted: true });
  });

  it('tells operations of different shape apart, and not of different place', () => {
    const layers = toyLayers(200, 4);
    expect(new Set(layers.map(operationKey)).size).toBe(200);
    expect(operationKey(toyLayer())).toBe('multiply 3x3 1x8x8x8 -> 8x8x8 /1');
    expect(operationKey(toyLayer({ groups: 2 }))).not.toBe(operationKey(toyLayer()));
    expect(operationKey(join8)).not.toBe(operationKey({ ...join8, kind: OperationKind.Pool }));
  });
});

describe('a table', () => {
  const path = join(home, 'table.json');
  const table = {
    ...emptyTable(machine),
    rows: [...toyLayers(5, 5).map((layer) => rowOf(layer, linearLaw(layer))), rowOf(join8, 0.003)],
  };

  it('comes back from its file as it was', () => {
    writeLatencyTable(path, table);
    expect(readLatencyTable(path)).toEqual(table);
    writeLatencyTable(path, emptyTable(machine));
    expect(readLatencyTable(path).rows).toEqual([]);
  });

  it('stands for an operation by the median of its passes', () => {
    const pass = (medianMs: number, spreadMs: number) => ({ medianMs, spreadMs });
    const row = { operation: join8, passes: [pass(1, 0.1), pass(9, 5), pass(1.2, 0.3)] };
    expect(latencyOfRow(row)).toBe(1.2);
    expect(spreadOfRow(row)).toBe(0.3);
  });

  it('is refused when it is damaged, in one line', () => {
    writeLatencyTable(path, table);
    const text = readFileSync(path, 'utf8');
    const reading = (changed: string) => () => {
      writeFileSync(path, changed);
      return readLatencyTable(path);
    };
    expect(reading('{}')).toThrow(
      /^[^\n]*not a latency table of shiftaddnas; make one with: shiftaddnas hw measure$/,
    );
    expect(reading(text.slice(0, -20))).toThrow(/not readable as JSON/);
    expect(reading(text.replace('"threads":2', '"threads":0'))).toThrow(/machine\.threads/);
    expect(reading(text.replace('"version":1', '"version":2'))).toThrow(/version/);
    expect(reading(text.replace('"rows":[', `"rows":[${JSON.stringify(table.rows[0])},`))).toThrow(
      /stands in it twice/,
    );
    expect(() => readLatencyTable(join(home, 'none.json'))).toThrow(/no such file/);
  });

  it('holds for its processor and version, with any settings, and names what differs', () => {
    const use = (here: Partial<MeasuredMachine>) => () =>
      requireSameMachine(table, { ...machine, ...here }, 't.json', '--foreign-table');
    expect(use({})).not.toThrow();
    expect(use({ threads: 1, device: 'wasm', isa: 'simd128' })).not.toThrow();
    expect(use({ cpu: 'B' })).toThrow(
      "t.json: measured elsewhere (processor 'A', here 'B'); measure here with hw measure, or use it all the same with --foreign-table",
    );
    expect(use({ cpu: 'B', engine: '2' })).toThrow(
      /processor 'A', here 'B'; version of shiftaddnas '1', here '2'/,
    );
    expect(machineDifferences(machine, { ...machine, threads: 1 })).toEqual([
      "number of threads '2', here '1'",
    ]);
  });
});
