/**
 * @file Phases of a run: each runs once, leaves its result in state.json, and says in the log when it began and ended.
 */
import type { JobHost } from './host.js';
import type { RunFolder, RunState } from './run-folder.js';

export type RunStateDraft = Omit<RunState, 'format' | 'version'>;

/** What a phase in progress may do with the run's state. */
export interface PhaseClock<T> {
  /** What an earlier session of this phase saved; undefined when there is nothing. */
  readonly saved: T | undefined;
  /** Keeps a partial result and the time spent so far. */
  save(partial: T): void;
  /** Keeps the time spent so far; called with every checkpoint, so that a killed session's time counts. */
  tick(): void;
  /** Seconds spent in this phase, over all sessions. */
  seconds(): number;
}

/** Runs phases of one run, skipping what earlier sessions finished. Several may run at once. */
export class Phases {
  constructor(
    private readonly folder: RunFolder,
    private readonly state: RunStateDraft,
    private readonly host: JobHost,
  ) {}

  isFinished(name: string): boolean {
    return this.state.finishedPhases.includes(name);
  }

  /** The result of phase `name`: from the state when it is finished, else from `work`. */
  async run<T>(name: string, work: (clock: PhaseClock<T>) => T | Promise<T>): Promise<T> {
    const { state, folder } = this;
    if (this.isFinished(name)) return state.results[name] as T;
    const before = state.phaseSeconds[name];
    this.#announce(name, before === undefined ? 'started' : 'resumed');
    const started = performance.now();
    const seconds = (): number => (before ?? 0) + (performance.now() - started) / 1000;
    const tick = (): void => {
      state.phaseSeconds[name] = seconds();
      folder.writeState(state);
    };
    const save = (partial: T): void => {
      state.results[name] = partial;
      tick();
    };
    tick();
    const result = await work({ saved: state.results[name] as T | undefined, save, tick, seconds });
    state.finishedPhases.push(name);
    save(result);
    this.#announce(name, 'finished');
    return result;
  }

  #announce(phase: string, state: 'started' | 'finished' | 'resumed'): void {
    this.folder.append({ type: 'phase', time: new Date().toISOString(), phase, state });
    this.host.send({ type: 'phase', phase, state });
  }
}
