/**
 * @file Worker processes through the real command: the same results to the bit as without them, whoever dies, and nobody
 * left behind.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RankResult } from '../src/pipeline/rank/result.js';
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
let config: string;
let undisturbed: unknown;

beforeAll(async () => {
  const space = { ...(settings.space as object), blocksPerStage: [2, 2] };
  const search = {
    ...settings.search,
    strategy: 'nsga2',
    surrogate: 'gp',
    prefilter: 'naswot',
    generations: 4,
    population: 24,
    recalibrationImages: 256,
  };
  config = writeConfig(join(home, 'toy.yaml'), { ...settings, space, search });
  expect(await shiftaddnas(['search', '--config', config, '--name', 'one', '--quiet'])).toMatchObject({
    code: 0,
  });
  undisturbed = comparable(join(runs, 'one'));
});

/** Processes whose parent is `pid`; of Linux. */
function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((id) => {
      try {
        const afterName = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ').at(-1)!;
        return Number(afterName.split(' ')[1]) === pid;
      } catch {
        return false;
      }
    });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const judged = (folder: string): number =>
  readEvents(folder).filter(({ type }) => type === 'candidate').length;

describe('search --workers', () => {
  it.each([2, 3])('%i gives what one gives, to the bit', async (workers) => {
    const name = `with-${workers}`;
    const flags = ['--workers', String(workers), '--name', name];
    const finished = await shiftaddnas(['search', '--config', config, ...flags]);
    expect(finished).toMatchObject({ code: 0, stderr: '' });
    const { search } = readResult(join(runs, name));
    expect(search.archiveHash).toBe(readResult(join(runs, 'one')).search.archiveHash);
    expect(comparable(join(runs, name))).toEqual(undisturbed);
  });

  const onLinux = describe.runIf(process.platform === 'linux');
  onLinux('when a worker is killed', () => {
    it('starts it again and ends the same', async () => {
      const folder = join(runs, 'one-dies');
      const { child, finished } = start([
        ...['search', '--config', config, '--workers', '2', '--name', 'one-dies', '--quiet'],
      ]);
      const reached = await until(
        () => judged(folder) >= 5,
        () => child.exitCode !== null,
      );
      expect(reached).toBe(true);
      const [victim] = childrenOf(child.pid!);
      process.kill(victim!, 'SIGKILL');
      const { code, stderr } = await finished;
      expect(stderr).toMatch(/^notice: a worker process ended \(SIGKILL\) while [^\n]*; started again\n$/);
      expect(code).toBe(0);
      expect(comparable(folder)).toEqual(undisturbed);
    });

    it('again and again, says so in one line and can be resumed', async () => {
      const folder = join(runs, 'all-die');
      const { child, finished } = start([
        ...['search', '--config', config, '--workers', '2', '--name', 'all-die', '--quiet'],
      ]);
      await until(
        () => {
          childrenOf(child.pid!).forEach((victim) => {
            try {
              process.kill(victim, 'SIGKILL');
            } catch {
              // It was gone before.
            }
          });
          return child.exitCode !== null;
        },
        () => false,
      );
      const { code, stderr } = await finished;
      expect(stderr).toMatch(
        /^(notice: [^\n]*\n)*error: a worker process ended twice \(SIGKILL\) while [^\n]*\n$/,
      );
      expect(code).toBe(2);
      expect(await shiftaddnas(['search', '--resume', folder, '--workers', '2', '--quiet'])).toMatchObject({
        code: 0,
      });
      expect(comparable(folder)).toEqual(undisturbed);
    });

    it.each(['SIGKILL', 'SIGINT'] as const)(
      'with the job by %s, leaves nobody behind, and goes on with another number of workers',
      async (signal) => {
        const folder = join(runs, `job-${signal}`);
        const { child, finished } = start([
          ...['search', '--config', config, '--workers', '2', '--name', `job-${signal}`, '--quiet'],
        ]);
        const reached = await until(
          () => judged(folder) >= 5,
          () => child.exitCode !== null,
        );
        expect(reached).toBe(true);
        const workers = childrenOf(child.pid!);
        expect(workers).toHaveLength(2);
        child.kill(signal);
        const ended = await finished;
        expect(signal === 'SIGINT' ? ended.code : ended.signal).toBe(signal === 'SIGINT' ? 130 : 'SIGKILL');
        expect(await until(() => !workers.some(isAlive), undefined, 10_000)).toBe(true);
        expect(await shiftaddnas(['search', '--resume', folder, '--workers', '3', '--quiet'])).toMatchObject({
          code: 0,
        });
        expect(comparable(folder)).toEqual(undisturbed);
      },
    );
  });
});

describe('rank --workers', () => {
  const sizes = ['--networks', '4', '--seeds', '2', '--quiet'];
  const resultOf = (folder: string): unknown => {
    const path = join(folder, 'rank.json');
    const { command, seconds, phaseSeconds, machine, ...rest } = JSON.parse(
      readFileSync(path, 'utf8'),
    ) as RankResult;
    expect([typeof command, typeof seconds, typeof phaseSeconds, typeof machine]).not.toContain('undefined');
    return { ...rest, hashes: fileHashes(folder) };
  };

  it('measures what one process measures, killed and resumed too', async () => {
    const [alone, together] = [join(home, 'rank-alone'), join(home, 'rank-together')];
    expect(await shiftaddnas(['rank', '--config', config, ...sizes, '--out', alone])).toMatchObject({
      code: 0,
    });
    const { child, finished } = start([
      ...['rank', '--config', config, ...sizes, '--workers', '2', '--out', together],
    ]);
    const training = (): number =>
      readEvents(together).filter((event) => event.type === 'training' && event.phase.startsWith('train:'))
        .length;
    const reached = await until(
      () => training() >= 12,
      () => child.exitCode !== null,
    );
    expect(reached).toBe(true);
    const workers = process.platform === 'linux' ? childrenOf(child.pid!) : [];
    child.kill('SIGKILL');
    await finished;
    expect(await until(() => !workers.some(isAlive), undefined, 10_000)).toBe(true);
    const again = start(['rank', '--resume', together, '--workers', '2', '--quiet']);
    const seen = training();
    await until(
      () => training() >= seen + 6,
      () => again.child.exitCode !== null,
    );
    again.child.kill('SIGINT');
    expect((await again.finished).code).toBe(130);
    expect(await shiftaddnas(['rank', '--resume', together, '--quiet'])).toMatchObject({ code: 0 });
    expect(resultOf(together)).toEqual(resultOf(alone));
  });
});
