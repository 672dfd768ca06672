/**
 * @file The device that computes. Which one that is, the surroundings decide: in Node `choose-device.ts` takes the best
 * there is at the first op, in a browser `src/browser.ts` loads one. Nothing here or above the tensor floor needs either.
 */
import type { DeviceFacts, Kernels } from './kernels.js';

let chosen: Kernels | undefined;
let choose = (): Kernels => {
  throw new Error(
    'no device computes yet: in Node import shiftaddnas itself, in a browser call loadEngine of shiftaddnas/browser first',
  );
};

/** The kernels of the device in use. */
export function kernels(): Kernels {
  return (chosen ??= choose());
}

/** Says how the device of this thread is chosen when it is first needed. */
export function chooseDeviceBy(choice: () => Kernels): void {
  choose = choice;
}

/** Computes with `device` from now on. Buffers of another device stay valid. */
export function setDevice(device: Kernels): void {
  chosen = device;
}

/** Replaces the device, for tests that run one suite over every device; returns the one that was in use. */
export function useKernels(replacement: Kernels): Kernels {
  const previous = kernels();
  chosen = replacement;
  return previous;
}

export interface DeviceDescription extends DeviceFacts {
  /** `native`, `wasm` or `reference`. */
  readonly device: string;
}

export function describeDevice(): DeviceDescription {
  return { device: kernels().name, ...kernels().describe() };
}
