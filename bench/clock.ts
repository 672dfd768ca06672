/**
 * @file A clock around every kernel call: where the time of some work goes, and what the TypeScript side costs.
 *
 * The share outside kernels is wall time minus time inside kernel calls. While a clock is installed every kernel call
 * pays two readings of the time, about 0.1 microseconds, so leave it out of figures that need no split.
 */
import { Random } from '../src/base/random.js';
import { Mode } from '../src/nn/module.js';
import type { Architecture } from '../src/spaces/architecture.js';
import { Network } from '../src/spaces/network.js';
import '../src/tensor/choose-device.js';
import type { ForwardOptions } from '../src/spaces/execute.js';
import { kernels, useKernels } from '../src/tensor/device.js';
import type { Kernels } from '../src/tensor/kernels.js';
import { softmaxCrossEntropy } from '../src/tensor/ops/loss.js';
import { Tape } from '../src/tensor/tape.js';
import { Tensor } from '../src/tensor/tensor.js';
import { Sgd } from '../src/training/optimiser.js';

/** One piece of work, timed. */
export interface Timing {
  readonly wallMs: number;
  /** Inside kernel calls. */
  readonly kernelMs: number;
  /** Inside each kernel, and how often it was called. */
  readonly byKernel: ReadonlyMap<string, { readonly ms: number; readonly calls: number }>;
}

export interface KernelClock {
  /** Runs `work` once under the clock. */
  measure(work: () => void): Timing;
  /** Begins a piece of work; what it returns ends it. For work that waits for promises. */
  begin(): () => Timing;
  /** Puts the kernels back as they were. */
  uninstall(): void;
}

/** Replaces the device's kernels by the same ones with a clock around each; allocation and description are none. */
export function installClock(): KernelClock {
  const inner = kernels();
  let byKernel = new Map<string, { ms: number; calls: number }>();
  const clocked = (name: string, kernel: (...inputs: unknown[]) => unknown) => {
    return (...inputs: unknown[]): unknown => {
      const started = performance.now();
      const result = kernel.apply(inner, inputs);
      const ms = performance.now() - started;
      const spent = byKernel.get(name);
      if (spent === undefined) byKernel.set(name, { ms, calls: 1 });
      else {
        spent.ms += ms;
        spent.calls++;
      }
      return result;
    };
  };
  // A plain object, not a Proxy: a trap at every call would count as time outside.
  const wrapped = Object.fromEntries(
    Object.entries(inner).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'function' && !['allocate', 'describe'].includes(name)
        ? clocked(name, value as (...inputs: unknown[]) => unknown)
        : value,
    ]),
  ) as unknown as Kernels;
  useKernels(wrapped);
  const begin = (): (() => Timing) => {
    byKernel = new Map();
    const started = performance.now();
    return () => {
      const wallMs = performance.now() - started;
      const kernelMs = [...byKernel.values()].reduce((sum, { ms }) => sum + ms, 0);
      return { wallMs, kernelMs, byKernel };
    };
  };
  return {
    measure(work) {
      const end = begin();
      work();
      return end();
    },
    begin,
    uninstall: () => void useKernels(inner),
  };
}

/** Many timings of the same work as one: medians of wall time and of the share outside kernels, means per kernel. */
export interface TimingSummary {
  readonly wallMs: number;
  /** 0 to 1. */
  readonly shareOutside: number;
  /** Slowest first; milliseconds and calls per piece of work. */
  readonly kernels: readonly { readonly name: string; readonly ms: number; readonly calls: number }[];
}

export function summarise(timings: readonly Timing[]): TimingSummary {
  const names = new Set(timings.flatMap(({ byKernel }) => [...byKernel.keys()]));
  const mean = (of: (timing: Timing) => number): number =>
    timings.reduce((sum, timing) => sum + of(timing), 0) / timings.length;
  return {
    wallMs: median(timings.map(({ wallMs }) => wallMs)),
    shareOutside: median(timings.map(({ wallMs, kernelMs }) => (wallMs - kernelMs) / wallMs)),
    kernels: [...names]
      .map((name) => ({
        name,
        ms: mean(({ byKernel }) => byKernel.get(name)?.ms ?? 0),
        calls: mean(({ byKernel }) => byKernel.get(name)?.calls ?? 0),
      }))
      .sort((a, b) => b.ms - a.ms),
  };
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

export interface TrainingStep {
  /** Forward, backward, SGD with momentum 0.9 and weight decay 5e-4, on one fixed batch of noise. */
  readonly step: () => void;
  readonly dispose: () => void;
}

/** A whole training step of a fresh network, as the trainer does it, over images that never change. */
export function trainingStep(
  architecture: Architecture,
  batch: number,
  options: ForwardOptions = {},
): TrainingStep {
  const random = Random.stream('bench');
  const { input, classes } = architecture;
  const images = Tensor.persistent(
    [batch, input.height, input.width, input.channels],
    Float32Array.from({ length: batch * input.height * input.width * input.channels }, () => random.normal()),
  );
  const labels = Int32Array.from({ length: batch }, () => random.integer(classes));
  const network = new Network(architecture, Random.stream('weights'));
  const optimiser = new Sgd(network.parameters, { momentum: 0.9, weightDecay: 5e-4 });
  return {
    step() {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(network.forward(images, Mode.Training, options), labels),
      );
      tape.backward(value);
      optimiser.step(0.01);
      network.project();
    },
    dispose() {
      images.dispose();
      network.dispose();
      optimiser.dispose();
    },
  };
}
