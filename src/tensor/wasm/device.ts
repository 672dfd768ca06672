/**
 * @file The WebAssembly device in Node: the module beside this file, threads of `worker_threads`.
 *
 * It needs no compiler and no install script, so it computes wherever the addon cannot. SHIFTADDNAS_THREADS sets the
 * threads, or there is one per available processor; they start at the first op that can use them and never keep the
 * process alive.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../base/errors.js';
import { maxThreads } from '../compiled/device.js';
import { threadsWanted } from '../environment.js';
import type { Kernels } from '../kernels.js';
import { createWasmDevice, threadBody, type ThreadStart, type WasmDevice } from './engine.js';
import { webAssembly } from './webassembly.js';

interface Loaded {
  readonly device?: WasmDevice;
  readonly problem?: string;
}

let loaded: Loaded | undefined;

/**
 * The device, one for each JavaScript thread; undefined where WebAssembly lacks SIMD or shared memory
 * ({@link wasmProblem} tells).
 * @throws OptionError when SHIFTADDNAS_THREADS has a value that cannot be met
 */
export function loadWasmDevice(): WasmDevice | undefined {
  return load().device;
}

/** The kernels of {@link loadWasmDevice}. */
export function loadWasmKernels(): Kernels | undefined {
  return load().device?.kernels;
}

/** Why there is no WebAssembly device, in one line; undefined when there is one. */
export function wasmProblem(): string | undefined {
  return load().problem;
}

function load(): Loaded {
  return (loaded ??= tryToLoad());
}

function tryToLoad(): Loaded {
  const threads = threadsWanted() ?? Math.min(availableParallelism(), maxThreads);
  try {
    if (webAssembly === undefined) throw new Error('this Node has no WebAssembly');
    const module = new webAssembly.Module(readFileSync(new URL('./shiftaddnas.wasm', import.meta.url)));
    return { device: createWasmDevice(module, { threads, maySleep: true, startThread }) };
  } catch (error) {
    return {
      problem:
        `the WebAssembly engine cannot be loaded (${messageOf(error)}); ` +
        'install the package again, or in a clone run: npm run build:wasm && npm run build',
    };
  }
}

const threadScript = `
  const { workerData: start } = require('node:worker_threads');
  const ready = () => {};
  ${threadBody}`;

/** A thread that does not keep the process alive, and has no part in its input, output and options. */
function startThread(start: ThreadStart, lost: () => void): void {
  try {
    const worker = new Worker(threadScript, { eval: true, workerData: start, execArgv: [], env: {} });
    worker.on('error', lost);
    worker.unref();
  } catch {
    lost();
  }
}
