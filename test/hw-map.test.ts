/**
 * @file `shiftaddnas hw validate`, `map`, `chunks`, `systolic`, `machines` through the real program.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { validationReport } from '../src/cli/commands/hw/validate.js';
import { parseCsv } from '../src/hardware/csv-text.js';
import type { ChunkDivision, MappingCost, MappingSearch } from '../src/hardware/index.js';
import { encodeOnnx } from '../src/nn/onnx/encode.js';
import { OnnxGraph } from '../src/nn/onnx/graph.js';
import { shiftaddnas, temporaryFolder } from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);

const run = (...args: readonly string[]): ReturnType<typeof shiftaddnas> => shiftaddnas(['hw', ...args]);

async function mistake(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr.slice('error: '.length).trimEnd();
}

const table = join(home, 'layers.csv');
writeFileSync(
  table,
  [
    'name,type,N,H,W,C,R,M,E,F,stride',
    'stem,Conv,1,16,16,3,3,16,16,16,1',
    'one,Shift,1,16,16,16,3,16,16,16,1',
    'two,Add,1,16,16,16,3,32,8,8,2',
    'head,FC,1,1,1,32,1,10,1,1,1',
  ].join('\n'),
);

describe('hw validate', () => {
  it('prints a group of figures within their bounds and exits with 0', async () => {
    const { code, stdout, stderr } = await run('validate', '--only', 'scale-sim');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /AlexNet conv1, 32x32 weight stationary: cycles +│ +112283 │ +112283 │ cycles │ +0 │ +exact │ yes/,
    );
    expect(stdout).toContain('8 of 8 figures within their bounds, 0 shown without one');
  });

  it('prints JSON, single figures and notes', async () => {
    const json = await run('validate', '--only', 'chip-predictor', '--json');
    const { anchors, within, broken } = JSON.parse(json.stdout) as {
      anchors: { group: string; ok: boolean; ours: number }[];
      within: number;
      broken: number;
    };
    expect({ within, broken }).toEqual({ within: anchors.length, broken: 0 });
    expect(anchors.every(({ group, ok }) => group === 'chip-predictor' && ok)).toBe(true);
    expect(await mistake('validate', '--only', 'nothing-of-the-kind')).toMatch(
      /^--only nothing-of-the-kind: no group and no figure is called so; the groups are /,
    );
  });

  it('reports figures outside their bounds', () => {
    const figure = { source: 'a paper', unit: 'ms', published: 10 };
    const group = {
      name: 'mine',
      remarks: ['a remark'],
      anchors: () => [
        { ...figure, name: 'near', ours: 10.5, bound: 0.1 },
        { ...figure, name: 'far', ours: 12, bound: 0.1 },
        { ...figure, name: 'unclaimed', ours: 99, note: 'only shown' },
      ],
    };
    const report = validationReport([group], undefined);
    expect(report.broken).toEqual(['outside its bound: far (a paper)']);
    expect(report.summary).toBe('1 of 2 figures within their bounds, 1 shown without one');
    expect(report.notes).toEqual(['unclaimed: only shown']);
    expect(report.lines[0]).toMatch(/far +│ +12 │ +10 │ +ms │ +20\.00 % │ +10\.00 % │ +NO/);
    expect(report.lines[1]).toBe('mine: a remark');
    expect(validationReport([group], 'near').broken).toEqual([]);
  });
});

describe('hw map', () => {
  it('finds loops for a layer, and evaluates them again', async () => {
    const layer = ['--layer', 'type=Conv,C=16,H=8,M=16,R=3', '--bits', '8'];
    const { code, stdout, stderr } = await run('map', ...layer, '--tries', '300');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^type=Conv,C=16,H=8,M=16,R=3 on edge-row-stationary:\n {2}[a-z_]+: [A-Z]\d/);
    expect(stdout).toMatch(/energy [\d.]+ uJ, [\d.]+ pJ per operation, 147 k operations/);
    expect(stdout).toMatch(
      /least energy-delay of \d+ mappings examined: \d+ refused for lack of room before counting/,
    );
    const json = await run('map', ...layer, '--tries', '300', '--json');
    const found = JSON.parse(json.stdout) as MappingSearch;
    const given = await run('map', ...layer, '--mapping', found.cost.mappingText, '--json');
    expect(JSON.parse(given.stdout)).toEqual(found.cost);
  });

  it('maps a table, names layers that do not fit, and exits with 2 for them', async () => {
    const { code, stdout, stderr } = await run('map', '--layers', table, '--tries', '100', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { layers, latencyMs } = JSON.parse(stdout) as { layers: MappingSearch[]; latencyMs: number };
    expect(layers.map(({ cost }) => cost.layer)).toEqual(['stem', 'one', 'two', 'head']);
    expect(latencyMs).toBeCloseTo(
      layers.reduce((sum, { cost }) => sum + cost.latencyMs, 0),
      12,
    );
    const onChip = await run('map', '--layers', table, '--tries', '100', '--machine', 'eyeriss-chip');
    expect(onChip.code).toBe(2);
    expect(onChip.stderr.trimEnd().split('\n')).toEqual([
      `error: ${table}:3: layer 'one': machine 'eyeriss-chip' has no units that shift; it has multiply (arithmetic.operations)`,
      `error: ${table}:4: layer 'two': machine 'eyeriss-chip' has no units that add; it has multiply (arithmetic.operations)`,
    ]);
    expect(onChip.stdout).toContain('head');
  });

  it('writes its figures as CSV, and never over the table', async () => {
    const csv = join(home, 'mapped.csv');
    const { code, stdout } = await run('map', '--layers', table, '--tries', '50', '--csv', csv, '--json');
    expect(code).toBe(0);
    const { layers } = JSON.parse(stdout) as { layers: MappingSearch[] };
    const [head, ...rows] = parseCsv(readFileSync(csv, 'utf8')).map((record) =>
      'cells' in record ? record.cells : [],
    );
    const levels = layers[0]!.cost.levels.map(({ name }) => `${name}_mJ`);
    expect(head).toEqual([
      ...['name', 'operations', 'energy_mJ', 'latency_ms', 'cycles', 'utilisation', 'bound_by'],
      ...['arithmetic_mJ', ...levels, 'static_mJ', 'loops', 'machine'],
    ]);
    expect(rows.map(([name]) => name)).toEqual(['stem', 'one', 'two', 'head']);
    rows.forEach((row, at) => {
      const cells = row.map(Number);
      const parts = cells.slice(7, 7 + levels.length + 2).reduce((sum, part) => sum + part, 0);
      expect(parts / cells[2]!).toBeCloseTo(1, 6);
      expect(cells[2]! / (layers[at]!.cost.energyPj / 1e9)).toBeCloseTo(1, 8);
    });
    expect(await mistake('map', '--layers', table, '--csv', table)).toBe(
      `--csv ${table} would overwrite its input ${table}; name another file`,
    );
  });

  it('takes the widths of a table, and --bits instead of them', async () => {
    const rows = ['type,N,H,W,C,R,M,E,F,stride,bits', 'Conv,1,8,8,4,3,4,8,8,1,8', 'Conv,1,8,8,4,3,4,8,8,1,0'];
    const path = join(home, 'widths.csv');
    writeFileSync(path, rows.slice(0, 2).join('\n'));
    const map = async (file: string, ...flags: readonly string[]): Promise<number> => {
      const { stdout } = await run('map', '--layers', file, '--tries', '60', '--json', ...flags);
      return (JSON.parse(stdout) as { energyMj: number }).energyMj;
    };
    const [own, at8, at32] = [
      await map(path),
      await map(path, '--bits', '8'),
      await map(path, '--bits', '32'),
    ];
    expect(own).toBe(at8);
    expect(own).toBeLessThan(at32);
    writeFileSync(path, rows.join('\n'));
    const broken = await run('map', '--layers', path, '--tries', '60');
    expect(broken.code).toBe(2);
    expect(broken.stderr).toBe(`error: ${path}:3: bits must be an integer from 1 to 64, got '0'\n`);
  });

  it('takes an architecture and another dataflow', async () => {
    const folder = join(home, 'model');
    mkdirSync(folder);
    const map = { inHeight: 8, inWidth: 8, inChannels: 4, midChannels: 4, outChannels: 4, stride: 1 };
    writeFileSync(
      join(folder, 'architecture.json'),
      JSON.stringify({
        format: 'shiftaddnas-architecture',
        version: 1,
        space: 'mini',
        genome: null,
        input: { height: 8, width: 8, channels: 1 },
        classes: 3,
        stem: { channels: 4, stride: 1 },
        blocks: [{ name: 'stage0.block0', stage: 0, kind: 'residual', family: 'add', ...map }],
      }),
    );
    const { code, stdout } = await run(
      'map',
      '--architecture',
      folder,
      '--dataflow',
      'output',
      '--tries',
      '50',
      '--json',
    );
    expect(code).toBe(0);
    const { machine, layers } = JSON.parse(stdout) as { machine: string; layers: { cost: MappingCost }[] };
    expect(machine).toBe('edge-row-stationary (output stationary)');
    expect(layers).toHaveLength(4);
  });

  it('maps the layers of an ONNX file and names what it leaves out', async () => {
    const graph = new OnnxGraph('small');
    const x = graph.input('x', ['batch', 2, 'height', 'width']);
    const filter = graph.initializer('w', [4, 2, 3, 3], new Float32Array(72).fill(0.3));
    const y = graph.node('Conv', [x, filter], {}, { name: 'conv' });
    graph.output(graph.node('NonZero', [y], {}, { name: 'odd' }));
    const path = join(home, 'small.onnx');
    writeFileSync(path, encodeOnnx(graph));
    const { code, stdout, stderr } = await run('map', '--onnx', path, '--input', 'x=1x2x8x8', '--json');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `notice: left out: ${path}: NonZero 'odd': no price for this operator\n`,
    });
    expect(JSON.parse(stdout)).toMatchObject({
      operations: 72 * 36,
      layers: [{ cost: { layer: 'conv' } }],
      refused: [],
    });
    expect(await mistake('map', '--onnx', path)).toContain('give its size, for example --input x=');
  });

  it('says what layers of an ONNX file its totals lack, and exits with 2', async () => {
    const graph = new OnnxGraph('partly');
    const x = graph.input('x', [1, 2, 8, 8]);
    const filter = graph.initializer('w', [2, 2, 3, 3], new Float32Array(36).fill(0.3));
    const y = graph.node('Conv', [x, filter], {}, { name: 'conv' });
    graph.output(graph.node('ConvTranspose', [y, filter], {}, { name: 'up' }));
    const path = join(home, 'partly.onnx');
    writeFileSync(path, encodeOnnx(graph));
    const { code, stdout, stderr } = await run('map', '--onnx', path, '--tries', '50');
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `error: ${path}: not priced: ConvTranspose 'up': no price for this operator\n`,
    });
    expect(stdout).toContain('total without 1 layer');
    expect(await mistake('chunks', '--onnx', path, '--area', '1')).toContain("ConvTranspose 'up'");
    expect(await mistake('map', '--layers', table, '--input', 'x=1x1')).toBe(
      '--input goes with --onnx FILE.onnx',
    );
  });

  it('answers mistakes with one line', async () => {
    expect(await mistake('map')).toBe(
      'hw map needs one of --layer TEXT, --layers FILE.csv, --architecture PATH, --onnx FILE.onnx',
    );
    expect(await mistake('map', '--layer', 'C=3,K=4')).toBe(
      "--layer part 'K=4' must be KEY=VALUE with a key of type, N, H, W, C, R, M, E, F, stride, groups",
    );
    expect(await mistake('map', '--layer', 'C=3')).toMatch(/^--layer lacks M; it takes /);
    expect(await mistake('map', '--layer', 'C=3,M=4', '--machine', 'none')).toMatch(
      /^machine 'none' is not known; give one of /,
    );
    expect(await mistake('map', '--layers', table, '--mapping', 'dram: C3')).toBe(
      '--mapping goes with --layer',
    );
    expect(
      await mistake('map', '--layer', 'C=3,H=20,M=4,R=13', '--bits', '16', '--machine', 'eyeriss-chip'),
    ).toMatch(
      /fan-out y of 'array': needs 13, has 12, 1 too many \(spatial loops R13\); buffer 'ifmap_spad': needs 13, has 12, 1 too many/,
    );
    expect(await mistake('map', '--layer', 'C=3,M=4', '--mapping', 'dram: C3 M2')).toMatch(
      /dimension M: needs 2, has 4, 2 too few \(its loops make 2 of the layer's 4\)$/,
    );
  });
});

describe('hw chunks', () => {
  it('divides an area among three arrays', async () => {
    const args = ['chunks', '--layers', table, '--area', '0.4', '--bits', '8', '--tries', '60'];
    const { code, stdout, stderr } = await run(...args, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { chunks, areaMm2 } = JSON.parse(stdout) as ChunkDivision;
    expect(chunks.map(({ primitive }) => primitive)).toEqual(['multiply', 'shift', 'add']);
    expect(areaMm2).toBeLessThanOrEqual(0.4);
    const text = await run(...args);
    expect(text.stdout).toMatch(/an image every [\d.]+ ms \([\d.]+ a second\)/);
  });

  it('answers mistakes with one line', async () => {
    expect(await mistake('chunks', '--layers', table, '--area', '0.0001')).toMatch(
      /^an area of 0\.0001 mm2 is too small: one element of each kind \(multiply, shift, add\) takes /,
    );
    expect(await mistake('chunks', '--area', '1')).toBe(
      'hw chunks needs one of --layers FILE.csv, --architecture PATH, --onnx FILE.onnx',
    );
    expect(await mistake('chunks', '--layers', table, '--area', '1', '--machine', 'eyeriss-chip')).toMatch(
      /machine 'eyeriss-chip' (states no area for multiply|has no units that shift)/,
    );
  });
});

describe('hw systolic', () => {
  it('counts what SCALE-Sim counts', async () => {
    const layer = 'C=3,M=96,R=11,stride=4,H=227,E=55,F=55';
    const { code, stdout, stderr } = await run('systolic', '--layer', layer, '--array', '32x32', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      dataflow: 'weights',
      ...{ cycles: 112283, inputReads: 3294225, weightReads: 34848, outputWrites: 3484800 },
      layers: [{ layer, cycles: 112283, folds: 36 }],
    });
  });

  it('adds up a table, and names broken rows', async () => {
    const json = await run(
      'systolic',
      '--layers',
      table,
      '--array',
      '8x16',
      '--dataflow',
      'outputs',
      '--json',
    );
    const { cycles, layers } = JSON.parse(json.stdout) as { cycles: number; layers: { cycles: number }[] };
    expect(layers).toHaveLength(4);
    expect(cycles + 1).toBe(layers.reduce((sum, layer) => sum + layer.cycles + 1, 0));
    const broken = join(home, 'broken.csv');
    writeFileSync(broken, 'type,N,H,W,C,R,M,E,F,stride\nConv,1,8,8,4,3,4,8,8,1\nConv,1,8,8,0,3,4,8,8,1');
    const { code, stdout, stderr } = await run('systolic', '--layers', broken);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `error: ${broken}:3: C must be a positive integer, got '0'\n`,
    });
    expect(stdout).toContain('total without 1 layer');
  });

  it('answers mistakes with one line', async () => {
    expect(await mistake('systolic')).toMatch(/^hw systolic needs one of --layer TEXT, /);
    expect(await mistake('systolic', '--layer', 'C=3,M=4', '--array', '0x8')).toMatch(
      /argument '0x8' is invalid\. Give ROWSxCOLUMNS, as in 32x32;/,
    );
    expect(await mistake('systolic', '--layer', 'C=3,M=4', '--bits', '8')).toMatch(/unknown option '--bits'/);
  });
});

describe('hw machines', () => {
  it('lists the built-in machines', async () => {
    const { stdout } = await run('machines');
    expect(stdout).toContain('eyeriss-chip: the Eyeriss chip as measured');
    const json = await run('machines', '--json');
    expect((JSON.parse(json.stdout) as unknown[]).length).toBeGreaterThanOrEqual(9);
  });
});
