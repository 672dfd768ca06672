import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { releaseLock, takeLock } from './process-lock.js';

let home: string;
let lock: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'lock-'));
  lock = join(home, 'lock');
});
afterEach(() => {
  rmSync(home, { recursive: true });
});

it('is taken, taken again by the same process, and given back', () => {
  expect(takeLock(lock)).toBeUndefined();
  expect(readFileSync(lock, 'utf8')).toMatch(new RegExp(`^${process.pid}\\b`));
  expect(takeLock(lock)).toBeUndefined();
  releaseLock(lock);
  releaseLock(lock);
  expect(existsSync(lock)).toBe(false);
});

it('names the living holder, and is free once that has died', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const pid = child.pid as number;
  const started = existsSync('/proc')
    ? readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[19]
    : '';
  writeFileSync(lock, `${pid} ${started}`.trim());
  expect(takeLock(lock)).toBe(pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(takeLock(lock)).toBeUndefined();
});

it.skipIf(!existsSync('/proc'))('is free when its process id belongs to another process by now', () => {
  writeFileSync(lock, `${process.ppid} 1`);
  expect(takeLock(lock)).toBeUndefined();
});

it('is free when what it holds is no process', () => {
  for (const stale of ['99999999', '', 'rubbish', '0', '-1', '1.5']) {
    writeFileSync(lock, stale);
    expect(takeLock(lock), stale).toBeUndefined();
  }
});
