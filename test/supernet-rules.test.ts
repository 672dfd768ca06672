/**
 * @file The supernet's training rules through the real command: the configuration and the flag, what is reported of them,
 * and that a killed run ends like one that was left alone.
 */
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RankResult } from '../src/pipeline/rank/result.js';
import {
  comparable,
  killWhen,
  readEvents,
  readResult,
  shiftaddnas,
  toyHome,
  writeConfig,
} from './support.js';

const { home, runs, settings } = toyHome();
const rules = {
  separateOptimiserState: true,
  projectGradients: 'pairwise',
  distill: 0.5,
  warmUp: [{ families: ['conv'], part: 0.25 }],
};
let config: string;
let steps: number;

beforeAll(async () => {
  config = writeConfig(join(home, 'toy.yaml'), {
    ...settings,
    supernetTraining: { paths: 'strict-fair', ...rules },
  });
  const { code, stdout } = await shiftaddnas([
    ...['search', '--config', config, '--paths', 'sandwich', '--name', 'whole'],
  ]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/supernet .*images\/s, \d+ passes/);
  ({ steps } = readResult(join(runs, 'whole')).supernet!);
});

describe('a search under rules', () => {
  it('says what they were and what they took', () => {
    const { schedule, supernet } = readResult(join(runs, 'whole'));
    expect(schedule).toMatchObject({
      'supernetTraining.paths': 'sandwich',
      'supernetTraining.distill': 0.5,
      'supernetTraining.warmUp': '[{"families":["conv"],"part":0.25}]',
    });
    expect(supernet).toMatchObject({ steps, passes: 4 * steps, map: 'transport' });
    const training = readEvents(join(runs, 'whole')).filter((event) => event.type === 'training');
    for (const event of training.filter(({ phase }) => phase === 'supernet'))
      expect(event.passes).toBe(4 * event.step);
    expect(training.some(({ phase, passes }) => phase !== 'supernet' && passes !== undefined)).toBe(false);
  });

  it('killed while the supernet is trained changes nothing in the end', async () => {
    const folder = join(runs, 'killed');
    let args = ['search', '--config', config, '--paths', 'sandwich', '--name', 'killed'];
    const seen = (): number => readEvents(folder).filter(({ type }) => type === 'training').length;
    for (let kill = 0; kill < 2; kill++) {
      const before = seen();
      await killWhen(args, () => seen() >= before + 4);
      args = ['search', '--resume', folder];
    }
    expect((await shiftaddnas(args)).code).toBe(0);
    expect(comparable(folder)).toEqual(comparable(join(runs, 'whole')));
  });
});

describe('rank under rules', () => {
  it('counts steps and passes by phase, and says them', async () => {
    const folder = join(home, 'rank');
    const { code, stdout } = await shiftaddnas([
      ...['rank', '--config', config, '--networks', '3', '--out', folder],
    ]);
    expect(code).toBe(0);
    const { supernet } = JSON.parse(readFileSync(join(folder, 'rank.json'), 'utf8')) as RankResult;
    const warm = Math.round(steps / 4);
    expect(supernet).toMatchObject({ steps, passes: warm + 3 * (steps - warm) });
    expect(supernet.training).toMatchObject({ paths: 'strict-fair', randomPaths: 2, ...rules });
    expect(stdout).toContain(`paths strict-fair, ${steps} steps, ${supernet.passes} passes`);
  });
});

describe('what cannot be', () => {
  it.each([
    [['search', '--paths', 'greedy'], "argument 'greedy' is invalid"],
    [
      ['search', '--paths', 'fair'],
      "'supernetTraining.projectGradients': needs steps in which several families",
    ],
    [['rank', '--run', '.', '--paths', 'fair'], '--paths cannot be given with it'],
  ])('%j ends with one line and code 2', async (args, message) => {
    const [command, ...flags] = args as [string, ...string[]];
    const settings = flags.includes('--run') ? [] : ['--config', config];
    const { code, stderr } = await shiftaddnas([command, ...settings, ...flags], { cwd: home });
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });

  it('a family of the warm-up that the space does not have is named before anything is written', async () => {
    const { code, stderr } = await shiftaddnas([
      ...[
        'search',
        '--config',
        config,
        '--paths',
        'sandwich',
        '--families',
        'pot.q,add',
        '--budget',
        'params=1M',
      ],
    ]);
    expect(stderr).toContain("names the family 'conv', which the space does not have; it has pot.q, add");
    expect(code).toBe(2);
  });
});
