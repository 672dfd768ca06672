/**
 * @file PyTorch as a process that takes one request at a time (`peer/peer.py`), in the environment that suits it best.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { PeerCase } from './case.js';
import type { Digest } from './inputs.js';
import type { Samples } from './statistics.js';

const script = fileURLToPath(new URL('peer/peer.py', import.meta.url));
const interpreters = ['python3', '/usr/bin/python3'];
/** A request that takes longer has hung. */
const patienceMs = 300_000;

export const howToInstall =
  'install it with: apt install python3-torch libopenblas0 (or: pip install torch), or leave it out with --no-torch';

/** What a peer says of itself when it starts. */
export interface PeerDescription {
  readonly torch: string;
  readonly python: string;
  /** Vector instructions of ATen's own kernels. */
  readonly capability: string;
  readonly openblas: boolean;
  readonly avx512: boolean;
}

export interface Prepared {
  /** The fastest form, and the best time of each in milliseconds. */
  readonly form: string;
  readonly forms: Readonly<Record<string, number>>;
  /** The form that is usually published, where it is another one; timed on a part of the work and scaled up. */
  readonly published: { readonly form: string; readonly ms: number } | null;
  readonly digests: readonly Digest[] | null;
  readonly facts: Readonly<Record<string, number>>;
}

export interface PeakMemory {
  readonly beforeKiB: number;
  readonly peakKiB: number;
}

/** PyTorch could not do this one case; the process lives on. */
export class PeerCaseError extends Error {}
/** The process is gone. */
export class PeerGoneError extends Error {}

/** Milliseconds of a matrix product and of operations on rows. */
type Speeds = Readonly<Record<'matmul' | 'rows', number>>;
type Settings = Readonly<Record<string, string>>;

export class Peer {
  #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void } | undefined;
  #gone: string | undefined;
  #complaints = '';

  private constructor(private readonly child: ChildProcessWithoutNullStreams) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#waiting?.resolve(line);
      this.#waiting = undefined;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints = (this.#complaints + text).slice(-2000);
    });
    // Writing to a process that has just died is reported by its exit.
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => this.#leave(error.message));
    child.on('close', (code, signal) => this.#leave(signal ?? `exit code ${code}`));
  }

  /** Starts `interpreter` with `settings` added to the environment. @throws PeerGoneError when it has no PyTorch */
  static async start(
    interpreter: string,
    settings: Settings,
  ): Promise<{ readonly peer: Peer; readonly description: PeerDescription }> {
    const env = { ...process.env, ...settings };
    // A kernel set that the shell happens to name is not this machine's best.
    for (const name of kernelSets) if (!(name in settings)) Reflect.deleteProperty(env, name);
    // Idle workers of OpenBLAS spin for long otherwise, and slow down whoever comes next.
    env['OPENBLAS_THREAD_TIMEOUT'] = '20';
    const peer = new Peer(spawn(interpreter, ['-B', script], { env, stdio: 'pipe' }));
    return { peer, description: (await peer.#answer()) as PeerDescription };
  }

  prepare(peerCase: PeerCase, threads: number): Promise<Prepared> {
    return this.#ask({ do: 'prepare', case: peerCase, threads }) as Promise<Prepared>;
  }

  time(request: {
    readonly threads: number;
    readonly calls: number;
    readonly samples: number;
    readonly warmUp: boolean;
  }): Promise<Samples> {
    return this.#ask({ do: 'time', ...request }) as Promise<Samples>;
  }

  /** Lets go of the prepared case. */
  async release(): Promise<void> {
    await this.#ask({ do: 'release' });
  }

  /** On one thread, where processor time keeps the answer clear of what else runs. */
  probe(): Promise<Speeds> {
    return this.#ask({ do: 'probe', threads: 1 }) as Promise<Speeds>;
  }

  peakMemory(family: string, batch: number, threads: number): Promise<PeakMemory> {
    return this.#ask({ do: 'memory', family, batch, threads }) as Promise<PeakMemory>;
  }

  close(): void {
    this.#gone ??= 'closed';
    this.child.kill();
  }

  async #ask(request: object): Promise<unknown> {
    if (this.#gone !== undefined) throw new PeerGoneError(this.#gone);
    const answer = this.#answer();
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    return answer;
  }

  async #answer(): Promise<unknown> {
    const timer = setTimeout(() => {
      this.#leave(`no answer within ${patienceMs / 60_000} minutes`);
      this.child.kill('SIGKILL');
    }, patienceMs);
    try {
      const line = await new Promise<string>((resolve, reject) => {
        if (this.#gone === undefined) this.#waiting = { resolve, reject };
        else reject(new PeerGoneError(this.#gone));
      });
      const answer = JSON.parse(line) as unknown;
      if (isRefusal(answer)) throw new PeerCaseError(answer.error);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  #leave(why: string): void {
    const last = this.#complaints.trim().split('\n').at(-1) ?? '';
    this.#gone ??= last === '' ? why : `${why}: ${last}`;
    this.#waiting?.reject(new PeerGoneError(this.#gone));
    this.#waiting = undefined;
  }
}

function isRefusal(answer: unknown): answer is { readonly error: string } {
  return typeof answer === 'object' && answer !== null && 'error' in answer;
}

/**
 * Has the C library keep freed memory, as the tuning guide of PyTorch advises (there by another allocator): results of
 * many megabytes otherwise come from fresh pages each time, and batch norm, say, takes twice as long in some runs.
 */
const keepMemory: Settings = {
  MALLOC_MMAP_THRESHOLD_: String(2 ** 30),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
  MALLOC_TOP_PAD_: String(2 ** 26),
};

/** Variables that choose the kernels of OpenBLAS and of ATen. */
const kernelSets = ['OPENBLAS_CORETYPE', 'ATEN_CPU_CAPABILITY'];

export enum Purpose {
  Time = 'time',
  Memory = 'memory',
}

/** A way to start PyTorch. */
export interface PeerLauncher {
  readonly description: PeerDescription;
  readonly interpreter: string;
  readonly settings: Settings;
  /** A process for measuring time, or memory: the one for time keeps what it once took. */
  start(purpose: Purpose): Promise<Peer>;
}

/**
 * Finds a Python that has PyTorch, and the kernel sets with which it is fastest here: OpenBLAS and ATen of
 * distributions do not know every AVX-512 processor and fall back to AVX2.
 * @throws PeerGoneError when no Python has PyTorch
 */
export async function findPeer(): Promise<PeerLauncher> {
  let refusal: unknown;
  for (const interpreter of interpreters) {
    try {
      const { peer, description } = await Peer.start(interpreter, keepMemory);
      const plain = await peer.probe();
      peer.close();
      const settings = description.avx512 ? await fasterSettings(interpreter, description, plain) : {};
      return {
        interpreter,
        settings,
        description: {
          ...description,
          capability: settings['ATEN_CPU_CAPABILITY'] ?? description.capability,
        },
        start: async (purpose) => {
          const extra = purpose === Purpose.Time ? keepMemory : {};
          return (await Peer.start(interpreter, { ...settings, ...extra })).peer;
        },
      };
    } catch (error) {
      if (!(error instanceof PeerGoneError)) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

async function fasterSettings(
  interpreter: string,
  description: PeerDescription,
  plain: Speeds,
): Promise<Settings> {
  const trial = {
    ...(description.openblas && { OPENBLAS_CORETYPE: 'SkylakeX' }),
    ATEN_CPU_CAPABILITY: 'avx512',
  };
  const { peer } = await Peer.start(interpreter, { ...trial, ...keepMemory });
  const tried = await peer.probe();
  peer.close();
  return {
    ...(description.openblas && tried.matmul < 0.95 * plain.matmul && { OPENBLAS_CORETYPE: 'SkylakeX' }),
    ...(tried.rows < 0.95 * plain.rows && { ATEN_CPU_CAPABILITY: 'avx512' }),
  };
}
