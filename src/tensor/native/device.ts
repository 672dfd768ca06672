/**
 * @file The native device: the op contract of `../kernels.ts` on the C kernels of `native/`.
 *
 * The addon is built by the package's install script and may be absent (no compiler); then there is simply no native
 * device and the caller takes the reference one. The kernels pick the processor's best instruction set when they
 * are loaded (SHIFTADDNAS_ISA forces a lower one) and run on a pool of threads of their own (SHIFTADDNAS_THREADS, or
 * one per available processor). Results do not depend on the number of threads.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { OptionError, messageOf } from '../../base/errors.js';
import { packageRoot } from '../../base/modules.js';
import { compiledKernels, type CompiledOps } from '../compiled/kernels.js';
import type { Kernels } from '../kernels.js';

interface Addon extends CompiledOps {
  readonly isa: string;
  allocate(length: number): ArrayBuffer;
  setThreads(threads: number): void;
  getThreads(): number;
}

/** Where the install script puts the addon. */
export const addonPath = join(packageRoot, 'build', 'Release', 'shiftaddnas.node');

interface Loaded {
  readonly addon?: Addon;
  readonly kernels?: Kernels;
  readonly problem?: string;
}

let loaded: Loaded | undefined;

/**
 * The native device, or undefined when the addon was not built or cannot be loaded here ({@link nativeProblem} tells).
 * @throws OptionError when SHIFTADDNAS_ISA or SHIFTADDNAS_THREADS has a value that cannot be met.
 */
export function loadNativeKernels(): Kernels | undefined {
  return load().kernels;
}

/** Why there is no native device, in one line; undefined when there is one. */
export function nativeProblem(): string | undefined {
  return load().problem;
}

/** Instruction set in use (`avx512`, `avx2`, `sse4`, `generic`) and number of threads. @throws Error without addon. */
export function nativeInfo(): { readonly isa: string; readonly threads: number } {
  const addon = loadedAddon();
  return { isa: addon.isa, threads: addon.getThreads() };
}

/** Sets the number of threads (>= 1) of the whole process from the next op on. @throws Error without addon. */
export function setThreads(threads: number): void {
  if (!Number.isInteger(threads) || threads < 1 || threads > 256)
    throw new OptionError(`threads: ${threads} is not a whole number from 1 to 256`);
  loadedAddon().setThreads(threads);
}

/** What the processor can do at best. */
export enum Probe {
  MultiplyAccumulate = 0,
  AbsoluteDifference = 1,
  ClampedGradient = 2,
}

/** Best rate of one thread, in elements per second of processor time, of an inner step on registers alone. */
export function measurePeak(probe: Probe, repeats = 12): number {
  const addon = loadedAddon();
  let best = 0;
  for (let i = 0; i < repeats; i++) {
    const start = process.cpuUsage();
    const elements = addon.probe(probe, 500_000);
    const { user, system } = process.cpuUsage(start);
    best = Math.max(best, (elements / (user + system)) * 1e6);
  }
  return best;
}

function loadedAddon(): Addon {
  const { addon, problem } = load();
  if (addon === undefined) throw new Error(problem);
  return addon;
}

function load(): Loaded {
  return (loaded ??= tryToLoad());
}

function tryToLoad(): Loaded {
  if (!existsSync(addonPath)) return { problem: 'the native engine is not built (npm rebuild builds it)' };
  try {
    const addon = createRequire(import.meta.url)(addonPath) as Addon;
    return {
      addon,
      kernels: compiledKernels('native', (length) => new Float32Array(addon.allocate(length)), addon),
    };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'BAD_OPTION')
      throw new OptionError(error.message, { cause: error });
    return {
      problem: `the native engine cannot be loaded (${messageOf(error)}); npm rebuild builds it anew`,
    };
  }
}
