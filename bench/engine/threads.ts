/**
 * @file The device under measurement: its number of threads, and the clock that goes with it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import '../../src/tensor/choose-device.js';
import type { CompiledDevice } from '../../src/tensor/compiled/device.js';
import { describeDevice, kernels } from '../../src/tensor/device.js';
import { loadNativeDevice } from '../../src/tensor/native/device.js';
import { loadWasmDevice } from '../../src/tensor/wasm/device.js';

/** The device in use, when it is one of compiled kernels; the reference has neither threads nor peaks. */
export function compiledDevice(): CompiledDevice | undefined {
  switch (describeDevice().device) {
    case 'native':
      return loadNativeDevice();
    case 'wasm':
      return loadWasmDevice();
    default:
      return undefined;
  }
}

const patienceMs = 5000;
/** Floats enough for every thread to be wanted. */
const length = 1 << 20;

/**
 * Sets the number of threads of the device and waits until they are there: those of the WebAssembly device are workers,
 * which start when an op first wants them. The reference device takes 1 only.
 */
export async function useThreads(threads: number): Promise<void> {
  const device = compiledDevice();
  if (device === undefined) {
    if (threads === 1) return;
    throw new Error(`the reference device runs on one thread, not ${threads}`);
  }
  device.setThreads(threads);
  if (device.presentThreads() >= threads) return;
  const values = kernels().allocate(length);
  for (const started = performance.now(); performance.now() - started < patienceMs; await pause(5)) {
    kernels().relu(values, values);
    if (device.presentThreads() >= threads) return;
  }
  throw new Error(`only ${device.presentThreads()} of ${threads} threads have started`);
}

/**
 * The clock, in milliseconds: processor time for one thread, which leaves out what others take of a shared machine,
 * the time of day for several.
 */
export function clockOf(threads: number): () => number {
  return threads === 1 ? processorMs : () => performance.now();
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
