/**
 * @file What the tests of the command share: running it as a user does, in temporary folders, on small data made here.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { packageRoot } from '../src/base/modules.js';
import { Random } from '../src/base/random.js';
import type { RunConfigInput } from '../src/pipeline/config/config.js';
import type { RunEvent, RunResult } from '../src/pipeline/run/result.js';

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Shell commands before the program, such as a limit on the size of files. */
  readonly limits?: string;
}

const program = join(packageRoot, 'dist', 'cli', 'main.js');

/** A command that runs; `finished` resolves when it has ended and its output is read. */
export function start(
  args: readonly string[],
  options: RunOptions = {},
): { readonly child: ChildProcess; readonly finished: Promise<Finished> } {
  // Through `exec` the process keeps its id, so that signals reach the program and not a shell.
  const shell = ['-c', `${options.limits}; exec "$0" "$@"`, process.execPath, program, ...args];
  const [file, rest] =
    options.limits === undefined ? [process.execPath, [program, ...args]] : ['bash', shell];
  const child = spawn(file, rest, {
    cwd: options.cwd ?? tmpdir(),
    env: { ...process.env, SHIFTADDNAS_CACHE: 'off', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, finished };
}

/** Runs the command to its end. */
export function shiftaddnas(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return start(args, options).finished;
}

/** Runs the command and kills it with SIGKILL as soon as `condition` holds. @throws Error when it ended before that */
export async function killWhen(
  args: readonly string[],
  condition: () => boolean,
  options: RunOptions = {},
): Promise<void> {
  const { child, finished } = start(args, options);
  const reached = await until(condition, () => child.exitCode !== null);
  child.kill('SIGKILL');
  const { code, signal, stderr } = await finished;
  if (!reached || signal !== 'SIGKILL')
    throw new Error(
      `${args.join(' ')}: ${reached ? 'ended before the kill' : 'never came to be killed'} (code ${code}) ${stderr}`,
    );
}

/** A folder for a test file with the toy data in it, and the settings of a search over them; gone when the file is done. */
export function toyHome(
  train?: number,
  test?: number,
): { readonly home: string; readonly runs: string; readonly settings: RunConfigInput } {
  const { path: home, remove } = temporaryFolder();
  afterAll(remove);
  const runs = join(home, 'runs');
  return { home, runs, settings: toyConfig(writeToyIdx(join(home, 'data'), train, test), runs) };
}

/** A folder that is gone when the test file is done: call `remove`. */
export function temporaryFolder(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'shiftaddnas-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Bytes of an idx file of uint8. */
export function idxFile(dimensions: readonly number[], data: Uint8Array): Buffer {
  const head = Buffer.alloc(4 + 4 * dimensions.length);
  head[2] = 8;
  head[3] = dimensions.length;
  dimensions.forEach((extent, i) => head.writeUInt32BE(extent, 4 + 4 * i));
  return Buffer.concat([head, data]);
}

export const toySide = 16;
export const toyClasses = 4;

/** One grey 16x16 image of class `label`: a bright bar in one of four places, under noise. */
export function toyImage(label: number, random: Random): Uint8Array {
  const image = new Uint8Array(toySide * toySide);
  for (let y = 0; y < toySide; y++)
    for (let x = 0; x < toySide; x++) {
      const along = label % 2 === 0 ? y : x;
      const bright = Math.floor(along / 8) === Math.floor(label / 2);
      image[y * toySide + x] = Math.round((bright ? 130 : 70) + 60 * random.uniform());
    }
  return image;
}

/** Writes an idx data set of four classes into `folder` and returns its spec. */
export function writeToyIdx(folder: string, train = 360, test = 120): string {
  mkdirSync(folder, { recursive: true });
  const random = Random.stream('toy');
  for (const [part, count] of [
    ['train', train],
    ['t10k', test],
  ] as const) {
    const labels = Uint8Array.from({ length: count }, (_, i) => i % toyClasses);
    const images = Buffer.concat([...labels].map((label) => toyImage(label, random)));
    writeFileSync(join(folder, `${part}-images-idx3-ubyte`), idxFile([count, toySide, toySide], images));
    writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), idxFile([count], labels));
  }
  return `idx:${folder}`;
}

/** A search that takes seconds; every phase is there. */
export function toyConfig(data: string, out: string): RunConfigInput {
  return {
    data,
    out,
    seed: 3,
    budget: 'energy=80%',
    split: { searchValidation: 80 },
    augmentation: { cropPadding: 1, flip: false },
    space: { stemChannels: 4, stageChannels: [4, 8], blocksPerStage: [1, 1] },
    supernet: { epochs: 3, batchSize: 32, peakLearningRate: 0.05 },
    search: {
      generations: 2,
      population: 4,
      parents: 2,
      mutations: 2,
      crossovers: 2,
      recalibrationImages: 64,
      evaluationImages: 80,
    },
    retrain: { epochs: 2, batchSize: 32, peakLearningRate: 0.05 },
    checkpointSeconds: 0.01,
  };
}

/** Writes a configuration (JSON is YAML) and returns its path. */
export function writeConfig(path: string, config: object): string {
  writeFileSync(path, JSON.stringify(config));
  return path;
}

export function readResult(folder: string): RunResult {
  return JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8')) as RunResult;
}

/** Whole events so far; none when there is no log yet. */
export function readEvents(folder: string): readonly RunEvent[] {
  const path = join(folder, 'events.jsonl');
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as RunEvent);
}

/** What must be the same for the same configuration: everything but names, times, the command and the threads. */
export function comparable(folder: string): unknown {
  const result = readResult(folder);
  return {
    ...without(result, 'name', 'command', 'startedAt', 'seconds', 'phaseSeconds'),
    machine: without(result.machine, 'threads'),
    networks: result.networks.map(({ seeds, ...network }) => ({
      ...without(network, 'trainSeconds'),
      seeds: seeds?.map((each) => without(each, 'trainSeconds')),
    })),
    files: fileHashes(folder),
  };
}

function without<T extends object, K extends keyof T>(value: T, ...keys: readonly K[]): Omit<T, K> {
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => !(keys as readonly string[]).includes(key)),
  ) as Omit<T, K>;
}

/** sha256 of every file with weights, by path. */
export function fileHashes(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const weights = names.filter((name) => /\.(safetensors|onnx)$/.test(name)).sort();
  return Object.fromEntries(
    weights.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
    ]),
  );
}

/** Waits until `condition` holds; false when `limitMs` have passed or `give up` holds first. */
export async function until(
  condition: () => boolean,
  giveUp: () => boolean = () => false,
  limitMs = 60_000,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (condition()) return true;
    if (giveUp()) return false;
    await new Promise((resume) => setTimeout(resume, 2));
  }
  return false;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
