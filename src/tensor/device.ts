/**
 * @file Which device computes. The C kernels where the addon could be built, the readable reference otherwise.
 *
 * `SHIFTADDNAS_DEVICE=reference|native` overrides the choice. Chosen once per process (or worker) at first use.
 */
import { OptionError } from '../base/errors.js';
import type { Kernels } from './kernels.js';
import { loadNativeKernels, nativeInfo } from './native/device.js';
import { referenceKernels } from './reference/device.js';

let chosen: Kernels | undefined;

/** The kernels of the device in use. */
export function kernels(): Kernels {
  return (chosen ??= chooseDevice());
}

/** Replaces the device, for tests that run one suite over every device; returns the one that was in use. */
export function useKernels(replacement: Kernels): Kernels {
  const previous = kernels();
  chosen = replacement;
  return previous;
}

export interface DeviceDescription {
  /** `native` or `reference`. */
  readonly device: string;
  /** Instruction set of the kernels, `typescript` for the reference. */
  readonly isa: string;
  readonly threads: number;
}

export function describeDevice(): DeviceDescription {
  if (kernels().name !== 'native') return { device: kernels().name, isa: 'typescript', threads: 1 };
  return { device: 'native', ...nativeInfo() };
}

function chooseDevice(): Kernels {
  const wanted = process.env['SHIFTADDNAS_DEVICE'];
  if (wanted === 'reference') return referenceKernels;
  if (wanted !== undefined && wanted !== 'native')
    throw new OptionError(`SHIFTADDNAS_DEVICE=${wanted} is not a device; use native or reference`);
  const native = loadNativeKernels();
  if (native !== undefined) return native;
  if (wanted === 'native')
    throw new OptionError(
      'SHIFTADDNAS_DEVICE=native, but the addon is not built; install g++, make and python3, then run: npm rebuild',
    );
  return referenceKernels;
}
