/**
 * @file The native device: the op contract of `../kernels.ts` on the C kernels of `native/`.
 *
 * The addon is built by the package's install script and may be absent (no compiler); then there is simply no native
 * device and the caller takes another one. The kernels pick the processor's best instruction set when they
 * are loaded (SHIFTADDNAS_ISA forces a lower one) and run on a pool of threads of their own (SHIFTADDNAS_THREADS, or
 * one per available processor). Results do not depend on the number of threads.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { OptionError, messageOf } from '../../base/errors.js';
import { packageRoot } from '../../base/modules.js';
import { checkThreads, type CompiledDevice } from '../compiled/device.js';
import { compiledKernels, type CompiledOps } from '../compiled/kernels.js';
import type { DeviceFacts, Kernels } from '../kernels.js';

interface Addon extends CompiledOps {
  readonly isa: string;
  allocate(length: number): ArrayBuffer;
  setThreads(threads: number): void;
  getThreads(): number;
}

/** Where the install script puts the addon. */
export const addonPath = join(packageRoot, 'build', 'Release', 'shiftaddnas.node');

interface Loaded {
  readonly device?: CompiledDevice;
  readonly problem?: string;
}

let loaded: Loaded | undefined;

/**
 * The native device, or undefined when the addon was not built or cannot be loaded here ({@link nativeProblem} tells).
 * Its number of threads is that of the whole process.
 * @throws OptionError when SHIFTADDNAS_ISA or SHIFTADDNAS_THREADS has a value that cannot be met.
 */
export function loadNativeDevice(): CompiledDevice | undefined {
  return load().device;
}

/** The kernels of {@link loadNativeDevice}. */
export function loadNativeKernels(): Kernels | undefined {
  return load().device?.kernels;
}

/** Why there is no native device, in one line; undefined when there is one. */
export function nativeProblem(): string | undefined {
  return load().problem;
}

/** How to get the native device where there is none. Not by npm, which may be told to run no scripts of packages. */
export function nativeRemedy(): string {
  const script = join(packageRoot, 'scripts', 'build-addon.mjs');
  const fromHere = relative(process.cwd(), script);
  return `for the fast one install g++, make and python3, then run: node ${fromHere.startsWith('..') ? script : fromHere}`;
}

/** Instruction set in use (`avx512`, `avx2`, `sse4`, `generic`) and number of threads. @throws Error without addon. */
export function nativeInfo(): DeviceFacts {
  return loadedDevice().kernels.describe();
}

/** Sets the number of threads (>= 1) of the whole process from the next op on. @throws Error without addon. */
export function setThreads(threads: number): void {
  loadedDevice().setThreads(threads);
}

function loadedDevice(): CompiledDevice {
  const { device, problem } = load();
  if (device === undefined) throw new Error(problem);
  return device;
}

function load(): Loaded {
  return (loaded ??= tryToLoad());
}

function tryToLoad(): Loaded {
  if (!existsSync(addonPath)) return { problem: 'the native engine is not built' };
  try {
    const addon = createRequire(import.meta.url)(addonPath) as Addon;
    return { device: deviceOf(addon) };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'BAD_OPTION')
      throw new OptionError(error.message, { cause: error });
    return { problem: `the native engine cannot be loaded (${messageOf(error)})` };
  }
}

function deviceOf(addon: Addon): CompiledDevice {
  const facts = {
    name: 'native',
    describe: () => ({ isa: addon.isa, threads: addon.getThreads() }),
    allocate: (length: number) => new Float32Array(addon.allocate(length)),
  };
  return {
    kernels: compiledKernels(facts, addon),
    setThreads: (threads) => {
      checkThreads(threads);
      addon.setThreads(threads);
    },
    presentThreads: () => addon.getThreads(), // an op starts those that are missing before it goes on
    probe: addon.probe,
  };
}
