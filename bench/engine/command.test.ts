/**
 * The command itself, in a temporary folder, and the PyTorch side where there is one.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/modules.js';
import { describeDevice } from '../../src/tensor/device.js';
import { temporaryFolder } from '../../test/support.js';
import { resultSchema, type BenchResult } from './result.js';

const folder = temporaryFolder();
afterAll(folder.remove);

const loader = pathToFileURL(join(packageRoot, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href;
const program = join(packageRoot, 'bench', 'main.ts');

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function bench(...args: readonly string[]): Promise<Ended> {
  const command = ['--import', loader, program, ...args];
  try {
    const output = await promisify(execFile)(process.execPath, command, { cwd: folder.path });
    return { code: 0, ...output };
  } catch (error) {
    return error as Ended;
  }
}

const read = (file: string): BenchResult =>
  resultSchema.parse(JSON.parse(readFileSync(join(folder.path, file), 'utf8')));

async function hasTorch(): Promise<boolean> {
  for (const python of ['python3', '/usr/bin/python3'])
    try {
      await promisify(execFile)(python, ['-c', 'import torch']);
      return true;
    } catch {
      // The next one may have it.
    }
  return false;
}

describe('npm run bench -- engine', () => {
  it('measures the rows that were asked for and writes them', async () => {
    const ended = await bench(
      'engine',
      ...['--quick', '--only', 'relu', '--no-torch', '--json', 'out/relu.json'],
    );
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const result = read('out/relu.json');
    expect(result).toMatchObject({ quick: true, torch: null, profiles: [], memory: [] });
    const threads = [...new Set(result.rows.map((row) => row.threads))];
    expect(result.rows.map((row) => [row.name, row.threads])).toEqual([
      ...threads.map((count) => ['relu', count]),
      ...threads.map((count) => ['relu-gradient', count]),
    ]);
    for (const { oursMs, oursQuartilesMs, repetitions, ratioToTorch, fractionOfPeak } of result.rows) {
      expect(oursQuartilesMs[0]).toBeLessThanOrEqual(oursMs);
      expect(oursQuartilesMs[1]).toBeGreaterThanOrEqual(oursMs);
      expect(repetitions).toBeGreaterThan(0);
      expect(ratioToTorch).toBeNull();
      expect(fractionOfPeak === null).toBe(describeDevice().device === 'reference');
    }
    expect(ended.stdout).toMatch(/^relu +128 x 32x32x16 +1 /m);
    expect(readdirSync(join(folder.path, 'out'))).toEqual(['relu.json']);
  });

  it('computes what PyTorch computes, and says how much faster', async ({ skip }) => {
    if (!(await hasTorch())) skip('no python3 with PyTorch on this machine');
    const only =
      'conv1x1-strided,conv-first,add3x3-64,matmul-512,power-of-two-3x3,cross-entropy,global,relu,add';
    const names = `${only},sum-of-squares`.split(',').filter((name) => name !== 'add');
    const args = ['--quick', '--threads', '1', '--only', names.join(','), '--json', 'torch.json'];
    expect(await bench('engine', ...args)).toMatchObject({ code: 0, stderr: '' });
    const { rows, problems, torch } = read('torch.json');
    expect(torch).not.toBeNull();
    expect(problems.filter((problem) => !problem.startsWith('other programs'))).toEqual([]);
    for (const { name, oursMs, torchMs, ratioToTorch, torchForm, torchFormsMs } of rows) {
      expect([name, ratioToTorch]).toEqual([name, (torchMs as number) / oursMs]);
      expect(Object.keys(torchFormsMs)).toContain(torchForm);
    }
  });

  it('takes a mistake for a mistake', async () => {
    const ended = await bench('engine', '--only', 'rulu', '--json', 'none.json');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(/^error: --only rulu: no such row; .*\n$/);
    expect(existsSync(join(folder.path, 'none.json'))).toBe(false);
    expect(await bench('motor')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: no benchmark is called motor; there are .*engine/) as string,
    });
  });

  it('shows help with examples', async () => {
    const { code, stdout } = await bench('engine', '--help');
    expect(code).toBe(0);
    expect(stdout).toContain('$ npm run bench -- engine --only conv3x3,relu --threads 1 --no-torch');
    expect(stdout).toContain('SHIFTADDNAS_ISA=avx2');
  });
});
