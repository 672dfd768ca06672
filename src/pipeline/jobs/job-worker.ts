/**
 * @file The worker thread of a job: runs it, posts its progress and its end.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { deviceNotice } from '../../tensor/choose-device.js';
import { runConvertJob } from './convert-job.js';
import { runEvaluateJob } from './evaluate-job.js';
import type { JobHost } from '../run/host.js';
import { postedError } from './posted-error.js';
import type { JobReport, JobRequest, JobWork } from './run-in-worker.js';
import { runRankJob } from '../rank/job.js';
import { runProbeJob } from '../reproduce/probe-job.js';
import { runSearchJob } from './search-job.js';
import { runTrainJob } from './train-job.js';

const { job, stop } = workerData as JobWork;

function post(report: JobReport): void {
  parentPort?.postMessage(report);
}

/**
 * The host posts. Before the first phase it says when a slow device is in use: not in front of a bad option.
 * @throws OptionError when the environment asks for a device or a number of threads that there is not
 */
function createHost(): JobHost {
  let notice = deviceNotice();
  return {
    send(message) {
      if (notice !== undefined && message.type === 'phase') {
        post({ type: 'message', message: { type: 'notice', message: notice } });
        notice = undefined;
      }
      post({ type: 'message', message });
    },
    interrupted: () => Atomics.load(stop, 0) !== 0,
  };
}

function run({ kind, request }: JobRequest, host: JobHost): Promise<unknown> {
  switch (kind) {
    case 'search': {
      const { config, path, resume, command } = request;
      return runSearchJob(config, path, { resume, command }, host);
    }
    case 'train':
      return runTrainJob(request, host);
    case 'convert':
      return runConvertJob(request, host);
    case 'evaluate':
      return runEvaluateJob(request, host);
    case 'rank':
      return runRankJob(request, host);
    case 'probe':
      return runProbeJob(request, host);
  }
}

try {
  post({ type: 'result', result: await run(job, createHost()) });
} catch (error) {
  post({ type: 'error', error: postedError(error) });
}
