/**
 * @file What a job and its worker processes say to each other. All plain data, sent by structured clone.
 *
 * A worker process has two threads. The first hears the job and ends the process as soon as the job is gone, which the
 * closed channel tells, so that no worker outlives it however it was killed. The second one computes.
 */
import type { Genome } from '../../spaces/contract.js';
import type { RunConfig } from '../config/config.js';
import type { JobMessage } from '../run/host.js';
import type { PostedError } from '../jobs/posted-error.js';
import type { LearningData } from '../training/prepared-data.js';
import type { StandAlone, StandAloneSetup, StandAloneTask } from '../rank/stand-alone.js';

/** The kinds of work: what a worker is told once, what it is asked again and again, and what it answers. */
export interface WorkKinds {
  /** Judges networks by a trained supernet. */
  readonly judge: {
    readonly setup: {
      readonly config: RunConfig;
      /** No more images than the judge needs. */
      readonly data: LearningData;
      /** Folder of the run that holds the supernet's weights, and the identity that they were written under. */
      readonly folder: string;
      readonly identity: string;
    };
    readonly task: Genome;
    /** On search-validation, 0 to 1. */
    readonly answer: number;
  };
  /** Trains networks alone, for `rank`. */
  readonly standAlone: {
    readonly setup: StandAloneSetup;
    readonly task: StandAloneTask;
    readonly answer: StandAlone;
  };
}

export type WorkKind = keyof WorkKinds;

/** A kind with its setup, as it is sent. */
export type WorkSetup = {
  readonly [K in WorkKind]: { readonly kind: K; readonly setup: WorkKinds[K]['setup'] };
}[WorkKind];

/** From the job to a worker. */
export type Order =
  | { readonly type: 'setup'; readonly work: WorkSetup }
  | { readonly type: 'task'; readonly task: unknown }
  /** To save what is being done and stop. */
  | { readonly type: 'stop' };

/** From a worker to the job. */
export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'message'; readonly message: JobMessage }
  | { readonly type: 'answer'; readonly answer: unknown }
  | { readonly type: 'error'; readonly error: PostedError };

/** What the computing thread is started with. */
export interface ThreadWork {
  readonly work: WorkSetup;
  /** One word: anything but zero asks to stop. */
  readonly stop: Int32Array;
}
