/**
 * @file Threads for tests: what is tested on several threads must really run on them.
 */
import type { CompiledDevice } from './device.js';

/** Sets the number of threads and waits until all of them take part. */
export function useThreads(device: CompiledDevice, threads: number): void {
  device.setThreads(threads);
  const [from, to] = [device.kernels.allocate(1 << 20), device.kernels.allocate(1 << 20)];
  const deadline = performance.now() + 60_000;
  for (device.kernels.relu(from, to); device.presentThreads() < threads; pause(1))
    if (performance.now() > deadline)
      throw new Error(`only ${device.presentThreads()} of ${threads} threads have started in a minute`);
}

/** Blocks this thread, as computing does. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
