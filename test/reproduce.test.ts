/**
 * @file `reproduce` through the real program, on small data made here.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReproduceResult } from '../src/pipeline/reproduce/outcome.js';
import { fileHashes, shiftaddnas, start, temporaryFolder, until, writeToyIdx } from './support.js';

const { path: home, remove } = temporaryFolder();
let data: string;

beforeAll(() => {
  data = writeToyIdx(join(home, 'data'), 1200, 120);
});
afterAll(remove);

const small = (out: string): readonly string[] => [
  ...['reproduce', 'cifar10-resnet20', '--data', data, '--only', 'add-kd', '--epochs', '1'],
  ...['--limit-train', '256', '--out', join(home, out)],
];

describe('reproduce', () => {
  it('lists its recipes', async () => {
    const { code, stdout } = await shiftaddnas(['reproduce', '--list']);
    expect(code).toBe(0);
    for (const name of ['deepshift-mnist', 'kwinners-mnist', 'addernet-lenet5', 'cifar10-resnet20'])
      expect(stdout).toContain(name);
    const json = JSON.parse((await shiftaddnas(['reproduce', '--list', '--json'])).stdout) as object[];
    expect(json.length).toBeGreaterThanOrEqual(4);
  });

  it('trains a teacher and its pupil and prints the paper beside ours', async () => {
    const { code, stdout, stderr } = await shiftaddnas(small('kd'));
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain('92.25 (400)');
    expect(stdout).toMatch(/other than the recipe: 2 of its \d+ entries; 1 instead of 15 epochs/);
    const result = JSON.parse(readFileSync(join(home, 'kd', 'reproduce.json'), 'utf8')) as ReproduceResult;
    expect(result.entries.map(({ name }) => name)).toEqual(['conv', 'add-kd']);
    const [conv, pupil] = result.entries;
    expect(pupil!.difference).toBeNull();
    expect(conv!.difference).toBeCloseTo(conv!.testAccuracy - 0.9225, 12);
    expect(pupil!.gap).toBeCloseTo(pupil!.testAccuracy - conv!.testAccuracy, 12);
    expect(conv!.gap).toBe(0);
    // Once more: nothing is trained again.
    const again = await shiftaddnas([...small('kd'), '--json']);
    expect((JSON.parse(again.stdout) as ReproduceResult).entries).toEqual(result.entries);
    const other = await shiftaddnas([...small('kd'), '--seeds', '2']);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/holds a reproduction with other options/);
  });

  it('tells the operations of sparse weights beside those of all', async () => {
    const { code, stdout } = await shiftaddnas([
      ...[
        'reproduce',
        'kwinners-mnist',
        '--data',
        data,
        '--only',
        'k-winners,complementary',
        '--epochs',
        '1',
      ],
      ...['--limit-train', '256', '--out', join(home, 'sparse')],
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Complementary weights, k winners .* [\d.]+ [kM] of [\d.]+ [kM] /);
    const result = JSON.parse(
      readFileSync(join(home, 'sparse', 'reproduce.json'), 'utf8'),
    ) as ReproduceResult;
    const [whole, part] = result.entries;
    expect(whole).not.toHaveProperty('keptMacs');
    expect(part!.macs).toBe(whole!.macs);
    expect(part!.keptMacs! / part!.macs).toBeLessThan(0.6);
  });

  it('ends with the same networks after kill -9', async () => {
    await shiftaddnas(small('whole'));
    const killed = start(small('killed'));
    const folder = join(home, 'killed');
    await until(
      () => existsSync(join(folder, 'conv-seed1', 'train.json')),
      () => killed.child.exitCode !== null,
    );
    killed.child.kill('SIGKILL');
    await killed.finished;
    const { code, stderr } = await shiftaddnas(small('killed'));
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(fileHashes(folder)).toEqual(fileHashes(join(home, 'whole')));
  });

  it('shortens itself to a budget and says so', async () => {
    const { code, stdout } = await shiftaddnas([
      ...['reproduce', 'cifar10-resnet20', '--data', data, '--only', 'conv', '--seeds', '2'],
      ...['--budget-minutes', '0.08', '--out', join(home, 'budget')],
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/other than the recipe: .*\d+ instead of 15 epochs of conv/);
  });

  it('says in one line what is wrong', async () => {
    for (const [args, message] of [
      [[], /needs the name of a recipe/],
      [['resnet'], /there is no recipe 'resnet'; known: deepshift-mnist/],
      [['cifar10-resnet20'], /needs CIFAR-10: give it by --data/],
      [['deepshift-mnist', '--only', 'x'], /'x' is no entry of deepshift-mnist/],
      [
        ['cifar10-resnet20', '--data', data, '--budget-minutes', '0.0001', '--out', join(home, 'never')],
        /--budget-minutes 0.0001 is too short/,
      ],
    ] as const) {
      const { code, stderr } = await shiftaddnas(['reproduce', ...args]);
      expect(code).toBe(2);
      expect(stderr).toMatch(message);
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    }
    writeFileSync(join(home, 'kd', 'plan.json'), '{');
    const { code, stderr } = await shiftaddnas(small('kd'));
    expect(code).toBe(2);
    expect(stderr).toContain('plan.json');
  });
});
