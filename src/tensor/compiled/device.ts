/**
 * @file What every device over the compiled C kernels offers beside the op contract: threads, and the probe of what the
 * processor can do at best.
 */
import { OptionError } from '../../base/errors.js';
import type { Kernels } from '../kernels.js';
import type { CompiledOp } from './kernels.js';

export interface CompiledDevice {
  readonly kernels: Kernels;
  /** Sets the number of threads from the next op on. @throws OptionError unless it is 1 to {@link maxThreads} */
  setThreads(threads: number): void;
  /** Threads that would take part in an op now; those of `setThreads` start when an op can first use them. */
  presentThreads(): number;
  /** Register-only loops: kind of {@link Probe} and rounds; returns the number of elements. */
  readonly probe: CompiledOp;
}

export const maxThreads = 256;

/** @throws OptionError unless `threads` is a whole number from 1 to {@link maxThreads} */
export function checkThreads(threads: number): void {
  if (!Number.isInteger(threads) || threads < 1 || threads > maxThreads)
    throw new OptionError(`threads: ${threads} is not a whole number from 1 to ${maxThreads}`);
}

/** What the processor can do at best. */
export enum Probe {
  MultiplyAccumulate = 0,
  AbsoluteDifference = 1,
  ClampedGradient = 2,
}

/** Best rate of one thread, in elements per second of processor time, of an inner step on registers alone. */
export function measurePeak({ probe }: Pick<CompiledDevice, 'probe'>, kind: Probe, repeats = 12): number {
  let best = 0;
  for (let i = 0; i < repeats; i++) {
    const start = process.cpuUsage();
    const elements = probe(kind, 500_000);
    const { user, system } = process.cpuUsage(start);
    best = Math.max(best, (elements / (user + system)) * 1e6);
  }
  return best;
}
