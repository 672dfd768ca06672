/**
 * @file Strategies, objectives and surrogates through the real command: what they leave behind, and that a killed search
 * ends like one that was left alone.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
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
const undisturbed = join(runs, 'undisturbed');
let config: string;
let stdout: string;

beforeAll(async () => {
  const space = { ...(settings.space as object), blocksPerStage: [2, 2] };
  const search = {
    ...settings.search,
    strategy: 'nsga2',
    generations: 5,
    population: 6,
    objectives: ['error', 'params', 'flash'],
    surrogate: 'gp',
    oversampling: 4,
    retrainFront: 2,
  };
  config = writeConfig(join(home, 'toy.yaml'), { ...settings, space, search });
  const finished = await shiftaddnas(['search', '--config', config, '--name', 'undisturbed']);
  expect(finished).toMatchObject({ code: 0 });
  ({ stdout } = finished);
});

describe('a search over several objectives', () => {
  it('hands on the most accurate network within the budget, and points of its front', () => {
    const { search, networks, budget } = readResult(undisturbed);
    expect(search).toMatchObject({ strategy: 'nsga2', surrogate: 'gp', evaluated: 30 });
    expect(search.objectives).toEqual(['error', 'params', 'flash']);
    const candidates = readEvents(undisturbed).filter((event) => event.type === 'candidate');
    expect(candidates).toHaveLength(30);
    const front = search.front!;
    for (const member of front) {
      expect(member.energyMj).toBeLessThanOrEqual(budget[0]!.limit);
      for (const { accuracy, params, flashBytes } of candidates)
        expect(
          accuracy >= member.accuracy &&
            params <= member.params &&
            flashBytes! <= member.flashBytes &&
            (accuracy > member.accuracy || params < member.params || flashBytes! < member.flashBytes),
        ).toBe(false);
    }
    expect(search.bestSearchValidationAccuracy).toBe(Math.max(...candidates.map(({ accuracy }) => accuracy)));
    const retrained = networks.filter(({ name }) => name.startsWith('front-'));
    expect(retrained.length).toBe(Math.min(2, front.length - 1));
    expect(retrained.length).toBeGreaterThan(0);
    for (const { architecture, withinBudget } of retrained) {
      expect(withinBudget).toBe(true);
      expect(front.map(({ genome }) => genome.join())).toContain(architecture.genome!.join());
      expect(architecture.genome).not.toEqual(search.bestGenome);
    }
  });

  it('says in one line how it went, and in the report', () => {
    expect(stdout).toMatch(
      /^search: nsga2 with gp, 30 networks judged in \d+ s \([\d.]+ a second\); \d+ of them on the front of error, params, flash; archive [0-9a-f]{16}$/m,
    );
    const page = readFileSync(join(undisturbed, 'report.html'), 'utf8');
    for (const text of [
      'nsga2',
      'error, params, flash',
      'Accuracy against parameters',
      'Accuracy against flash',
      'front-1',
    ])
      expect(page).toContain(text);
  });

  it('ends the same when it is killed in the search and in the retraining of its front', async () => {
    const folder = join(runs, 'killed');
    let args = ['search', '--config', config, '--name', 'killed', '--quiet'];
    const done = (phase: string): number =>
      readEvents(folder).filter(
        (event) =>
          (event.type === 'training' && event.phase === phase) ||
          (event.type === 'candidate' && phase === 'search'),
      ).length;
    for (const [phase, enough] of [
      ['search', 8],
      ['search', 20],
      ['retrain:front-1', 2],
    ] as const) {
      await killWhen(args, () => done(phase) >= enough);
      args = ['search', '--resume', folder, '--quiet'];
    }
    expect(await shiftaddnas(args)).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(comparable(undisturbed));
  });
});

describe('flags', () => {
  it('choose another strategy, its surrogate and the objectives for the same file', async () => {
    const flags = ['--strategy', 'random', '--surrogate', 'ridge', '--objectives', 'error,energy', '--json'];
    const { code, stdout: json } = await shiftaddnas([
      'search',
      '--config',
      config,
      '--name',
      'control',
      ...flags,
    ]);
    expect(code).toBe(0);
    const { search } = JSON.parse(json) as ReturnType<typeof readResult>;
    expect(search).toMatchObject({ strategy: 'random', surrogate: 'ridge', objectives: ['error', 'energy'] });
    const origins = readEvents(join(runs, 'control')).flatMap((event) =>
      event.type === 'candidate' ? [event.origin] : [],
    );
    expect(new Set(origins)).toEqual(new Set(['random']));
  });

  it('are refused in one line that says what there is', async () => {
    const refusal = async (...flags: readonly string[]): Promise<string> => {
      const { code, stderr } = await shiftaddnas(['search', '--config', config, ...flags]);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^error: [^\n]*\n$/);
      return stderr;
    };
    expect(await refusal('--objectives', 'error,speed')).toContain(
      "'search.objectives.1': 'speed' is no objective; choose among error, energy, latency",
    );
    expect(await refusal('--objectives', 'energy,params')).toContain("must hold 'error'");
    expect(await refusal('--strategy', 'annealing')).toContain('evolution, nsga2, random');
    expect(await refusal('--surrogate', 'forest')).toContain('none, ridge, gp');
  });
});
