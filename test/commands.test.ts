/**
 * @file The other commands through the real program: train, evaluate, hw, data, report, help.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { packageRoot } from '../src/base/modules.js';
import { checkConfig, mergeConfig, runConfigSchema } from '../src/pipeline/config/config.js';
import { supernetTrainingSchema } from '../src/pipeline/config/supernet-settings.js';
import { techniquesSchema } from '../src/pipeline/config/technique-settings.js';
import { scheduleKeys } from '../src/pipeline/config/schedule-settings.js';
import type { TrainResult } from '../src/pipeline/jobs/train-job.js';
import {
  fileHashes,
  shiftaddnas,
  start,
  temporaryFolder,
  toyConfig,
  until,
  writeConfig,
  writeToyIdx,
} from './support.js';

const { path: home, remove } = temporaryFolder();
const golden = join(packageRoot, 'src/hardware/golden/paper-cv-layers.csv');
let data: string;
let config: string;

beforeAll(() => {
  data = writeToyIdx(join(home, 'data'));
  config = writeConfig(join(home, 'toy.yaml'), toyConfig(data, join(home, 'runs')));
});
afterAll(remove);

/** Rows of a CSV without quotes, by column. */
function readRows(path: string): readonly Readonly<Record<string, string>>[] {
  const [head, ...lines] = readFileSync(path, 'utf8').trimEnd().split(/\r?\n/);
  const columns = head!.split(',');
  return lines.map((line) => {
    const cells = line.split(',');
    return Object.fromEntries(columns.map((column, i) => [column, cells[i]!]));
  });
}

describe('hw', () => {
  it('estimate gives the golden columns for the rows of its array size', async () => {
    const out = join(home, 'priced.csv');
    const flags = ['--layers', golden, '--profile', 'paper-cv-168', '--csv', out];
    const { code, stderr } = await shiftaddnas(['hw', 'estimate', ...flags]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^notice: .*PE_strictly_below says 192, [^\n]*\n$/);
    const expected = readRows(golden);
    const priced = readRows(out);
    expect(priced).toHaveLength(expected.length);
    let compared = 0;
    expected.forEach((row, i) => {
      if (row['PE_strictly_below'] !== '168') return;
      for (const [column, text] of Object.entries(row)) {
        const value = priced[i]![column];
        if (text === '' || Number.isNaN(Number(text))) expect(value).toBe(text);
        else {
          compared++;
          const deviation = Math.abs(Number(value) - Number(text));
          expect(deviation, `${column} of row ${i}`).toBeLessThanOrEqual(1e-6 * Math.abs(Number(text)));
        }
      }
    });
    expect(compared).toBeGreaterThan(1000);
  });

  it('estimate takes a profile file of one’s own', async () => {
    const { stdout } = await shiftaddnas(['hw', 'profiles', '--json']);
    const [fair] = JSON.parse(stdout) as [{ name: string; memoryPjPer16Bits: { dram: { value: number } } }];
    const doubled = structuredClone(fair);
    doubled.name = 'thirsty';
    doubled.memoryPjPer16Bits.dram.value *= 2;
    const path = join(home, 'thirsty.json');
    writeFileSync(path, JSON.stringify(doubled));
    const price = async (
      profile: string,
    ): Promise<{ profile: string; energyMj: number; byLevel: { dramMj: number } }> => {
      const run = await shiftaddnas(['hw', 'estimate', '--layers', golden, '--profile', profile, '--json']);
      expect(run.code).toBe(0);
      return JSON.parse(run.stdout) as { profile: string; energyMj: number; byLevel: { dramMj: number } };
    };
    const mine = await price(path);
    expect(mine.profile).toBe('thirsty');
    expect(mine.energyMj).toBeGreaterThan((await price('fair')).energyMj);
  });

  it('golden reports every row matched', async () => {
    const { code, stdout } = await shiftaddnas(['hw', 'golden', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ rows: 217, matched: 217, deviations: [] });
  });
});

describe('train', () => {
  it('writes a model that evaluate reads, the same again after a kill', async () => {
    const out = join(home, 'add');
    const flags = ['train', '--family', 'add', '--config', config, '--epochs', '6', '--seed', '5'];
    const first = await shiftaddnas([...flags, '--out', out, '--json']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    const result = JSON.parse(first.stdout) as TrainResult;
    expect(result).toEqual(JSON.parse(readFileSync(join(out, 'train.json'), 'utf8')));
    expect(result).toMatchObject({ seed: 5, schedule: { epochs: 6, batchSize: 32 } });
    expect(result.architecture.blocks.every(({ family }) => family === 'add')).toBe(true);
    expect(result.testAccuracy).toBeGreaterThan(0.25);

    const evaluated = await shiftaddnas(['evaluate', out, '--data', data, '--json']);
    expect(JSON.parse(evaluated.stdout)).toMatchObject({
      accuracy: result.testAccuracy,
      energyMj: result.energyMj,
      macs: result.macs,
    });
    const onTrain = await shiftaddnas(['evaluate', out, '--data', data, '--split', 'train', '--json']);
    expect(JSON.parse(onTrain.stdout)).toMatchObject({ split: 'train', images: 360 });

    const killed = join(home, 'killed');
    const { child, finished } = start([...flags, '--out', killed, '--quiet']);
    const checkpoint = join(killed, 'checkpoints', 'train.safetensors');
    expect(
      await until(
        () => existsSync(checkpoint),
        () => child.exitCode !== null,
      ),
    ).toBe(true);
    child.kill('SIGKILL');
    await finished;
    expect(existsSync(join(killed, 'train.json'))).toBe(false);
    expect(await shiftaddnas(['train', '--resume', killed, '--quiet'])).toMatchObject({ code: 0 });
    expect(fileHashes(killed)).toEqual(fileHashes(out));
    expect(existsSync(checkpoint)).toBe(false);
  });

  it('takes the architecture of another', async () => {
    const out = join(home, 'again');
    const architecture = join(home, 'add', 'architecture.json');
    const flags = [
      '--architecture',
      join(home, 'add'),
      '--data',
      data,
      '--epochs',
      '1',
      '--batch-size',
      '60',
    ];
    const { code, stdout } = await shiftaddnas(['train', ...flags, '--learning-rate', '0.02', '--out', out]);
    expect(code).toBe(0);
    expect(stdout).toContain('test accuracy');
    const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
    expect(read(join(out, 'architecture.json'))).toEqual(read(architecture));
    const result = JSON.parse(readFileSync(join(out, 'train.json'), 'utf8')) as TrainResult;
    expect(result.schedule).toMatchObject({ epochs: 1, batchSize: 60, peakLearningRate: 0.02 });
    expect(readdirSync(out).sort()).toEqual([
      'architecture.json',
      'model.onnx',
      'model.safetensors',
      'train-config.json',
      'train.json',
    ]);
  });
});

describe('data info', () => {
  it('counts and measures', async () => {
    const { code, stdout } = await shiftaddnas(['data', 'info', data, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      height: 16,
      width: 16,
      channels: 1,
      trainCount: 360,
      testCount: 120,
    });
    const text = await shiftaddnas(['data', 'info', data]);
    expect(text.stdout).toContain('360 training and 120 test images of 16x16x1, 4 classes');
  });
});

describe('the program', () => {
  it('shows its help when nothing is asked, and the version', async () => {
    const alone = await shiftaddnas([]);
    expect(alone).toMatchObject({ code: 0, stderr: '' });
    expect(alone.stdout).toContain('search [options]');
    const version = await shiftaddnas(['--version']);
    const { version: expected } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(version).toMatchObject({ code: 0, stdout: `${expected}\n` });
  });

  it.each([
    'search',
    'train',
    'evaluate',
    'report',
    'data info',
    'hw estimate',
    'hw profiles',
    'hw golden',
    'hw area',
  ])('%s has help with examples and --json', async (command) => {
    const { code, stdout } = await shiftaddnas([...command.split(' '), '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Examples:\n  $ shiftaddnas ');
    expect(stdout).toContain('--json');
  });

  it('survives a reader that goes away', async () => {
    const child = spawn(process.execPath, [join(packageRoot, 'dist/cli/main.js'), 'data', 'info', data], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.each([
    ['reference', 'reference device, many times slower'],
    ['wasm', 'WebAssembly device, about four times slower'],
  ])('says that the %s device is slow, once, where work is heavy', async (device, words) => {
    const flags = ['--family', 'conv', '--config', config, '--epochs', '1', '--out', join(home, device)];
    const { code, stderr } = await shiftaddnas(['train', ...flags, '--quiet'], {
      env: { SHIFTADDNAS_DEVICE: device },
    });
    expect(code).toBe(0);
    expect(stderr).toBe(
      `notice: computing on the ${words} than the native one: SHIFTADDNAS_DEVICE=${device} asks for it\n`,
    );
  });
});

describe('examples', () => {
  it('cifar10.yaml fits the schema and sets every key', () => {
    const text = readFileSync(join(packageRoot, 'examples', 'cifar10.yaml'), 'utf8');
    const values: unknown = parseYaml(text);
    const resolved = checkConfig(runConfigSchema, values, 'cifar10.yaml');
    expect(resolved.augmentation).toEqual({ cropPadding: 4, flip: true });
    const missing = Object.keys(runConfigSchema.shape).filter(
      (key) => !new RegExp(`^(# )?${key}:`, 'm').test(text),
    );
    expect(missing).toEqual([]);
    for (const section of ['split', 'augmentation', 'space', 'supernet', 'search', 'retrain'] as const)
      for (const key of Object.keys(resolved[section]))
        expect(text, `${section}.${key}`).toMatch(new RegExp(`^ +(# )?${key}:`, 'm'));
    for (const key of scheduleKeys.keys()) expect(text, key).toMatch(new RegExp(`^ +(# )?${key}:`, 'm'));
  });

  it('names every key of the supernet’s training, in a section that fits when it is taken out of its comment', () => {
    const text = readFileSync(join(packageRoot, 'examples', 'cifar10.yaml'), 'utf8');
    const commented = text.split('\n').slice(text.split('\n').indexOf('# supernetTraining:'));
    const section = commented.slice(0, commented.indexOf('')).map((line) => line.replace(/^# /, ''));
    const { supernetTraining } = parseYaml(section.join('\n')) as { supernetTraining: object };
    const values = mergeConfig(parseYaml(text) as object, { supernetTraining });
    const resolved = checkConfig(runConfigSchema, values, 'cifar10.yaml');
    expect(resolved.supernetTraining).toEqual(supernetTraining);
    expect(Object.keys(supernetTraining)).toEqual(Object.keys(supernetTrainingSchema.shape));
  });

  it('names every technique with every key, in a section that fits when it is taken out of its comment', () => {
    const text = readFileSync(join(packageRoot, 'examples', 'cifar10.yaml'), 'utf8');
    const commented = text.split('\n').slice(text.split('\n').indexOf('# techniques:'));
    const section = commented.slice(0, commented.indexOf('')).map((line) => line.replace(/^# /, ''));
    const values = parseYaml(section.join('\n')) as { techniques: Record<string, object> };
    const schema = z.strictObject({ techniques: techniquesSchema });
    expect(() => checkConfig(schema, values, 'cifar10.yaml')).not.toThrow();
    expect(Object.keys(values.techniques)).toEqual(Object.keys(techniquesSchema.shape));
    for (const [name, given] of Object.entries(values.techniques)) {
      const inner = techniquesSchema.shape[name as keyof typeof techniquesSchema.shape].unwrap();
      expect(Object.keys(given), name).toEqual(Object.keys(inner.shape));
    }
  });
});
