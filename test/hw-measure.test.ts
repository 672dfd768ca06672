/**
 * @file `shiftaddnas hw measure`, and what uses its table, through the real program.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sumWarnings } from '../src/cli/commands/hw/measure.js';
import { operationKey } from '../src/hardware/measured/operation.js';
import { readLatencyTable } from '../src/hardware/measured/table.js';
import { loadLatencies } from '../src/pipeline/latency/latency-table.js';
import { resnetArchitecture } from '../src/spaces/resnet.js';
import {
  readEvents,
  readResult,
  shiftaddnas,
  start,
  temporaryFolder,
  toyClasses,
  toyConfig,
  toySide,
  writeConfig,
  writeToyIdx,
  type Finished,
} from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);

const table = join(home, 'table.json');
const architecture = join(home, 'resnet8.json');
const input = { height: 16, width: 16, channels: 3 };
writeFileSync(
  architecture,
  JSON.stringify(resnetArchitecture({ depth: 8, family: 'add', input, classes: 10 })),
);
const data = writeToyIdx(join(home, 'data'));
const config = writeConfig(join(home, 'toy.yaml'), toyConfig(data, join(home, 'runs')));
const space = ['--config', config, '--input', `${toySide}x${toySide}x1`, '--classes', String(toyClasses)];
const quick = ['--passes', '2', '--rounds', '4', '--threads', '1'];

const hw = (...args: readonly string[]): ReturnType<typeof shiftaddnas> =>
  shiftaddnas(['hw', ...args], { cwd: home });

async function mistake(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await shiftaddnas(args, { cwd: home });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr.slice('error: '.length).trimEnd();
}

let measured: Finished;
let foreign: string;
beforeAll(async () => {
  measured = await hw('measure', ...space, ...quick, '--sample', '30', '--out', table);
  foreign = join(home, 'foreign.json');
  writeFileSync(foreign, readFileSync(table, 'utf8').replace(/"cpu":"[^"]*"/, '"cpu":"Another 9000"'));
});

describe('hw measure', () => {
  it('warns of networks that their operations do not add up to', () => {
    const check = (network: string, sumMs: number) => ({ network, sumMs, measuredMs: 2 });
    expect(sumWarnings([check('near', 2.5), check('nearer', 1.5)])).toEqual([]);
    expect(sumWarnings([check('far', 2.6), check('below', 1.2)])).toEqual([
      expect.stringMatching(/^far: the sum of its operations is off by \+30\.0 %; .*--fresh$/),
      expect.stringMatching(/^below: .* off by -40\.0 %/),
    ]);
  });

  it('writes a table and prints the errors of both predictors and the check on whole networks', () => {
    expect(measured.code).toBe(0);
    const { rows, machine } = readLatencyTable(table);
    expect(machine.threads).toBe(1);
    expect(rows.every(({ passes }) => passes.length === 2)).toBe(true);
    expect(measured.stdout).toContain(`${rows.length} operations timed on ${machine.cpu}`);
    for (const kind of ['linear', 'mlp'])
      expect(measured.stdout).toMatch(new RegExp(`│ ${kind} +│ +\\d+ │ +[\\d.]+ %`));
    for (const family of ['conv', 'pot.q', 'add'])
      expect(measured.stdout).toMatch(
        new RegExp(
          `│ all ${family.replace('.', '\\.')} +│ +[\\d.]+ │ +[\\d.]+ │ +[\\d.]+ │ +[+-][\\d.]+ % │ +[+-][\\d.]+ %`,
        ),
      );
    expect(measured.stdout).toMatch(/measuring +100 %/);
  });

  it('keeps what is timed, and begins anew only when asked to', async () => {
    const before = readFileSync(table, 'utf8');
    const again = await hw('measure', ...space, ...quick, '--sample', '30', '--out', table, '--json');
    expect(again).toMatchObject({ code: 0 });
    expect(readFileSync(table, 'utf8')).toBe(before);
    const found = JSON.parse(again.stdout) as {
      operations: number;
      heldOut: Record<string, { count: number }>;
    };
    expect(found.operations).toBe(readLatencyTable(table).rows.length);
    expect(found.heldOut['mlp']!.count).toBe(found.heldOut['linear']!.count);
    const fresh = join(home, 'fresh.json');
    writeFileSync(fresh, before);
    await hw('measure', ...space, ...quick, '--sample', '0', '--out', fresh, '--fresh', '--quiet');
    expect(readLatencyTable(fresh).rows.length).toBe(readLatencyTable(table).rows.length - 30);
  });

  it('keeps whole groups when it is stopped, says so, and goes on', async () => {
    const out = join(home, 'stopped.json');
    const args = ['hw', 'measure', '--rounds', '400', '--passes', '2', '--threads', '1', '--out', out];
    const { child, finished } = start(args, { cwd: home });
    for (let i = 0; i < 600 && (!existsSync(out) || readLatencyTable(out).rows.length === 0); i++)
      await new Promise((done) => setTimeout(done, 50));
    child.kill('SIGINT');
    const { code, stderr } = await finished;
    expect(code).toBe(130);
    const kept = readLatencyTable(out).rows;
    expect(kept.length).toBeGreaterThan(0);
    expect(stderr).toContain(
      `stopped, ${kept.length} operations are kept in ${out}; go on with: shiftaddnas ${args.join(' ')}`,
    );
    const { code: after } = await hw('measure', ...quick, '--sample', '0', '--out', out, '--quiet');
    expect(after).toBe(0);
    const rows = new Map(readLatencyTable(out).rows.map((row) => [operationKey(row.operation), row]));
    for (const row of kept) expect(rows.get(operationKey(row.operation))!.passes[0]).toEqual(row.passes[0]);
  });

  it('times an architecture, on another device, and says that this one is slow', async () => {
    const out = join(home, 'wasm.json');
    const { code, stdout, stderr } = await hw(
      ...['measure', '--architecture', architecture, '--device', 'wasm', '--sample', '0', '--out', out],
      ...['--passes', '1', '--rounds', '2'],
    );
    expect(code).toBe(0);
    expect(stderr).toContain('WebAssembly device');
    expect(readLatencyTable(out).machine.device).toBe('wasm');
    expect(stdout).toContain('too few layers to judge predictors by; time more with --sample');
    expect(stdout).toMatch(/│ all add +│/);
  });

  it('refuses what it cannot use in one line', async () => {
    expect(await mistake('hw', 'measure', '--input', '32x32')).toMatch(/give HEIGHTxWIDTHxCHANNELS/);
    expect(await mistake('hw', 'measure', '--input', '8x8x3')).toMatch(/mini space: input/);
    expect(await mistake('hw', 'measure', '--families', 'conv,xor')).toMatch(/unknown operator family 'xor'/);
    expect(await mistake('hw', 'measure', '--preset', 'none')).toMatch(/unknown preset/);
    expect(await mistake('hw', 'measure', '--architecture', architecture, '--families', 'conv')).toMatch(
      /--families is of a search space, which --architecture replaces/,
    );
    expect(await mistake('hw', 'measure', '--architecture', architecture, '--out', architecture)).toMatch(
      /would overwrite its input/,
    );
    expect(await mistake('hw', 'measure', '--device', 'gpu')).toMatch(
      /Allowed choices are native, wasm, reference/,
    );
    expect(await mistake('hw', 'measure', '--passes', '0')).toMatch(/at least 1/);
    expect(await mistake('hw', 'measure', ...space, '--out', foreign)).toMatch(
      /measured elsewhere or otherwise \(processor 'Another 9000', here .*\); name another file, or begin anew with --fresh/,
    );
    expect(await mistake('hw', 'measure', ...space, '--threads', '1', '--out', config)).toMatch(
      /not a latency table of shiftaddnas/,
    );
  });
});

describe('hw estimate --latency-table', () => {
  const estimate = (...args: readonly string[]) => hw('estimate', architecture, '--latency-table', ...args);

  it('adds latencies layer by layer, predicted ones marked, as table, JSON and CSV', async () => {
    const csv = join(home, 'priced.csv');
    const { code, stdout } = await estimate(table, '--json', '--csv', csv);
    expect(code).toBe(0);
    const { measured: on, layers } = JSON.parse(stdout) as {
      layers: { name: string }[];
      measured: {
        layers: { name: string; latencyMs: number; predicted: boolean }[];
        others: { name: string }[];
      };
    };
    expect(on.layers.map(({ name }) => name)).toEqual(layers.map(({ name }) => name));
    expect(on.others.map(({ name }) => name)).toContain('pool');
    expect(on.layers.every(({ latencyMs }) => latencyMs > 0)).toBe(true);
    // The space of the table is another one.
    expect(on.layers.some(({ predicted }) => predicted)).toBe(true);
    const lines = readFileSync(csv, 'utf8').trimEnd().split('\n');
    expect(lines[0]).toMatch(/profile,machine_latency_ms,machine_latency_is$/);
    expect(lines[1]).toMatch(/fair,[\d.e-]+,(measured|predicted)$/);
    const text = await estimate(table, '--predictor', 'mlp');
    expect(text.stdout).toMatch(/joins and pooling .*\n.*total +│ +[\d.]+ │ +\d+ predicted/);
    expect(text.stdout).toMatch(/measured on .*, 1 thread, shiftaddnas/);
  });

  it('refuses a table of another machine unless told otherwise', async () => {
    expect(await mistake('hw', 'estimate', architecture, '--latency-table', foreign)).toMatch(
      /measured elsewhere \(processor 'Another 9000', here '.*'\); measure here with hw measure, or use it all the same with --foreign-table$/,
    );
    expect(await estimate(foreign, '--foreign-table')).toMatchObject({ code: 0, stderr: '' });
    expect(await mistake('hw', 'estimate', architecture, '--latency-table', join(home, 'no.json'))).toMatch(
      /no such file/,
    );
    expect(await mistake('hw', 'estimate', architecture, '--predictor', 'mlp')).toMatch(
      /--predictor goes with --latency-table FILE$/,
    );
    expect(await mistake('hw', 'estimate', architecture, '--foreign-table')).toMatch(
      /goes with --latency-table/,
    );
    expect(await mistake('hw', 'estimate', architecture, '--predictor', 'oracle')).toMatch(
      /Allowed choices are linear, mlp/,
    );
    expect(await mistake('hw', 'estimate', architecture, '--latency-table', table, '--csv', table)).toMatch(
      /would overwrite its input/,
    );
  });
});

describe('search --latency-table', () => {
  const flags = ['search', '--config', config, '--budget', 'latency=95%,sram=90%'];

  it('keeps a budget of measured latency and of memory, and reports both', async () => {
    const run = join(home, 'runs', 'measured');
    const { code, stdout, stderr } = await shiftaddnas([
      ...flags,
      '--name',
      'measured',
      '--latency-table',
      table,
    ]);
    expect({
      code,
      stderr: stderr
        .split('\n')
        .filter((line) => !line.startsWith('notice:'))
        .join(''),
    }).toEqual({
      code: 0,
      stderr: '',
    });
    expect(stdout).toContain('latencies measured on');
    expect(stdout).toMatch(/SRAM +│ +flash/);
    const { networks, budget, latencyTable } = readResult(run);
    expect(latencyTable!.file).toBe(table);
    const { networkMs } = loadLatencies(table);
    for (const network of networks) expect(network.tableLatencyMs).toBe(networkMs(network.architecture));
    const [latency, sram] = budget;
    expect([latency!.quantity, sram!.quantity]).toEqual(['latencyMs', 'sramBytes']);
    expect(networks[0]!.withinBudget).toBe(true);
    for (const event of readEvents(run))
      if (event.type === 'candidate') {
        expect(event.latencyMs).toBeLessThanOrEqual(latency!.limit);
        expect(event.sramBytes).toBeLessThanOrEqual(sram!.limit);
      }
    const page = readFileSync(join(run, 'report.html'), 'utf8');
    expect(page).toContain('Latencies of the budget are those measured on');
    expect(page).toContain('SRAM ≤');
  });

  it('refuses tables it cannot use, and says what a latency must be at least', async () => {
    const never = (...args: readonly string[]): Promise<string> =>
      mistake(...flags, '--name', 'never', ...args);
    expect(await never('--latency-table', foreign)).toMatch(
      /measured elsewhere .* with --foreign-latency-table$/,
    );
    expect(await never('--latency-table', join(home, 'no.json'))).toMatch(/no such file/);
    expect(await never('--latency-predictor', 'mlp')).toMatch(/go with a latencyTable/);
    expect(await never('--latency-predictor', 'oracle')).toMatch(/Allowed choices are linear, mlp/);
    expect(existsSync(join(home, 'runs', 'never'))).toBe(false);
  });
});
