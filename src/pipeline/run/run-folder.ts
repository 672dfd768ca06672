/**
 * @file The folder of a run: where each file stands, and the rules for opening it.
 *
 *     config.json          the resolved configuration
 *     events.jsonl         what happened, append-only
 *     state.json           how far the run is (replaced atomically)
 *     checkpoints/         weights of the phase in progress, and of the trained supernet
 *     networks/NAME/       architecture.json and model.safetensors of every retrained network
 *     result.json, model.safetensors, architecture.json, model.onnx, report.html
 */
import { accessSync, constants, existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { FileError, OutputError, isSystemError, messageOf } from '../../base/errors.js';
import { appendLine, dropTornLine, makeFolder, readJson, writeFileAtomic } from '../../base/files.js';
import { releaseLock, takeLock } from '../../base/process-lock.js';
import { decodeSafetensors, encodeSafetensors, type SafetensorsContent } from '../../nn/safetensors.js';
import type { TrainingCheckpoint } from '../../training/train.js';
import type { RunEvent } from './result.js';

/** Bumped when a checkpoint of an older version can no longer be read. */
const stateVersion = 1;
const lockFile = '.lock';
/** Files that a killed process was writing. */
const leftover = /^\..*\.\d+\.tmp$/;

/** What every version of a state has. */
const versionSchema = z.object({ format: z.literal('shiftaddnas-run'), version: z.number() });

const stateSchema = versionSchema.extend({
  /** Fingerprint of everything that the results depend on. */
  identity: z.string(),
  startedAt: z.string(),
  /** The command that began the run. */
  command: z.string(),
  /** Wall-clock seconds spent by phase, over all sessions. */
  phaseSeconds: z.record(z.string(), z.number()),
  finishedPhases: z.array(z.string()),
  /** Results of finished phases, by phase name. */
  results: z.record(z.string(), z.unknown()),
});

export type RunState = z.output<typeof stateSchema>;

export class RunFolder {
  constructor(readonly path: string) {}

  file(...parts: readonly string[]): string {
    return join(this.path, ...parts);
  }

  get name(): string {
    return basename(resolve(this.path));
  }

  /** @throws OutputError when the folder holds anything already, or is no folder */
  requireFresh(): void {
    let names: readonly string[];
    try {
      names = readdirSync(this.path);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return;
      throw new OutputError(`${this.path}: cannot write here (${messageOf(error)}); choose another --out`, {
        cause: error,
      });
    }
    // A run that was killed before it wrote its configuration has begun nothing.
    if (names.some((name) => name !== lockFile && !leftover.test(name)))
      throw new OutputError(
        `${this.path} already holds files; go on with it by --resume ${this.path}, or choose another folder`,
      );
  }

  /** Checks before long work that the folder can be made and written. @throws OutputError */
  requireWritable(): void {
    let existing = resolve(this.path);
    while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
    try {
      accessSync(existing, constants.W_OK | constants.X_OK);
      if (!statSync(existing).isDirectory()) throw new Error(`${existing} is not a folder`);
    } catch (error) {
      throw new OutputError(`${this.path}: cannot write here (${messageOf(error)}); choose another --out`, {
        cause: error,
      });
    }
  }

  /** Makes the folder. @throws OutputError when it holds anything already or cannot be written */
  create(): void {
    this.requireFresh();
    try {
      makeFolder(this.path);
      accessSync(this.path, constants.W_OK);
    } catch (error) {
      throw new OutputError(`${this.path}: cannot write here (${messageOf(error)}); choose another --out`, {
        cause: error,
      });
    }
  }

  /** Takes the folder for this process. @throws OutputError when another living process works on it */
  lock(): void {
    const holder = takeLock(this.file(lockFile));
    if (holder !== undefined)
      throw new OutputError(`${this.path}: process ${holder} is working on this run; wait for it or stop it`);
    for (const name of readdirSync(this.path, { recursive: true, encoding: 'utf8' }))
      if (leftover.test(basename(name))) rmSync(this.file(name), { force: true });
    dropTornLine(this.file('events.jsonl'));
  }

  unlock(): void {
    releaseLock(this.file(lockFile));
  }

  /** The saved state; undefined when the run has none yet. @throws FileError for another version or another identity */
  readState(identity: string): RunState | undefined {
    const path = this.file('state.json');
    if (!existsSync(path)) return undefined;
    const json = readJson(path);
    const written = versionSchema.safeParse(json);
    if (written.success && written.data.version !== stateVersion)
      throw new FileError(
        `${path}: written by checkpoint version ${written.data.version}, this program reads version ${stateVersion}; ` +
          'finish the run with the version that began it, or start again',
      );
    const parsed = stateSchema.safeParse(json);
    if (!parsed.success) throw new FileError(`${path}: not the state of a run; start again in a new folder`);
    if (parsed.data.identity !== identity)
      throw new FileError(
        `${path}: belongs to another configuration, data set or search space; ` +
          'restore its config.json and data, or start a new run',
      );
    return parsed.data;
  }

  writeState(state: Omit<RunState, 'format' | 'version'>): void {
    writeFileAtomic(
      this.file('state.json'),
      JSON.stringify({ format: 'shiftaddnas-run', version: stateVersion, ...state }, undefined, 1),
    );
  }

  append(event: RunEvent): void {
    appendLine(this.file('events.jsonl'), JSON.stringify(event));
  }

  /** Every whole event; a line torn by a crash is left out. */
  readEvents(): readonly RunEvent[] {
    return readEvents(this.file('events.jsonl'));
  }

  writeCheckpoint(phase: string, identity: string, checkpoint: TrainingCheckpoint): void {
    const metadata = { format: 'shiftaddnas-checkpoint', identity, phase, step: String(checkpoint.step) };
    writeFileAtomic(this.#checkpointPath(phase), encodeSafetensors(checkpoint.tensors, metadata));
  }

  /** The phase's last checkpoint; undefined when there is none. @throws FileError when it is damaged or foreign */
  readCheckpoint(phase: string, identity: string): TrainingCheckpoint | undefined {
    const path = this.#checkpointPath(phase);
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(path);
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return undefined;
      throw new FileError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
    }
    const { tensors, metadata } = decodeCheckpoint(bytes, path);
    const step = Number(metadata['step'] ?? NaN);
    const isOurs = metadata['format'] === 'shiftaddnas-checkpoint' && metadata['phase'] === phase;
    if (!isOurs || metadata['identity'] !== identity || !Number.isInteger(step) || step < 0)
      throw new FileError(
        `${path}: belongs to another run or search space; delete it to begin this phase again`,
      );
    return { step, tensors };
  }

  hasCheckpoint(phase: string): boolean {
    return existsSync(this.#checkpointPath(phase));
  }

  removeCheckpoint(phase: string): void {
    rmSync(this.#checkpointPath(phase), { force: true });
  }

  #checkpointPath(phase: string): string {
    return this.file('checkpoints', `${phase.replace(':', '-')}.safetensors`);
  }
}

function decodeCheckpoint(bytes: Uint8Array, path: string): SafetensorsContent {
  try {
    return decodeSafetensors(bytes, path);
  } catch (error) {
    throw new FileError(`${messageOf(error)}; delete it to begin this phase again`, { cause: error });
  }
}

/** Reads an event log, leaving out a last line that a crash tore. @throws FileError for a broken line elsewhere */
export function readEvents(path: string): readonly RunEvent[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  lines.pop();
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as RunEvent;
    } catch (error) {
      throw new FileError(`${path}:${index + 1}: not an event; delete the line to go on without it`, {
        cause: error,
      });
    }
  });
}
