/**
 * @file Whether the machine is free for measuring.
 */
import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';

const watchMs = 500;
const tolerated = 0.1;

/** Share of all processors' time that is in use while this process sleeps for half a second. */
export async function shareInUse(): Promise<number> {
  const before = processorTimes();
  await pause(watchMs);
  const after = processorTimes();
  const total = after.total - before.total;
  return total > 0 ? 1 - (after.idle - before.idle) / total : 0;
}

/** A warning in one line, or undefined when the machine is free enough. */
export function busyWarning(share: number): string | undefined {
  if (share <= tolerated) return undefined;
  return (
    `other programs took ${(100 * share).toFixed(0)} % of the processors when this began: figures of one thread ` +
    'are processor time and stand; those of several threads say little, least of all for PyTorch'
  );
}

function processorTimes(): { readonly idle: number; readonly total: number } {
  let [idle, total] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, total };
}
