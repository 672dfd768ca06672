/**
 * @file How a job talks to whoever started it: progress out, requests to stop in. No terminal, no files.
 */
import type { LoadProgress } from '../../data/dataset.js';
import type { TrainingProgress } from '../../training/train.js';

export interface SearchProgress {
  /** The phase: the search itself, or the one that it is held against. */
  readonly title: string;
  readonly generation: number;
  readonly generations: number;
  /** Candidates judged so far in this generation, and how many it has. */
  readonly candidate: number;
  readonly candidates: number;
  /** Over the whole search. */
  readonly evaluated: number;
  readonly bestAccuracy: number;
}

export type JobMessage =
  | ({ readonly type: 'loading' } & LoadProgress)
  | ({ readonly type: 'training' } & TrainingProgress & {
        /** Forward and backward passes so far, where a step may have several. */
        readonly passes?: number;
      })
  | ({ readonly type: 'search' } & SearchProgress)
  | { readonly type: 'measuring'; readonly done: number; readonly total: number; readonly operation: string }
  | {
      readonly type: 'ranking';
      /** What is being done to the networks. */
      readonly title: string;
      readonly done: number;
      readonly total: number;
      readonly text: string;
    }
  | { readonly type: 'phase'; readonly phase: string; readonly state: 'started' | 'finished' | 'resumed' }
  | { readonly type: 'notice'; readonly message: string };

export interface JobHost {
  send(message: JobMessage): void;
  /** Polled often; true asks the job to save its state and stop. */
  interrupted(): boolean;
}

/** A host that says nothing and never stops a job. */
export const silentHost: JobHost = { send: () => undefined, interrupted: () => false };
