/**
 * @file Which device computes in Node, by import: the C kernels in the addon where it could be built, the same kernels
 * in WebAssembly otherwise, the readable reference where even that is impossible.
 *
 * `SHIFTADDNAS_DEVICE=native|wasm|reference` overrides the choice. Chosen once per thread at first use.
 */
import { OptionError } from '../base/errors.js';
import { chooseDeviceBy, describeDevice } from './device.js';
import { threadsWanted } from './environment.js';
import type { Kernels } from './kernels.js';
import { loadNativeKernels, nativeProblem, nativeRemedy } from './native/device.js';
import { referenceKernels } from './reference/device.js';
import { loadWasmKernels, wasmProblem } from './wasm/device.js';

chooseDeviceBy(chooseDevice);

function chooseDevice(): Kernels {
  const wanted = process.env['SHIFTADDNAS_DEVICE'] ?? '';
  threadsWanted(); // refuses what is no number, whichever device computes
  switch (wanted) {
    case '':
      return loadNativeKernels() ?? loadWasmKernels() ?? referenceKernels;
    case 'native':
      return loadNativeKernels() ?? refuse(`${nativeProblem()}; ${nativeRemedy()}`);
    case 'wasm':
      return loadWasmKernels() ?? refuse(wasmProblem() ?? '');
    case 'reference':
      return referenceKernels;
    default:
      throw new OptionError(`SHIFTADDNAS_DEVICE=${wanted} is not a device; use native, wasm or reference`);
  }
}

function refuse(problem: string): never {
  throw new OptionError(`SHIFTADDNAS_DEVICE=${process.env['SHIFTADDNAS_DEVICE']}: ${problem}`);
}

/** Why the device in use is not the fastest one, and how to get that, in one line; undefined when it is. */
export function deviceNotice(): string | undefined {
  const { device } = describeDevice();
  if (device === 'native') return undefined;
  const asked = process.env['SHIFTADDNAS_DEVICE'] === device;
  const why = asked ? `SHIFTADDNAS_DEVICE=${device} asks for it` : nativeProblem();
  const what =
    device === 'wasm'
      ? 'computing on the WebAssembly device, about four times slower than the native one'
      : 'computing on the reference device, many times slower than the native one';
  return `${what}: ${why}${asked ? '' : `; ${nativeRemedy()}`}`;
}
