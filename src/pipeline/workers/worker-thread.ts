/**
 * @file The computing thread of a worker process: sets itself up once, then does one task after another.
 */
import { parentPort, workerData } from 'node:worker_threads';
import '../../tensor/choose-device.js';
import type { JobHost } from '../run/host.js';
import { postedError } from '../jobs/posted-error.js';
import { openInProcessJudge } from '../search/judging.js';
import { openStandAlone } from '../rank/stand-alone.js';
import type { Report, ThreadWork, WorkSetup } from './protocol.js';

const { work, stop } = workerData as ThreadWork;
const host: JobHost = {
  send: (message) => post({ type: 'message', message }),
  interrupted: () => Atomics.load(stop, 0) !== 0,
};

function post(report: Report): void {
  parentPort!.postMessage(report);
}

/** What does the tasks of that kind. */
async function opened({ kind, setup }: WorkSetup): Promise<(task: never) => unknown> {
  switch (kind) {
    case 'judge':
      return openInProcessJudge(setup).accuracyOf;
    case 'standAlone':
      return openStandAlone(setup, host);
  }
}

try {
  const perform = await opened(work);
  parentPort!.on('message', (task: unknown) => {
    try {
      post({ type: 'answer', answer: perform(task as never) });
    } catch (error) {
      post({ type: 'error', error: postedError(error) });
    }
  });
  post({ type: 'ready' });
} catch (error) {
  post({ type: 'error', error: postedError(error) });
}
