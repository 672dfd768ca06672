/**
 * @file `rank` through the real command: what it measures is what search and train do, and a killed measurement ends like
 * one that was left alone.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RankResult } from '../src/pipeline/rank/result.js';
import type { TrainResult } from '../src/pipeline/jobs/train-job.js';
import { kendallTau } from '../src/search/statistics/kendall.js';
import {
  fileHashes,
  readEvents,
  shiftaddnas,
  start,
  temporaryFolder,
  toyConfig,
  until,
  writeConfig,
  writeToyIdx,
} from './support.js';

const { path: home, remove } = temporaryFolder();
const runs = join(home, 'runs');
const undisturbed = join(home, 'undisturbed');
const jsonFile = join(home, 'out', 'rank.json');
const sizes = ['--networks', '5', '--seeds', '2'];
let config: string;
let stdout: string;
let result: RankResult;

beforeAll(async () => {
  const { budget, ...settings } = toyConfig(writeToyIdx(join(home, 'data')), runs);
  expect(budget).toBeDefined();
  config = writeConfig(join(home, 'toy.yaml'), settings);
  mkdirSync(join(home, 'out'));
  const finished = await shiftaddnas([
    ...['rank', '--config', config, ...sizes, '--out', undisturbed, '--json', jsonFile],
  ]);
  expect(finished).toMatchObject({ code: 0, stderr: '' });
  ({ stdout } = finished);
  result = resultOf(undisturbed);
});
afterAll(remove);

function resultOf(folder: string): RankResult {
  return JSON.parse(readFileSync(join(folder, 'rank.json'), 'utf8')) as RankResult;
}

/** What must be the same for the same configuration. */
function comparable(folder: string): unknown {
  const { command, seconds, phaseSeconds, machine, supernet, ...rest } = resultOf(folder);
  expect([typeof command, typeof seconds, typeof phaseSeconds, typeof machine.threads]).toEqual([
    ...['string', 'number', 'object', 'number'],
  ]);
  const hashes = Object.entries(fileHashes(folder)).filter(([name]) => name.startsWith('networks'));
  return { ...rest, weights: supernet.weights, hashes };
}

describe('the result', () => {
  it('holds every network with its scores, and the figures of every scorer, in the file that was asked for too', () => {
    expect(JSON.parse(readFileSync(jsonFile, 'utf8'))).toEqual(result);
    const { networks, scorers, measured } = result;
    expect(networks).toBe(5);
    expect(Object.keys(scorers)).toEqual([
      ...['supernet', 'naswot', 'zico', 'entropy', 'parameters', 'operations'],
    ]);
    expect(new Set(measured.map(({ genome }) => genome.join())).size).toBe(5);
    expect(result.kendallTau).toBe(scorers['supernet']!.kendallTau);
    for (const [name, scorer] of Object.entries(scorers)) {
      expect(scorer.networks).toBe(5);
      // Too few networks are in the best third for a figure.
      expect(scorer.fidelity.bestThird.networks).toBeLessThan(5);
      expect(scorer.kendallTauBestThird).toBeNull();
      const tau = kendallTau(
        measured.map(({ scores }) => scores[name]!),
        measured.map(({ accuracy }) => accuracy!),
      );
      expect(scorer.kendallTau).toBe(Number.isNaN(tau) ? null : tau);
    }
    for (const { accuracies, accuracy, scores, params, macs, folders } of measured) {
      expect(accuracy).toBeCloseTo((accuracies[0]! + accuracies[1]!) / 2, 12);
      expect(scores['parameters']).toBe(params);
      expect(scores['operations']).toBe(macs);
      for (const folder of folders)
        expect(existsSync(join(undisturbed, folder, 'model.safetensors'))).toBe(true);
    }
    const energies = measured.map(({ energyMj }) => energyMj);
    expect(Math.max(...energies)).toBeGreaterThan(1.2 * Math.min(...energies));
  });

  it('says how the supernet shared weights, and with a control how many weights that saves', async () => {
    const { supernet } = result;
    expect(supernet).toMatchObject({ map: 'transport', distribution: 'moment' });
    expect(supernet.families.map(({ family }) => family)).toEqual(['conv', 'pot.q', 'add']);
    expect(stdout).toContain('(sharing: transport, distribution: moment)');
    const out = join(home, 'control');
    const control = await shiftaddnas([
      ...['rank', '--config', config, ...sizes, '--truth', undisturbed, '--sharing', 'none', '--out', out],
      '--quiet',
    ]);
    expect(control).toMatchObject({ code: 0, stderr: '' });
    const other = resultOf(out);
    expect(other.supernet.map).toBe('none');
    expect(supernet.weights / other.supernet.weights).toBeLessThan(0.45);
    // The networks trained alone are the same, and were not trained again.
    expect(other.measured.map(({ accuracies }) => accuracies)).toEqual(
      result.measured.map(({ accuracies }) => accuracies),
    );
  });

  it('is shown as tables, with progress over all networks, and as a picture', () => {
    expect(stdout).toContain('5 networks of mini');
    expect(stdout).toMatch(/^ *supernet +\S/m);
    expect(stdout).toMatch(/stand-alone .*network 10\/10/);
    expect(stdout).toContain('agreement between seeds: tau');
    expect(stdout).toMatch(
      /^-: fewer than 5 networks say nothing of ranks \(\d in the best third; [\d, ]+ in the energy bins\); ask for more by --networks$/m,
    );
    expect(readFileSync(join(undisturbed, 'rank.html'), 'utf8')).toContain('<circle');
  });

  it('has the accuracy that train reaches with the same seed', async () => {
    const { folders, accuracies } = result.measured[1]!;
    const out = join(home, 'alone');
    const { code } = await shiftaddnas([
      ...['train', '--config', config, '--out', out, '--quiet', '--architecture'],
      join(undisturbed, folders[0]!, 'architecture.json'),
    ]);
    expect(code).toBe(0);
    const trained = JSON.parse(readFileSync(join(out, 'train.json'), 'utf8')) as TrainResult;
    expect(trained.searchValidationAccuracy).toBe(accuracies[0]);
    expect(fileHashes(out)['model.safetensors']).toBe(
      fileHashes(join(undisturbed, folders[0]!))['model.safetensors'],
    );
  });
});

describe('kill -9 and Ctrl-C', () => {
  it('in every phase change nothing in the end', async () => {
    const folder = join(home, 'killed');
    let args = ['rank', '--config', config, ...sizes, '--out', folder];
    const trainings = (phase: RegExp): number =>
      readEvents(folder).filter((event) => event.type === 'training' && phase.test(event.phase)).length;
    const [, second, , fourth] = result.measured;
    for (const [phase, signal] of [
      [/^supernet$/, 'SIGKILL'],
      [new RegExp(`^train:${second!.genome.join('-')}-seed3$`), 'SIGKILL'],
      [new RegExp(`^train:${fourth!.genome.join('-')}-seed4$`), 'SIGINT'],
    ] as const) {
      const { child, finished } = start(args);
      const seen = trainings(phase);
      const reached = await until(
        () => trainings(phase) >= seen + 3,
        () => child.exitCode !== null,
      );
      expect(reached, `${phase} was reached`).toBe(true);
      child.kill(signal);
      const ended = await finished;
      expect(existsSync(join(folder, 'rank.json'))).toBe(false);
      if (signal === 'SIGINT') {
        expect(ended.code).toBe(130);
        expect(ended.stderr).toContain(`go on with: shiftaddnas rank --resume ${folder}`);
      }
      args = ['rank', '--resume', folder];
    }
    expect(await shiftaddnas(args)).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(comparable(undisturbed));
    // What was finished is only read again.
    const events = readEvents(folder).length;
    expect(await shiftaddnas(args)).toMatchObject({ code: 0 });
    expect(readEvents(folder)).toHaveLength(events);
    expect(comparable(folder)).toEqual(comparable(undisturbed));
  });
});

describe('what was measured before', () => {
  it('a finished run lends its supernet, and another measurement its stand-alone networks', async () => {
    const searched = await shiftaddnas([
      ...['search', '--config', config, '--budget', 'energy=90%', '--name', 'finished', '--quiet'],
    ]);
    expect(searched).toMatchObject({ code: 0 });
    const folder = join(home, 'of-run');
    const of = ['rank', '--run', join(runs, 'finished'), ...sizes, '--truth', undisturbed, '--out', folder];
    expect(await shiftaddnas(of)).toMatchObject({ code: 0 });
    // The same seed and schedule trained the same supernet.
    expect(comparable(folder)).toEqual(comparable(undisturbed));
    expect(resultOf(folder).supernet.run).toBe(join(runs, 'finished'));
    expect(readEvents(folder).some(({ type }) => type === 'training')).toBe(false);
  });

  it('can be set beside a supernet of another seed, on the same networks', async () => {
    const folder = join(home, 'supernet-seed');
    const { code, stdout: shown } = await shiftaddnas([
      ...[
        'rank',
        '--config',
        config,
        ...sizes,
        '--supernet-seed',
        '5',
        '--truth',
        undisturbed,
        '--out',
        folder,
      ],
      '--quiet',
    ]);
    expect(code).toBe(0);
    expect(shown).toContain('trained here with seed 5');
    const other = resultOf(folder);
    expect(other).toMatchObject({ seed: result.seed, supernet: { seed: 5 } });
    const without = ({ measured }: RankResult): unknown =>
      measured.map((network) => ({
        ...network,
        folders: null,
        scores: { ...network.scores, supernet: null },
      }));
    expect(without(other)).toEqual(without(result));
    const scores = (each: RankResult): unknown => each.measured.map((network) => network.scores['supernet']);
    expect(scores(other)).not.toEqual(scores(result));
  });

  it('is trained again under another schedule', async () => {
    const folder = join(home, 'longer');
    const { code } = await shiftaddnas([
      ...['rank', '--config', config, '--epochs', '1', '--networks', '2', '--quiet'],
      ...['--truth', undisturbed, '--out', folder],
    ]);
    expect(code).toBe(0);
    expect(resultOf(folder).schedule['epochs']).toBe(1);
    expect(
      readEvents(folder).some((event) => event.type === 'training' && event.phase.startsWith('train:')),
    ).toBe(true);
  });
});

describe('bad input', () => {
  it.each([
    [[], 'rank needs to know what to measure'],
    [['--networks', '1'], 'Give a whole number, at least 2'],
    [['--run', 'nowhere'], '--run nowhere: no such folder'],
    [['--resume', 'nowhere'], 'not the folder of a rank measurement'],
    [['--preset', 'mnist-quick', '--truth', 'nowhere'], '--truth nowhere: no such folder'],
  ])('%j gets one clear line', async (args, message) => {
    const { code, stderr } = await shiftaddnas(['rank', ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: [^\n]*\n$/);
    expect(stderr).toContain(message);
  });

  it('more networks than there are, a folder in use, a run with options of its own', async () => {
    for (const [args, message] of [
      [['--config', config, '--networks', '1000'], 'networks only'],
      [['--config', config, '--out', undisturbed], 'already holds files'],
      [['--run', undisturbed, '--seed', '4'], '--seed cannot be given with it'],
      [['--run', undisturbed, '--supernet-seed', '4'], '--supernet-seed cannot be given with it'],
      [['--run', undisturbed], 'no config.json'],
      [['--resume', undisturbed, '--networks', '5'], '--out cannot be given with it'],
    ] as const) {
      const { code, stderr } = await shiftaddnas(['rank', '--out', join(home, 'never'), ...args]);
      expect(stderr).toContain(message);
      expect(code).toBe(2);
    }
  });
});
