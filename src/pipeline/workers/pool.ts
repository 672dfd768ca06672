/**
 * @file Worker processes of a job: tasks go to whoever is free, answers come in any order.
 *
 * What a task gives depends on the setup and the task alone, so neither the number of workers nor who does what can be
 * seen in the results. A worker that dies is started again and its task given once more; a task that has cost two
 * workers their life ends the job. The workers end when the pool is closed, and when the job's process is gone.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { UserError } from '../../base/errors.js';
import { compiledModule } from '../../base/modules.js';
import { describeDevice } from '../../tensor/device.js';
import { Interrupted } from '../../training/interrupted.js';
import type { JobHost, JobMessage } from '../run/host.js';
import { revivedError } from '../jobs/posted-error.js';
import type { Order, Report, WorkKind, WorkKinds, WorkSetup } from './protocol.js';

export interface WorkerPool<K extends WorkKind> {
  /** Queues a task. Rejects with what the work throws, with `Interrupted` when the job was asked to stop before it. */
  run(task: WorkKinds[K]['task'], onMessage?: (message: JobMessage) => void): Promise<WorkKinds[K]['answer']>;
  /** Ends the workers; tasks that are not done reject. */
  close(): void;
}

export interface PoolOptions<K extends WorkKind> {
  readonly workers: number;
  /** Names a task for messages: `judging 2,0,1`. */
  readonly title: (task: WorkKinds[K]['task']) => string;
  /** Is told of workers that were started again, and asked whether to stop. */
  readonly host: JobHost;
}

/** How often the job is asked whether it should stop. */
const pollMs = 50;
/** Workers that one task, or one place, may cost. */
const livesPerTask = 2;

interface Job {
  readonly task: unknown;
  readonly title: string;
  readonly onMessage: (message: JobMessage) => void;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  deaths: number;
}

/** One worker and what it does. */
interface Place {
  child: ChildProcess;
  job: Job | undefined;
  ready: boolean;
  /** Deaths before it was ready. */
  stillborn: number;
}

/** Threads of each of `workers` processes: an equal part of those that the job has, at least one. */
export function threadsPerWorker(workers: number): number {
  return Math.max(1, Math.floor(describeDevice().threads / workers));
}

/** Starts the workers; they set themselves up while the caller goes on. */
export function openWorkers<K extends WorkKind>(
  kind: K,
  setup: WorkKinds[K]['setup'],
  { workers, title, host }: PoolOptions<K>,
): WorkerPool<K> {
  const work = { kind, setup } as unknown as WorkSetup;
  const threads = threadsPerWorker(workers);
  const queue: Job[] = [];
  let closed = false;
  let stopped = false;

  const failAll = (error: Error): void => {
    for (const job of queue.splice(0)) job.reject(error);
    for (const place of places) {
      place.job?.reject(error);
      place.job = undefined;
    }
  };

  const close = (): void => {
    if (closed) return;
    closed = true;
    clearInterval(poll);
    failAll(new Error('the worker processes were closed'));
    for (const { child } of places) child.kill('SIGKILL');
  };

  /** Ends everything with an error that a caller will see, now or when it asks. */
  let broken: Error | undefined;
  const breakDown = (error: Error): void => {
    broken ??= error;
    failAll(broken);
  };

  const give = (place: Place): void => {
    if (closed || !place.ready || place.job !== undefined) return;
    place.job = queue.shift();
    if (place.job !== undefined) order(place.child, { type: 'task', task: place.job.task });
  };

  const heard = (place: Place, report: Report): void => {
    const { job } = place;
    switch (report.type) {
      case 'ready':
        place.ready = true;
        break;
      case 'message':
        job?.onMessage(report.message);
        return;
      case 'answer':
        place.job = undefined;
        job?.resolve(report.answer);
        break;
      case 'error':
        if (!place.ready) return breakDown(revivedError(report.error));
        place.job = undefined;
        job?.reject(revivedError(report.error));
        break;
    }
    give(place);
  };

  const died = (place: Place, how: string): void => {
    if (closed || broken !== undefined) return;
    const { job, ready } = place;
    place.job = undefined;
    if (stopped) return job?.reject(new Interrupted(job.title));
    const deaths = job === undefined ? ++place.stillborn : ++job.deaths;
    const what = job?.title ?? (ready ? 'waiting' : 'starting');
    if (deaths >= livesPerTask && (job !== undefined || !ready)) {
      breakDown(
        new UserError(
          'WORKER_DIED',
          `a worker process ended twice (${how}) while ${what}; when memory ran out, use fewer workers, else see what ended it, and go on by --resume`,
        ),
      );
      return;
    }
    host.send({ type: 'notice', message: `a worker process ended (${how}) while ${what}; started again` });
    if (job !== undefined) queue.unshift(job);
    start(place);
  };

  const start = (place: Place): void => {
    const child = fork(compiledModule('pipeline/workers/worker-process.js'), {
      // The parent's flags (loaders, inspectors) are of no use to compiled JavaScript.
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, SHIFTADDNAS_THREADS: String(threads) },
    });
    place.child = child;
    place.ready = false;
    let lastWords = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      lastWords = `${lastWords}${text}`.slice(-2000);
    });
    child.on('message', (report: Report) => heard(place, report));
    child.on('error', (error) => breakDown(error));
    child.on('exit', (code, signal) => {
      const words = lastWords.trim().split('\n').at(-1) ?? '';
      died(place, `${signal ?? `exit code ${code}`}${words === '' ? '' : `: ${words}`}`);
    });
    order(child, { type: 'setup', work });
  };

  const order = (child: ChildProcess, what: Order): void => {
    // A worker that dies in between says so by its end.
    child.send(what, () => undefined);
  };

  const places = Array.from({ length: workers }, (): Place => {
    const place = { job: undefined, ready: false, stillborn: 0 } as unknown as Place;
    start(place);
    return place;
  });

  const poll = setInterval(() => {
    if (stopped || !host.interrupted()) return;
    stopped = true;
    for (const job of queue.splice(0)) job.reject(new Interrupted(job.title));
    for (const { child } of places) order(child, { type: 'stop' });
  }, pollMs);

  return {
    run: (task, onMessage = (message) => host.send(message)) =>
      new Promise((resolve, reject) => {
        if (broken !== undefined) return reject(broken);
        if (stopped) return reject(new Interrupted(title(task)));
        const answered = resolve as (answer: unknown) => void;
        queue.push({ task, title: title(task), onMessage, resolve: answered, reject, deaths: 0 });
        places.forEach(give);
      }),
    close,
  };
}
