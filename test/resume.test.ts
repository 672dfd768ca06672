/**
 * @file Killed, interrupted, resumed: the run ends with the result of one that was left alone.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { takeLock } from '../src/base/process-lock.js';
import { decodeSafetensors } from '../src/nn/safetensors.js';
import {
  comparable,
  killWhen,
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
let config: string;
let undisturbed: unknown;

beforeAll(async () => {
  const data = writeToyIdx(join(home, 'data'));
  config = writeConfig(join(home, 'toy.yaml'), toyConfig(data, runs));
  const { code } = await shiftaddnas(['search', '--config', config, '--name', 'undisturbed', '--quiet']);
  expect(code).toBe(0);
  undisturbed = comparable(join(runs, 'undisturbed'));
});
afterAll(remove);

/** Training reports of a phase, or candidates of the search, in the log so far. */
function progressOf(folder: string, phase: string): number {
  return readEvents(folder).filter(
    (event) =>
      (event.type === 'training' && event.phase === phase) ||
      (event.type === 'candidate' && phase === 'search'),
  ).length;
}

describe('kill -9', () => {
  it('in every phase of one run, each time resumed, changes nothing in the end', async () => {
    const folder = join(runs, 'killed');
    let args = ['search', '--config', config, '--name', 'killed', '--quiet'];
    for (const phase of ['supernet', 'search', 'retrain:hybrid', 'retrain:all-add', 'retrain:conv-scaled']) {
      const seen = progressOf(folder, phase);
      await killWhen(args, () => progressOf(folder, phase) >= seen + 3);
      expect(existsSync(join(folder, 'result.json'))).toBe(false);
      args = ['search', '--resume', folder, '--quiet'];
    }
    // What a crash in the middle of a write leaves behind.
    writeFileSync(join(folder, 'events.jsonl'), '{"type":"candidate","gen', { flag: 'a' });
    writeFileSync(join(folder, '.state.json.12345.tmp'), 'half');
    const last = await shiftaddnas(args);
    expect(last).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(undisturbed);
    expect(existsSync(join(folder, '.state.json.12345.tmp'))).toBe(false);
    const resumed = readEvents(folder).filter((event) => event.type === 'phase' && event.state === 'resumed');
    // A busy machine may let a phase end between the look and the kill, but not every one.
    expect(resumed.length).toBeGreaterThanOrEqual(2);
  });
});

describe('a signal', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    '%s saves, says how to go on, and exits with 130',
    async (signal) => {
      const folder = join(runs, signal);
      const { child, finished } = start(['search', '--config', config, '--name', signal]);
      const reached = await until(
        () => progressOf(folder, 'retrain:hybrid') >= 2,
        () => child.exitCode !== null,
      );
      expect(reached).toBe(true);
      child.kill(signal);
      const stopped = await finished;
      expect(stopped.code).toBe(130);
      expect(stopped.stderr).toContain('saving, then stopping');
      expect(stopped.stderr).toContain(`go on with: shiftaddnas search --resume ${folder}`);
      expect(existsSync(join(folder, '.lock'))).toBe(false);

      const report = await shiftaddnas(['report', folder]);
      expect(report).toMatchObject({ code: 0, stderr: '' });
      expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('energy=80%');

      expect(await shiftaddnas(['search', '--resume', folder, '--quiet'])).toMatchObject({ code: 0 });
      expect(comparable(folder)).toEqual(undisturbed);
    },
  );
});

describe('a damaged or foreign run', () => {
  /** A run that was interrupted in its search, copied for every test that spoils it. */
  const stopped = join(runs, 'stopped');
  let copies = 0;

  beforeAll(async () => {
    const { child, finished } = start(['search', '--config', config, '--name', 'stopped', '--quiet']);
    const reached = await until(
      () => progressOf(stopped, 'search') >= 2,
      () => child.exitCode !== null,
    );
    expect(reached).toBe(true);
    child.kill('SIGINT');
    expect((await finished).code).toBe(130);
  });

  function copy(): string {
    const folder = join(runs, `copy-${++copies}`);
    cpSync(stopped, folder, { recursive: true });
    return folder;
  }

  async function refusal(folder: string, ...flags: readonly string[]): Promise<string> {
    const { code, stderr } = await shiftaddnas(['search', '--resume', folder, '--quiet', ...flags]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: [^\n]*\n$/);
    return stderr;
  }

  it('of another checkpoint version is refused', async () => {
    const folder = copy();
    const path = join(folder, 'state.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"version": 1', '"version": 99'));
    expect(await refusal(folder)).toContain('checkpoint version 99');
  });

  it('of another space is refused', async () => {
    const folder = copy();
    const path = join(folder, 'config.json');
    const edited = JSON.parse(readFileSync(path, 'utf8')) as { space: { stageChannels: number[] } };
    edited.space.stageChannels = [4, 16];
    writeFileSync(path, JSON.stringify(edited));
    expect(await refusal(folder)).toContain('another configuration, data set or search space');
  });

  it('with a foreign checkpoint is refused', async () => {
    const folder = copy();
    const data = writeToyIdx(join(home, 'data'));
    const other = writeConfig(join(home, 'other.yaml'), { ...toyConfig(data, runs), seed: 9 });
    await killWhen(
      ['search', '--config', other, '--name', 'other', '--quiet'],
      () => progressOf(join(runs, 'other'), 'search') >= 1,
    );
    const checkpoint = join('checkpoints', 'supernet.safetensors');
    copyFileSync(join(runs, 'other', checkpoint), join(folder, checkpoint));
    expect(await refusal(folder)).toContain('belongs to another run or search space');
  });

  it('with a truncated checkpoint is refused, and mended by deleting it', async () => {
    const folder = copy();
    const checkpoint = join(folder, 'checkpoints', 'supernet.safetensors');
    truncateSync(checkpoint, 1000);
    expect(await refusal(folder)).toMatch(/supernet\.safetensors: .*delete it to begin this phase again/);
    writeFileSync(checkpoint, 'no weights at all');
    expect(await refusal(folder)).toContain('supernet.safetensors');
    rmSync(checkpoint);
    expect(await shiftaddnas(['search', '--resume', folder, '--quiet'])).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(undisturbed);
  });

  it('with a broken state or configuration is refused', async () => {
    const folder = copy();
    writeFileSync(join(folder, 'state.json'), '{"format":');
    expect(await refusal(folder)).toContain('state.json');
    writeFileSync(join(folder, 'config.json'), '{"data": 3}');
    expect(await refusal(folder)).toContain("config.json: 'data'");
  });

  it('that another process works on is refused', async () => {
    const folder = copy();
    expect(takeLock(join(folder, '.lock'))).toBeUndefined();
    expect(await refusal(folder)).toContain(`process ${process.pid} is working on this run`);
  });

  it('is not changed by flags', async () => {
    const folder = copy();
    expect(await refusal(folder, '--budget', 'energy=10%')).toContain('--budget cannot be given with it');
    expect(await refusal(folder, '--seed', '8')).toContain('--seed cannot be given with it');
  });

  it('that is no run is refused', async () => {
    const folder = join(runs, 'empty');
    mkdirSync(folder);
    expect(await refusal(folder)).toContain('not the folder of a run');
    expect(await refusal(join(runs, 'nowhere'))).toContain('not the folder of a run');
  });
});

describe('a disk that takes no more', () => {
  it('ends the run with one line; once there is room it goes on to the same result', async () => {
    const folder = join(runs, 'limited');
    // No file above 12 KiB: the supernet's first checkpoint does not fit.
    const limited = { limits: 'ulimit -f 12' };
    const flags = ['search', '--config', config, '--name', 'limited', '--quiet'];
    const { code, stderr } = await shiftaddnas(flags, limited);
    expect(stderr).toMatch(/^error: [^\n]*limited\/checkpoints\/\S+: cannot be written \(EFBIG[^\n]*\n$/);
    expect(code).toBe(2);
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual([]);
    expect(await shiftaddnas(['search', '--resume', folder, '--quiet'])).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(undisturbed);
  });
});

describe('a loss that is not finite', () => {
  it('stops with the step and the layer, and keeps the last good checkpoint', async () => {
    const settings = toyConfig(`idx:${join(home, 'data')}`, runs);
    const wild = { ...settings, supernet: { ...settings.supernet, peakLearningRate: 1e6 } };
    const path = writeConfig(join(home, 'wild.yaml'), wild);
    const { code, stderr } = await shiftaddnas(['search', '--config', path, '--name', 'wild', '--quiet']);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: supernet: the loss is not finite at step \d+; it began in (stem|classifier|stage\d\.block\d)[^\n]*checkpoint \(step \d+\) is kept[^\n]*\n$/,
    );
    const folder = join(runs, 'wild', 'checkpoints');
    expect(readdirSync(folder)).toEqual(['training-supernet.safetensors']);
    const checkpoint = join(folder, 'training-supernet.safetensors');
    const { tensors, metadata } = decodeSafetensors(readFileSync(checkpoint), checkpoint);
    const failedStep = Number(/at step (\d+)/.exec(stderr)?.[1]);
    expect(Number(metadata['step'])).toBeGreaterThan(0);
    expect(Number(metadata['step'])).toBeLessThan(failedStep);
    for (const { data } of tensors.values()) expect(data.every(Number.isFinite)).toBe(true);
  });
});
