/**
 * @file The first thread of a worker process: passes orders and reports on, and ends the process when the job is gone.
 */
import { Worker } from 'node:worker_threads';
import { compiledModule } from '../../base/modules.js';
import { postedError } from '../jobs/posted-error.js';
import type { Order, Report, ThreadWork } from './protocol.js';

const stop = new Int32Array(new SharedArrayBuffer(4));
let thread: Worker | undefined;

// A terminal sends Ctrl-C to everyone in front of it; what becomes of the work is for the job to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (order: Order) => {
  if (order.type === 'setup') thread = started({ work: order.work, stop });
  else if (order.type === 'task') thread?.postMessage(order.task);
  else Atomics.store(stop, 0, 1);
});

function started(workerData: ThreadWork): Worker {
  const worker = new Worker(compiledModule('pipeline/workers/worker-thread.js'), {
    workerData,
    execArgv: [],
  });
  worker.on('message', report);
  worker.on('error', (error) => report({ type: 'error', error: postedError(error) }));
  worker.on('exit', (code) => process.exit(code));
  return worker;
}

function report(what: Report): void {
  // Nobody may be listening any more; then the channel has closed, and we end with it.
  process.send?.(what, undefined, undefined, () => undefined);
}
