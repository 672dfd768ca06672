/**
 * @file `shiftaddnas convert` through the real command: tables, files that other commands read, mistakes.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConvertResult } from '../src/pipeline/jobs/convert-job.js';
import type { EvaluateResult } from '../src/pipeline/jobs/evaluate-job.js';
import { runOnnx } from '../src/nn/onnx/run-onnx.cases.js';
import { shiftaddnas, temporaryFolder, toyConfig, toySide, writeConfig, writeToyIdx } from './support.js';

const { path: home, remove } = temporaryFolder();
const [convModel, addModel] = [join(home, 'conv'), join(home, 'add')];
let data: string;

beforeAll(async () => {
  data = writeToyIdx(join(home, 'data'));
  const config = writeConfig(join(home, 'toy.yaml'), toyConfig(data, join(home, 'runs')));
  for (const [family, out] of [
    ['conv', convModel],
    ['add', addModel],
  ] as const) {
    const { code, stderr } = await shiftaddnas([
      'train',
      '--config',
      config,
      '--family',
      family,
      '--out',
      out,
      '--epochs',
      '3',
    ]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
  }
});
afterAll(remove);

async function converted(...args: readonly string[]): Promise<ConvertResult> {
  const { code, stdout, stderr } = await shiftaddnas([
    'convert',
    ...args,
    '--calibration-images',
    '64',
    '--json',
  ]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout) as ConvertResult;
}

async function evaluated(model: string): Promise<EvaluateResult> {
  const { code, stdout, stderr } = await shiftaddnas([
    'evaluate',
    model,
    '--data',
    data,
    '--profile',
    'fair,fair-int8',
    '--json',
  ]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout) as EvaluateResult;
}

describe('convert', () => {
  it('prints one table with the original on top, on the data the model was trained on', async () => {
    const { code, stdout, stderr } = await shiftaddnas([
      'convert',
      convModel,
      '--to',
      'pot,apot2',
      '--to',
      'int8',
      '--calibration-images',
      '32',
    ]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    for (const name of ['original', 'pot', 'apot2', 'int8'])
      expect(stdout).toMatch(new RegExp(`│ ${name} +│`));
    expect(stdout).toContain('energy mJ');
    expect(stdout).toContain(
      'kept as trained: stem, classifier; 32 calibration images of the training part; test part read 4 times, once for each network',
    );
    expect(stdout).not.toContain('written to');
  });

  it('all is every conversion for the layers there are, and the figures agree with evaluate', async () => {
    const result = await converted(addModel, '--to', 'all');
    const names = result.rows.map(({ method }) => method);
    expect(names[0]).toBe('original');
    expect(names).toContain('add.int4+groups4');
    expect(names.slice(1).every((name) => name.startsWith('add.int'))).toBe(true);
    const original = await evaluated(addModel);
    expect(result.rows[0]!.accuracy).toBe(original.accuracy);
    expect(result.rows[0]!.energyMj).toEqual(original.energyMj);
    const row = result.rows.find(({ method }) => method === 'add.int8')!;
    expect(row.codeBits).toBe(8);
    expect(row.weightBytes).toBeLessThan(0.3 * result.rows[0]!.weightBytes);
    expect(row.energyMj['fair']).toBeLessThan(result.rows[0]!.energyMj['fair']!);
    expect(row.operations.distances).toBe(result.rows[0]!.operations.distances);
    for (const { accuracy, difference } of result.rows)
      expect(difference).toBeCloseTo(accuracy - result.rows[0]!.accuracy, 12);
  });

  it('writes models that evaluate, hw estimate and ONNX Runtime read as what they are', async () => {
    const out = join(home, 'written');
    const flags = ['--optq', '--mean-bits', '2.5', '--out', out];
    const result = await converted(convModel, '--to', 'bcq,bcq2,int8+pow2', ...flags);
    expect(result.rows.map(({ method }) => method)).toEqual([
      'original',
      'bcq+mean2.5+optq',
      'bcq2+optq',
      'int8+pow2+optq',
    ]);
    expect(JSON.parse(readFileSync(join(out, 'convert.json'), 'utf8'))).toEqual(result);
    for (const { method, folder, accuracy, energyMj } of result.rows.slice(1)) {
      expect(folder).toBe(join(out, method));
      const again = await evaluated(folder!);
      expect(again.accuracy).toBe(accuracy);
      expect(again.conversion).toBe(method);
      expect(again.energyMj).toEqual(energyMj);
      const { stdout, stderr, code } = await shiftaddnas([
        'hw',
        'estimate',
        folder!,
        '--profile',
        'fair',
        '--json',
      ]);
      expect(code).toBe(0);
      expect(stderr).toContain(`converted by ${method}`);
      expect((JSON.parse(stdout) as { energyMj: number }).energyMj).toBe(energyMj['fair']);
      const pixels = { dims: [1, 1, toySide, toySide], data: new Float32Array(toySide ** 2).fill(0.4) };
      const logits = (await runOnnx(readFileSync(join(folder!, 'model.onnx')), { pixels })).get('logits')!;
      expect(logits.data).toHaveLength(4);
      expect(logits.data.every(Number.isFinite)).toBe(true);
    }
  });

  it('one conversion is written straight into the folder, and a second run gives the same bytes', async () => {
    const folders = [join(home, 'one'), join(home, 'two')];
    for (const out of folders)
      await converted(convModel, '--to', 'bcq3+optq', '--keep', 'stem', '--out', out);
    for (const name of ['conversion.json', 'model.safetensors', 'model.onnx', 'architecture.json'])
      expect(readFileSync(join(folders[0]!, name)).equals(readFileSync(join(folders[1]!, name))), name).toBe(
        true,
      );
    const conversion = JSON.parse(readFileSync(join(folders[0]!, 'conversion.json'), 'utf8')) as {
      kept: string[];
      layers: { name: string }[];
    };
    expect(conversion.kept).toEqual(['stem']);
    expect(conversion.layers.map(({ name }) => name)).toContain('classifier');
  });

  it('says in --help what there is, with examples', async () => {
    const { code, stdout } = await shiftaddnas(['convert', '--help']);
    expect(code).toBe(0);
    for (const text of [
      'apot1 to apot4',
      '+optq',
      '+groups<n|all>',
      'shiftaddnas convert runs/NAME --to all',
    ])
      expect(stdout).toContain(text);
  });
});

describe('mistakes are one line and exit code 2', () => {
  async function mistake(...args: readonly string[]): Promise<string> {
    const { code, stderr, stdout } = await shiftaddnas(args, { cwd: home });
    expect(stderr).toMatch(/^error: [^\n]*\n$/);
    expect(stdout).toBe('');
    expect(code).toBe(2);
    return stderr;
  }

  it.each([
    ['no conversion', () => [convModel], /--to/],
    [
      'an unknown conversion',
      () => [convModel, '--to', 'int3'],
      /unknown conversion 'int3'; known: pot, apot1 to apot4/,
    ],
    ['an unknown modifier', () => [convModel, '--to', 'pot+quick'], /unknown modifier '\+quick'; known/],
    [
      'a conversion for other layers',
      () => [convModel, '--to', 'add.int8'],
      /for add layers, and this network has none/,
    ],
    [
      'convolutions that are all kept',
      () => [addModel, '--to', 'pot'],
      /all 2 of this network are kept \(stem, classifier\).*--keep none/,
    ],
    [
      'a flag that goes with none',
      () => [addModel, '--to', 'add.int8', '--optq'],
      /--optq goes with none of add\.int8/,
    ],
    ['a mean that cannot be', () => [convModel, '--to', 'bcq', '--mean-bits', '0.5'], /fewer than 1 bits/],
    ['a width that is missing', () => [convModel, '--to', 'int'], /int\+mean3/],
    [
      'an unknown layer',
      () => [convModel, '--to', 'pot', '--keep', 'head'],
      /no layer 'head'; there is stem/,
    ],
    ['no model folder', () => ['nowhere', '--to', 'pot'], /nowhere.*no such file; give a folder/],
    ['no calibration images', () => [convModel, '--to', 'pot', '--calibration-images', '0'], /at least 1/],
    [
      'data of another shape',
      () => [convModel, '--to', 'pot', '--data', 'mnist'],
      /takes images of 16x16 pixels, those of mnist are 28x28/,
    ],
    ['an unknown profile', () => [convModel, '--to', 'pot', '--profile', 'cheap'], /cheap/],
    [
      'a folder that is taken',
      () => [convModel, '--to', 'pot', '--out', addModel],
      /already holds files; choose another folder/,
    ],
  ] as const)('%s', async (_, args, message) => {
    expect(await mistake('convert', ...args())).toMatch(message);
  });

  it('a model that is converted already, and commands that do not know converted layers', async () => {
    const out = join(home, 'again');
    await converted(convModel, '--to', 'pot', '--out', out);
    expect(await mistake('convert', out, '--to', 'pot')).toMatch(/is converted already \(pot,/);
    expect(await mistake('hw', 'memory', out)).toMatch(
      /conversion\.json: hw memory knows layers as they are trained only/,
    );
    const table = join(home, 'table.json');
    writeFileSync(table, '{}');
    expect(await mistake('hw', 'estimate', out, '--latency-table', table)).toMatch(
      /no times of converted layers/,
    );
    expect(existsSync(join(out, 'conversion.json'))).toBe(true);
  });

  it('a model that does not say where its data are from', async () => {
    const out = join(home, 'moved');
    await converted(convModel, '--to', 'pot', '--out', out);
    rmSync(join(out, 'conversion.json'));
    expect(await mistake('convert', out, '--to', 'pot')).toMatch(/does not say which data set.*--data/);
  });
});
