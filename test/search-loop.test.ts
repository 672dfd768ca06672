/**
 * @file Pre-filter, control, several seeds and every kind of budget through the real command, and that a search with all
 * of them ends the same wherever it is killed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { quantities, type Quantity } from '../src/search/costs.js';
import {
  comparable,
  fileHashes,
  readEvents,
  readResult,
  shiftaddnas,
  start,
  toyHome,
  until,
  writeConfig,
} from './support.js';

const { home, runs, settings } = toyHome();
const full = join(runs, 'full');
let config: string;
let quick: string;
let stdout: string;

beforeAll(async () => {
  const space = { stemChannels: 4, stageChannels: [4, 8], blocksPerStage: [2, 2] };
  const search = { ...settings.search, strategy: 'nsga2', surrogate: 'ridge', population: 6 };
  config = writeConfig(join(home, 'toy.yaml'), {
    ...settings,
    space,
    search: { ...search, prefilter: 'naswot', generations: 4, retrainFront: 1 },
    retrainSeeds: 2,
  });
  const once = { epochs: 1, batchSize: 60 };
  quick = writeConfig(join(home, 'quick.yaml'), {
    ...settings,
    ...{ supernet: once, retrain: once },
    space: { stemChannels: 4, stageChannels: [8, 8], blocksPerStage: [2, 1] },
    search: { ...settings.search, control: false, generations: 2 },
  });
  const finished = await shiftaddnas(['search', '--config', config, '--name', 'full']);
  expect(finished).toMatchObject({ code: 0, stderr: '' });
  ({ stdout } = finished);
});

describe('a search with pre-filter, control and two seeds', () => {
  it('says what its first generation was chosen from, and was begun with', () => {
    const { prefilter } = readResult(full).search;
    expect(prefilter).toMatchObject({ scorer: 'naswot', pool: 48 });
    expect(prefilter!.kept).toBeGreaterThanOrEqual(12);
    const state = JSON.parse(readFileSync(join(full, 'state.json'), 'utf8')) as {
      results: { prefilter: { kept: number[][] } };
    };
    const kept = new Set(state.results.prefilter.kept.map((genome) => genome.join()));
    const first = readEvents(full).filter((event) => event.type === 'candidate' && event.generation === 0);
    expect(first).toHaveLength(6);
    // Half of it are the landmarks of the space.
    const chosen = first.flatMap((event) =>
      event.type === 'candidate' && event.origin !== 'start' ? [event.genome.join()] : [],
    );
    expect(chosen).toHaveLength(3);
    for (const genome of chosen) expect(kept).toContain(genome);
    expect(stdout).toContain('by naswot');
  });

  it('is held against random search after as many evaluations, none of them made twice', () => {
    const { control, evaluated, archiveHash, bestSearchValidationAccuracy } = readResult(full).search;
    expect(control!.search).toMatchObject({
      evaluations: evaluated,
      bestAccuracy: bestSearchValidationAccuracy,
    });
    expect(control!.random.evaluations).toBe(evaluated);
    expect(control!.archiveHash).not.toBe(archiveHash);
    const events = readEvents(full);
    const keys = events.flatMap((event) =>
      event.type === 'candidate' || event.type === 'control' ? [event.genome.join()] : [],
    );
    expect(new Set(keys).size).toBe(keys.length);
    expect(stdout).toContain('plain random search');
    expect(readFileSync(join(full, 'report.html'), 'utf8')).toContain('Hypervolume against random search');
  });

  it('has every network with mean, deviation and both seeds', () => {
    const { networks } = readResult(full);
    expect(networks.map(({ name }) => name)).toContain('front-1');
    for (const { testAccuracy, meanTestAccuracy, testAccuracyDeviation, seeds } of networks) {
      const [first, second] = seeds!.map((each) => each.testAccuracy) as [number, number];
      expect(seeds!.map(({ seed }) => seed)).toEqual([3, 4]);
      expect(first).toBe(testAccuracy);
      expect(meanTestAccuracy).toBeCloseTo((first + second) / 2, 12);
      expect(testAccuracyDeviation).toBeCloseTo(Math.abs(first - second) / Math.SQRT2, 12);
    }
    expect(networks.some(({ testAccuracyDeviation }) => testAccuracyDeviation! > 0)).toBe(true);
    expect(stdout).toContain('mean ± sd');
    expect(readFileSync(join(full, 'report.html'), 'utf8')).toContain('mean ± sd over seeds');
  });

  it('differs in nothing else from one without control and with one seed', async () => {
    const flags = ['--no-control', '--retrain-seeds', '1', '--name', 'plain', '--quiet'];
    expect(await shiftaddnas(['search', '--config', config, ...flags])).toMatchObject({ code: 0 });
    const plain = readResult(join(runs, 'plain'));
    expect(plain.search.archiveHash).toBe(readResult(full).search.archiveHash);
    expect(plain.search).not.toHaveProperty('control');
    expect(plain.networks[0]).not.toHaveProperty('seeds');
    // The metadata of the supernet's checkpoint name the configuration.
    const models = (folder: string) =>
      Object.entries(fileHashes(folder)).filter(([name]) => !name.startsWith('checkpoints'));
    expect(models(join(runs, 'plain'))).toEqual(models(full));
  });

  it('ends the same when it is killed in every phase', async () => {
    const folder = join(runs, 'killed');
    const last = readResult(full).networks.at(-1)!.name;
    const marks: readonly (readonly [string, (events: ReturnType<typeof readEvents>) => number])[] = [
      ...(['prefilter', 'search', 'control'] as const).map((phase) => {
        const type = phase === 'search' ? 'candidate' : phase;
        return [
          phase,
          (events: ReturnType<typeof readEvents>) =>
            events.filter((event) =>
              phase === 'prefilter' ? event.type === 'phase' && event.phase === phase : event.type === type,
            ).length,
        ] as const;
      }),
      ...['retrain:front-1', 'retrain:hybrid-seed4'].map(
        (phase) =>
          [
            phase,
            (events: ReturnType<typeof readEvents>) =>
              events.filter((event) => event.type === 'training' && event.phase === phase).length,
          ] as const,
      ),
      [
        'hand-over',
        (events) =>
          events.filter(
            (event) =>
              event.type === 'phase' && event.phase === `retrain:${last}-seed4` && event.state === 'finished',
          ).length,
      ],
    ];
    let args = ['search', '--config', config, '--name', 'killed', '--quiet'];
    for (const [phase, count] of marks) {
      const { child, finished } = start(args);
      const enough = phase === 'prefilter' || phase === 'hand-over' ? 1 : 3;
      const reached = await until(
        () => count(readEvents(folder)) >= enough,
        () => child.exitCode !== null,
      );
      expect(reached, `${phase} was reached`).toBe(true);
      child.kill('SIGKILL');
      await finished;
      args = ['search', '--resume', folder, '--quiet'];
    }
    expect(await shiftaddnas(args)).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(comparable(full));
  });

  it('refuses a pool that is too small for its first generation, and scores that there are not', async () => {
    const small = writeConfig(join(home, 'small.yaml'), {
      ...(JSON.parse(readFileSync(config, 'utf8')) as object),
      search: { population: 50, prefilter: 'zico', prefilterPool: 100, prefilterKeep: 0.1 },
    });
    const { code, stderr } = await shiftaddnas(['search', '--config', small]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: 'search\.prefilterPool': 100 networks of which 0\.1 is kept are fewer[^\n]*\n$/,
    );
    const other = await shiftaddnas(['search', '--config', config, '--prefilter', 'luck']);
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('none, naswot, zico, entropy, parameters, operations');
  });
});

describe('a budget', () => {
  const words: Readonly<Record<Quantity, string>> = {
    energyMj: 'energy',
    latencyMs: 'latency',
    macs: 'macs',
    params: 'params',
    areaMm2: 'area',
    sramBytes: 'sram',
    flashBytes: 'flash',
  };

  it.each(quantities)('of %s is met by the winner and by all that was judged', async (quantity) => {
    const name = `budget-${words[quantity]}`;
    const flags = ['--budget', `${words[quantity]}=90%`, '--profile', 'fair-int8', '--name', name];
    const { code } = await shiftaddnas(['search', '--config', quick, ...flags, '--quiet']);
    expect(code).toBe(0);
    const { budget, networks } = readResult(join(runs, name));
    expect(budget).toEqual([{ quantity, limit: expect.any(Number) as number }]);
    const { limit } = budget[0]!;
    expect(networks[0]).toMatchObject({ name: 'hybrid', withinBudget: true });
    const candidates = readEvents(join(runs, name)).filter((event) => event.type === 'candidate');
    expect(candidates).toHaveLength(8);
    for (const candidate of candidates) expect(candidate[quantity]).toBeLessThanOrEqual(limit);
    // Of which it is a part.
    expect(networks.find((network) => network.name === 'all-conv')!.withinBudget).toBe(false);
  });

  it.each([
    ['energy=1pJ', 'energy'],
    ['latency=1ns', 'latency'],
    ['macs=1', 'macs'],
    ['params=1', 'params'],
    ['area=1e-6um2', 'area'],
    ['sram=1B', 'sram'],
    ['flash=1B', 'flash'],
    ['energy=1%', 'energy'],
  ])('of %s, which no network meets, is refused with the nearest there is', async (budget, word) => {
    const { code, stderr } = await shiftaddnas([
      ...['search', '--config', quick, '--budget', budget, '--name', 'never', '--quiet'],
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: [^\n]*\n$/);
    expect(stderr).toContain(`${word}=`);
    expect(existsSync(join(runs, 'never'))).toBe(false);
  });
});
