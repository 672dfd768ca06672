import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { arithmeticPrimitives } from '../../hardware/layer.js';
import { operationKey, OperationKind } from '../../hardware/measured/operation.js';
import {
  emptyTable,
  latencyOfRow,
  writeLatencyTable,
  type MeasuredRow,
} from '../../hardware/measured/table.js';
import { loadProfile } from '../../hardware/profile.js';
import { familyNamed } from '../../operators/registry.js';
import { nearestReachable } from '../../search/nearest.js';
import { planLayers } from '../../spaces/layers.js';
import { createMiniSpace } from '../../spaces/mini/space.js';
import { operationsOf } from '../../spaces/operations.js';
import { loadLatencies } from './latency-table.js';
import { measuredMachine, measureNetworks, measureOperations } from './measure-latency.js';
import { architectureOperations, shapesAround, spaceOperations } from './measured-shapes.js';
import { costsOf, rememberedCosts } from '../models/network-costs.js';

const home = mkdtempSync(join(tmpdir(), 'measure-'));
afterAll(() => rmSync(home, { recursive: true }));

const space = createMiniSpace({
  ...{ input: { height: 16, width: 16, channels: 3 }, classes: 4 },
  ...{ stemChannels: 8, stageChannels: [8, 16], blocksPerStage: [2, 1] },
});
const quick = { passes: 2, rounds: 3, warmUpRounds: 1 };

describe('the operations of a network', () => {
  it('are its layers, a join for each block, and the pooling', () => {
    const architecture = space.architecture(space.sample(Random.stream('operations')));
    const names = operationsOf(architecture, familyNamed).map(({ name }) => name);
    const blocks = architecture.blocks.filter(({ family }) => family !== undefined);
    expect(names).toEqual([
      ...planLayers(architecture).map(({ name }) => name),
      ...blocks.map(({ name }) => `${name}.join`),
      'pool',
    ]);
  });

  it('of a space are all that any of its networks has', () => {
    const all = new Set(spaceOperations(space).map(operationKey));
    const random = Random.stream('all operations');
    for (let i = 0; i < 50; i++)
      for (const operation of architectureOperations(space.architecture(space.sample(random))))
        expect(all.has(operationKey(operation))).toBe(true);
  });

  it('have each primitive of arithmetic, for which a kernel is timed', () => {
    const primitives = new Set(arithmeticPrimitives);
    const timed = spaceOperations(space).flatMap((each) =>
      each.kind === OperationKind.Layer ? [each.primitive] : [],
    );
    expect(new Set(timed)).toEqual(primitives);
  });

  it('are sampled around, new, each once, the same for the same seed', () => {
    const operations = spaceOperations(space);
    const sample = shapesAround(operations, 60, 1);
    const keys = new Set([...operations, ...sample].map(operationKey));
    expect(keys.size).toBe(operations.length + 60);
    expect(shapesAround(operations, 60, 1)).toEqual(sample);
    expect(shapesAround(operations, 80, 1).slice(0, 60)).toEqual(sample);
    expect(shapesAround(operations, 60, 2)).not.toEqual(sample);
    for (const operation of sample)
      if (operation.kind === OperationKind.Layer) {
        expect(operation.inHeight).toBeGreaterThanOrEqual(8);
        expect(operation.inHeight).toBeLessThanOrEqual(16);
        expect(operation.outHeight).toBe(Math.ceil(operation.inHeight / operation.stride));
      }
  });
});

describe('measuring', () => {
  const operations = spaceOperations(space);

  it('times every operation in every pass, on whatever device there is', async () => {
    const progress: number[] = [];
    const rows = await measureOperations(operations, 1, {
      ...quick,
      onProgress: (done, total) => progress.push(done / total),
    });
    expect(rows.map(({ operation }) => operationKey(operation)).sort()).toEqual(
      operations.map(operationKey).sort(),
    );
    for (const row of rows) {
      expect(row.passes).toHaveLength(2);
      expect(latencyOfRow(row)).toBeGreaterThan(0);
    }
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.at(-1)).toBe(1);
    expect(measuredMachine()).toMatchObject({
      threads: expect.any(Number) as number,
      engine: expect.any(String) as string,
    });
  });

  it('keeps what it has when it is stopped, and goes on from there', async () => {
    let saved: readonly MeasuredRow[] = [];
    const options = { ...quick, groupSize: 4, onRows: (rows: readonly MeasuredRow[]) => void (saved = rows) };
    const stopped = await measureOperations(operations, 1, {
      ...options,
      interrupted: () => saved.length >= 8,
    });
    expect(stopped).toHaveLength(8);
    const whole = await measureOperations(operations, 1, { ...options, known: saved });
    expect(whole).toHaveLength(operations.length);
    expect(whole.every(({ passes }) => passes.length === 2)).toBe(true);
    // What was timed before is kept to the bit.
    for (const row of stopped)
      expect(whole.find(({ operation }) => operation === row.operation)!.passes[0]).toEqual(row.passes[0]);
    let called = false;
    expect(
      await measureOperations(operations, 1, { ...options, known: whole, onRows: () => (called = true) }),
    ).toEqual(whole);
    expect(called).toBe(false);
  });

  it('gives a table that budgets are decided by exactly', async () => {
    const path = join(home, 'table.json');
    const rows = await measureOperations(operations, 1, quick);
    writeLatencyTable(path, { ...emptyTable(measuredMachine()), rows });
    const { networkMs, of } = loadLatencies(path);
    const profile = loadProfile('fair');
    const architecture = space.architecture(space.sample(Random.stream('network')));
    const sum = operationsOf(architecture, familyNamed).reduce(
      (total, { operation }) => total + of(operation).latencyMs,
      0,
    );
    expect(networkMs(architecture)).toBe(sum);
    expect(costsOf(architecture, profile, networkMs)).toEqual({
      ...costsOf(architecture, profile),
      latencyMs: sum,
    });
    const costOf = rememberedCosts(space, profile, networkMs);
    const nearest = nearestReachable(space, costOf, { latencyMs: 1e-9 });
    expect(nearest).toMatchObject({ feasible: false, proven: true });
    expect(nearestReachable(space, costOf, { latencyMs: nearest.costs.latencyMs })).toMatchObject({
      feasible: true,
    });
    const [whole] = await measureNetworks([architecture], 1, quick);
    expect(whole).toBeGreaterThan(0);
  });
});
