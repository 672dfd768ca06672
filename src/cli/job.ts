/**
 * @file Supervises a job on its thread: shows its progress, and turns signals into "save and stop".
 */
import { runInWorker, type Jobs } from '../pipeline/jobs/run-in-worker.js';
import { Interrupted } from '../training/interrupted.js';
import type { ProgressView } from './progress.js';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const stoppedExitCode = 130;

/** The user asked to stop; the message says how to go on. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

/**
 * Runs a job to its end. The first signal asks it to save and stop, a second one ends the process at once.
 * @param resumeCommand how to go on with a job that was stopped; undefined for one that keeps nothing
 * @throws Stopped after a signal, else what the job throws
 */
export async function superviseJob<K extends keyof Jobs>(
  kind: K,
  request: Jobs[K]['request'],
  view: ProgressView,
  resumeCommand: string | undefined,
): Promise<Jobs[K]['result']> {
  let working = false;
  let asked = false;
  const job = runInWorker(kind, request, (message) => {
    if (message.type === 'phase') working = true;
    if (!asked || message.type === 'notice') view.show(message);
  });
  const onSignal = (): void => {
    if (asked) {
      view.close();
      process.exit(stoppedExitCode);
    }
    asked = true;
    if (working && resumeCommand !== undefined) {
      view.note('saving, then stopping; once more to stop at once');
      job.stop();
    } else job.kill();
  };
  for (const signal of signals) process.on(signal, onSignal);
  try {
    return await job.done;
  } catch (error) {
    if (!asked) throw error;
    if (error instanceof Interrupted && resumeCommand !== undefined)
      throw new Stopped(`stopped, everything is saved; go on with: ${resumeCommand}`);
    if (!working || resumeCommand === undefined)
      throw new Stopped('stopped before there was anything to save');
    throw error;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    view.close();
    job.kill();
  }
}
