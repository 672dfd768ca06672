/**
 * @file The WebAssembly device, for whoever can compile a module and start threads: Node (`device.ts`) and the browser
 * (`web.ts`).
 *
 * Buffers of `allocate` lie in the module's memory, where the kernels work on them in place. Buffers from elsewhere (a
 * batch of the loader) are copied in, and out again. Every JavaScript thread that computes has an engine of its own, with
 * its own memory and threads. Results do not depend on the number of threads.
 */
import { checkThreads, type CompiledDevice } from '../compiled/device.js';
import { compiledKernels } from '../compiled/kernels.js';
import { opsOf } from './calls.js';
import { Instance } from './instance.js';
import type { WasmMemory, WasmModule } from './webassembly.js';

/** All that a thread needs to take part; can be posted. */
export interface ThreadStart {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  /** Address of the end of the thread's stack. */
  readonly stack: number;
  /** From 0; the thread that owns the engine is not counted. */
  readonly index: number;
}

export interface EngineOptions {
  /** Threads that take part in an op, the caller's included. */
  readonly threads: number;
  /** Whether the calling thread may sleep until others are done; the thread of a web page may only spin. */
  readonly maySleep: boolean;
  /**
   * Starts a thread that runs {@link threadBody}. Nobody waits for it: until it comes, ops run on fewer threads. Calls
   * `lost` when it is known that it never comes. Called at the first op that can use it.
   */
  readonly startThread: (start: ThreadStart, lost: () => void) => void;
}

export interface WasmDevice extends CompiledDevice {
  /** Starts all threads now. */
  startThreads(): void;
}

/**
 * What a thread runs on a {@link ThreadStart} named `start`, as text: the thread is an ordinary script in every
 * surrounding, so that no file of its own has to be found there. It never ends; when a kernel traps (a defect), the
 * thread says so before it goes, or the op would wait for it for ever.
 */
export const threadBody = `
  const { exports } = new WebAssembly.Instance(start.module, { env: { memory: start.memory } });
  exports.__stack_pointer.value = start.stack;
  ready();
  try {
    exports.sa_work(start.index);
  } catch (error) {
    exports.__stack_pointer.value = start.stack;
    exports.sa_abandon();
    throw error;
  }`;

const STACK_BYTES = 1 << 19;

/**
 * A device over the module.
 * @throws Error where there is no WebAssembly with SIMD and shared memory
 */
export function createWasmDevice(module: WasmModule, options: EngineOptions): WasmDevice {
  const instance = new Instance(module);
  const { exports } = instance;
  let asked = 0;
  const lost = new Set<number>();

  const startThreads = (): void => {
    while (asked < exports.sa_threads() - 1) {
      const base = instance.take(STACK_BYTES);
      if (base === undefined) return;
      const index = asked++;
      const start = { module, memory: instance.memory, stack: base + STACK_BYTES, index };
      options.startThread(start, () => lost.add(index));
    }
  };
  const setThreads = (threads: number): void => {
    checkThreads(threads);
    exports.sa_set_threads(threads);
  };
  exports.sa_may_sleep(options.maySleep ? 1 : 0);
  setThreads(options.threads);

  const ops = opsOf(instance, () => {
    if (exports.sa_lacking() !== 0) startThreads();
  });
  const isa = instance.text(exports.sa_isa());
  return {
    kernels: compiledKernels(
      {
        name: 'wasm',
        describe: () => {
          const threads = exports.sa_threads();
          return { isa, threads: threads - [...lost].filter((index) => index < threads - 1).length };
        },
        allocate: (length) => instance.allocate(length),
      },
      ops,
    ),
    setThreads,
    probe: ops.probe,
    startThreads,
    presentThreads: () => Math.min(exports.sa_threads(), 1 + exports.sa_started()),
  };
}
