/**
 * @file Runs a job in a worker thread, so that whoever started it stays responsive: progress bars move, Ctrl-C is
 * heard. The request to stop is a word of shared memory that the job polls, because a thread that computes reads no
 * messages.
 */
import { Worker } from 'node:worker_threads';
import { compiledModule } from '../../base/modules.js';
import type { RunConfig } from '../config/config.js';
import type { ConvertRequest, ConvertResult } from './convert-job.js';
import type { EvaluateRequest, EvaluateResult } from './evaluate-job.js';
import type { JobMessage } from '../run/host.js';
import { revivedError, type PostedError } from './posted-error.js';
import type { RankRequest } from '../rank/request.js';
import type { RankResult } from '../rank/result.js';
import type { ProbeRequest, ProbeResult } from '../reproduce/probe-job.js';
import type { RunResult } from '../run/result.js';
import type { TrainResult } from './train-job.js';
import type { TrainRequest } from './train-request.js';

/** The jobs there are: what each is given and what it returns. All plain data. */
export interface Jobs {
  readonly search: {
    readonly request: {
      readonly config: RunConfig;
      readonly path: string;
      readonly resume: boolean;
      readonly command: string;
    };
    readonly result: RunResult;
  };
  readonly train: { readonly request: TrainRequest; readonly result: TrainResult };
  readonly convert: { readonly request: ConvertRequest; readonly result: ConvertResult };
  readonly evaluate: { readonly request: EvaluateRequest; readonly result: EvaluateResult };
  readonly rank: { readonly request: RankRequest; readonly result: RankResult };
  readonly probe: { readonly request: ProbeRequest; readonly result: ProbeResult };
}

/** A job with its request, as it is posted. */
export type JobRequest = {
  readonly [K in keyof Jobs]: { readonly kind: K; readonly request: Jobs[K]['request'] };
}[keyof Jobs];

/** What the worker thread is started with. */
export interface JobWork {
  readonly job: JobRequest;
  /** One word: anything but zero asks the job to stop. */
  readonly stop: Int32Array;
}

/** What the worker thread posts. */
export type JobReport =
  | { readonly type: 'message'; readonly message: JobMessage }
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'error'; readonly error: PostedError };

export interface RunningJob<T> {
  /** Resolves to the job's result, or rejects with the error that the job threw. */
  readonly done: Promise<T>;
  /** Asks the job to save its state and stop; `done` then rejects with `Interrupted`. */
  stop(): void;
  /** Ends the thread at once; `done` rejects. */
  kill(): void;
}

/** Starts `job` on a thread of its own; `onMessage` gets its progress. */
export function runInWorker<K extends keyof Jobs>(
  kind: K,
  request: Jobs[K]['request'],
  onMessage: (message: JobMessage) => void,
): RunningJob<Jobs[K]['result']> {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const work: JobWork = { job: { kind, request } as JobRequest, stop };
  // The parent's flags (loaders, inspectors) are of no use to compiled JavaScript.
  const worker = new Worker(compiledModule('pipeline/jobs/job-worker.js'), {
    workerData: work,
    execArgv: [],
  });
  const done = new Promise<Jobs[K]['result']>((resolve, reject) => {
    worker.on('message', (report: JobReport) => {
      if (report.type === 'message') onMessage(report.message);
      else if (report.type === 'result') resolve(report.result as Jobs[K]['result']);
      else reject(revivedError(report.error));
    });
    worker.on('error', reject);
    worker.on('exit', (code) =>
      reject(new Error(`the ${kind} job's thread ended early (exit code ${code})`)),
    );
  });
  return {
    done,
    stop: () => void Atomics.store(stop, 0, 1),
    kill: () => void worker.terminate(),
  };
}
