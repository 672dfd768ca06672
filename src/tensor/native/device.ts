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
import type { ConvGeometry, Kernels } from '../kernels.js';

/** Typed arrays first, then numbers: the order of the table in native/addon.c. */
type NativeOp = (...buffersThenNumbers: readonly (Float32Array | Int32Array | number)[]) => number;

interface Addon {
  readonly isa: string;
  allocate(length: number): ArrayBuffer;
  setThreads(threads: number): void;
  getThreads(): number;
  readonly conv2dForward: NativeOp;
  readonly conv2dInputGradient: NativeOp;
  readonly conv2dWeightGradient: NativeOp;
  readonly l1Forward: NativeOp;
  readonly l1InputGradient: NativeOp;
  readonly l1WeightGradient: NativeOp;
  readonly channelMoments: NativeOp;
  readonly channelAffine: NativeOp;
  readonly batchNormGradient: NativeOp;
  readonly relu: NativeOp;
  readonly reluGradient: NativeOp;
  readonly add: NativeOp;
  readonly axpy: NativeOp;
  readonly scale: NativeOp;
  readonly sumOfSquares: NativeOp;
  readonly globalAveragePool: NativeOp;
  readonly globalAveragePoolGradient: NativeOp;
  readonly softmaxCrossEntropy: NativeOp;
  readonly powerOfTwo: NativeOp;
  readonly sgdStep: NativeOp;
  readonly probe: NativeOp;
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
    return { addon, kernels: kernelsOf(addon) };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'BAD_OPTION')
      throw new OptionError(error.message, { cause: error });
    return {
      problem: `the native engine cannot be loaded (${messageOf(error)}); npm rebuild builds it anew`,
    };
  }
}

function kernelsOf(addon: Addon): Kernels {
  return {
    name: 'native',
    allocate: (length) => new Float32Array(addon.allocate(length)),
    conv2dForward: (g, x, w, y) => withGeometry(addon.conv2dForward, g, x, w, y),
    conv2dInputGradient: (g, dy, w, dx) => withGeometry(addon.conv2dInputGradient, g, dy, w, dx),
    conv2dWeightGradient: (g, x, dy, dw) => withGeometry(addon.conv2dWeightGradient, g, x, dy, dw),
    l1Forward: (g, x, w, y) => withGeometry(addon.l1Forward, g, x, w, y),
    l1InputGradient: (g, x, w, dy, dx) => withGeometry(addon.l1InputGradient, g, x, w, dy, dx),
    l1WeightGradient: (g, x, w, dy, dw) => withGeometry(addon.l1WeightGradient, g, x, w, dy, dw),
    channelMoments(rows, channels, x, mean, variance) {
      addon.channelMoments(x, mean, variance, rows, channels);
    },
    channelAffine(rows, channels, relu, x, scale, shift, y) {
      addon.channelAffine(x, scale, shift, y, rows, channels, relu ? 1 : 0);
    },
    batchNormGradient(rows, channels, relu, x, y, dy, mean, inverseStd, gamma, dx, dgamma, dbeta) {
      const flag = relu ? 1 : 0;
      addon.batchNormGradient(x, y, dy, mean, inverseStd, gamma, dx, dgamma, dbeta, rows, channels, flag);
    },
    relu(x, y) {
      addon.relu(x, y);
    },
    reluGradient(y, dy, dx) {
      addon.reluGradient(y, dy, dx);
    },
    add(relu, a, b, y) {
      addon.add(a, b, y, relu ? 1 : 0);
    },
    axpy(alpha, x, y) {
      addon.axpy(x, y, alpha);
    },
    scale(alpha, x) {
      addon.scale(x, alpha);
    },
    sumOfSquares: (x) => addon.sumOfSquares(x),
    globalAveragePool(batch, positions, channels, x, y) {
      addon.globalAveragePool(x, y, batch, positions, channels);
    },
    globalAveragePoolGradient(batch, positions, channels, dy, dx) {
      addon.globalAveragePoolGradient(dy, dx, batch, positions, channels);
    },
    softmaxCrossEntropy(batch, classes, smoothing, logits, labels, losses, dlogits) {
      addon.softmaxCrossEntropy(logits, labels, losses, dlogits, batch, classes, smoothing);
    },
    powerOfTwo(minExponent, maxExponent, w, q) {
      addon.powerOfTwo(w, q, minExponent, maxExponent);
    },
    sgdStep(rate, momentum, weightDecay, gradientScale, weight, gradient, velocity) {
      addon.sgdStep(weight, gradient, velocity, rate, momentum, weightDecay, gradientScale);
    },
  };
}

function withGeometry(op: NativeOp, g: ConvGeometry, ...buffers: readonly Float32Array[]): void {
  op(
    ...buffers,
    g.batch,
    g.inHeight,
    g.inWidth,
    g.inChannels,
    g.outHeight,
    g.outWidth,
    g.outChannels,
    g.kernelHeight,
    g.kernelWidth,
    g.stride,
    g.padTop,
    g.padLeft,
    g.groups,
  );
}
