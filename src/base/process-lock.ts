/**
 * @file One living process per folder: a lock file that names its holder.
 *
 * The file is created exclusively, so two processes that start together cannot both have it. It holds the process id
 * and, where the system tells (Linux), the time that process started, so that neither a crash nor a reused process id
 * leaves a folder locked for ever.
 */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { isSystemError } from './errors.js';

/** Takes the lock; returns undefined, or the id of the living process that holds it. A dead holder's lock is taken over. */
export function takeLock(path: string): number | undefined {
  for (;;) {
    try {
      const file = openSync(path, 'wx');
      writeSync(file, identityOf(process.pid));
      closeSync(file);
      return undefined;
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    const held = readIfThere(path);
    const holder = Number(held.split(' ')[0]);
    const isHeld = Number.isInteger(holder) && holder > 0 && holder !== process.pid;
    if (isHeld && isAlive(holder) && identityOf(holder) === held) return holder;
    rmSync(path, { force: true });
  }
}

export function releaseLock(path: string): void {
  rmSync(path, { force: true });
}

/** Process id and start time in clock ticks since boot (field 22 of /proc/PID/stat); the id alone elsewhere. */
function identityOf(pid: number): string {
  const afterName = readIfThere(`/proc/${pid}/stat`).split(') ').at(-1) ?? '';
  return `${pid} ${afterName.split(' ')[19] ?? ''}`.trim();
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isSystemError(error, 'EPERM');
  }
}
