/**
 * @file What the op cases share: guarded buffers, seeded data, comparison with a stated error, random geometries.
 */
import fc from 'fast-check';
import { Random } from '../../base/random.js';
import type { ConvGeometry, Kernels } from '../kernels.js';
import { referenceKernels } from './device.js';
import { outputLength } from './taps.js';

/** A device under test and the error it may make, relative to the sum of the absolute terms of each result. */
export interface Device {
  readonly kernels: Kernels;
  readonly relativeError: number;
}

/** Float64 results, each with the sum of the absolute values of its terms: the yardstick of rounding error. */
export interface Sums {
  readonly values: Float64Array;
  readonly magnitudes: Float64Array;
}

export type Numbers = ArrayLike<number>;

// Sixteen floats are 64 bytes: a buffer behind a guard is aligned as the device's own allocation is.
const GUARD = 16;
const OUTPUT_GUARD = 12345.5;

/**
 * Hands out device buffers with guards on both sides. Guards of inputs hold NaN, so that reading past the end shows
 * in the result; outputs start as NaN, so that an element that is not written shows; `check` finds writes outside.
 */
export class GuardedBuffers {
  readonly #checks: (() => void)[] = [];
  constructor(readonly kernels: Kernels) {}

  /** A buffer the op must leave as it is. */
  input(values: Numbers): Float32Array {
    const buffer = this.#guarded(values.length, NaN);
    buffer.set(values);
    const before = buffer.slice();
    this.#checks.push(() => {
      if (!sameBits(before, buffer)) throw new Error('an input was overwritten');
    });
    return buffer;
  }

  /** A buffer the op must write whole. */
  output(length: number): Float32Array {
    return this.#guarded(length, OUTPUT_GUARD).fill(NaN);
  }

  /** A buffer the op reads and overwrites. */
  updated(values: Numbers): Float32Array {
    const buffer = this.#guarded(values.length, OUTPUT_GUARD);
    buffer.set(values);
    return buffer;
  }

  /** Throws when an op wrote where it must not. */
  check(): void {
    for (const check of this.#checks) check();
  }

  #guarded(length: number, guard: number): Float32Array {
    const whole = this.kernels.allocate(length + 2 * GUARD).fill(guard);
    this.#checks.push(() => {
      for (let i = 0; i < GUARD; i++) {
        if (!Object.is(whole[i], guard))
          throw new Error(`a buffer was written ${GUARD - i} before its start`);
        if (!Object.is(whole[GUARD + length + i], guard)) {
          throw new Error(`a buffer of ${length} was written ${i + 1} past its end`);
        }
      }
    });
    return whole.subarray(GUARD, GUARD + length);
  }
}

/** Runs `use` with fresh guarded buffers and checks the guards afterwards. */
export function withBuffers<T>(device: Device, use: (buffers: GuardedBuffers) => T): T {
  const buffers = new GuardedBuffers(device.kernels);
  const result = use(buffers);
  buffers.check();
  return result;
}

/** True when both hold the same bits, so that NaN equals itself and -0 differs from 0. */
export function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bytes = (f: Float32Array): Buffer => Buffer.from(f.buffer, f.byteOffset, f.byteLength);
  return bytes(a).equals(bytes(b));
}

/** `length` standard normals as float32. */
export function normals(length: number, ...labels: readonly (string | number)[]): Float32Array {
  const random = Random.stream('kernel cases', ...labels);
  return Float32Array.from({ length }, () => random.normal());
}

/**
 * `length` multiples of 1/8 between -4 and 4. Sums of products of a few thousand of these are exact in float32, in
 * any order: closed forms may then be asserted without a tolerance.
 */
export function eighths(length: number, ...labels: readonly (string | number)[]): Float32Array {
  const random = Random.stream('kernel cases', ...labels);
  return Float32Array.from({ length }, () => (random.integer(65) - 32) / 8);
}

/** Takes a term of a sum and, where it is itself a difference, the size of what was subtracted. */
export type AddTerm = (term: number, magnitude?: number) => void;

/** Builds {@link Sums} one element after the other from their terms. */
export function tabulate(length: number, terms: (index: number, add: AddTerm) => void): Sums {
  const values = new Float64Array(length);
  const magnitudes = new Float64Array(length);
  let at = 0;
  const add: AddTerm = (term, magnitude = Math.abs(term)) => {
    values[at]! += term;
    magnitudes[at]! += magnitude;
  };
  for (; at < length; at++) terms(at, add);
  return { values, magnitudes };
}

/** Throws at the first element that is further from its expected value than the device may err. */
export function expectClose(what: string, actual: Numbers, expected: Sums, relativeError: number): void {
  if (actual.length !== expected.values.length) throw new Error(`${what}: ${actual.length} elements`);
  for (let i = 0; i < actual.length; i++) {
    const allowed = relativeError * expected.magnitudes[i]! + 1e-37;
    if (!(Math.abs(actual[i]! - expected.values[i]!) <= allowed)) {
      throw new Error(
        `${what}[${i}] is ${actual[i]}, expected ${expected.values[i]} (sum of absolute terms ${expected.magnitudes[i]})`,
      );
    }
  }
}

/** Holds what `run` computes on the device to its definition and, for other devices, to the reference device. */
export function expectDefinition(
  what: string,
  device: Device,
  run: (device: Device) => Float32Array,
  expected: Sums,
): void {
  const actual = run(device);
  expectClose(what, actual, expected, device.relativeError);
  if (device.kernels === referenceKernels) return;
  const plain = Float64Array.from(run({ ...device, kernels: referenceKernels }));
  const against = { values: plain, magnitudes: expected.magnitudes };
  expectClose(`${what} against the reference device`, actual, against, device.relativeError);
}

/** Throws unless both are equal as numbers (-0 equals 0, NaN equals NaN). */
export function expectEqual(what: string, actual: Numbers, expected: Numbers): void {
  if (actual.length !== expected.length) throw new Error(`${what}: ${actual.length} elements`);
  for (let i = 0; i < actual.length; i++) {
    const same = actual[i] === expected[i] || (Number.isNaN(actual[i]) && Number.isNaN(expected[i]));
    if (!same) throw new Error(`${what}[${i}] is ${actual[i]}, expected ${expected[i]}`);
  }
}

/** Checks a property over random cases, the same ones in every run. */
export function forAll<T>(cases: fc.Arbitrary<T>, holds: (value: T) => void, numRuns = 40): void {
  fc.assert(fc.property(cases, holds), { numRuns, seed: 1912_13200 });
}

/** A seed for {@link normals}. */
export const seeds = fc.integer({ min: 0, max: 1_000_000 });

const upTo = (max: number, min = 1): fc.Arbitrary<number> => fc.integer({ min, max });

const channelPlans = fc.oneof(
  fc.record({ groups: fc.constant(1), inputs: upTo(70), outputs: upTo(70) }),
  fc.record({ groups: fc.constant(2), inputs: upTo(35), outputs: upTo(35) }),
  fc.record({ groups: upTo(70), inputs: fc.constant(1), outputs: upTo(2) }),
);

/**
 * Legal geometries of at most `work` multiplications: maps of 1 to 9, kernels of 1 to 5 a side, strides 1 to 3,
 * paddings of 0 to 3 on each side on its own (whole windows may lie in the padding), dense, grouped and depth-wise
 * channels.
 */
export function geometries(work: number): fc.Arbitrary<ConvGeometry> {
  return fc
    .record({
      batch: upTo(5),
      inHeight: upTo(9),
      inWidth: upTo(9),
      channels: channelPlans,
      kernelHeight: upTo(5),
      kernelWidth: upTo(5),
      stride: upTo(3),
      padTop: upTo(3, 0),
      padBottom: upTo(3, 0),
      padLeft: upTo(3, 0),
      padRight: upTo(3, 0),
    })
    .map(({ channels, padBottom, padRight, ...g }) => ({
      ...g,
      groups: channels.groups,
      inChannels: channels.groups * channels.inputs,
      outChannels: channels.groups * channels.outputs,
      outHeight: Math.floor((g.inHeight + g.padTop + padBottom - g.kernelHeight) / g.stride) + 1,
      outWidth: Math.floor((g.inWidth + g.padLeft + padRight - g.kernelWidth) / g.stride) + 1,
    }))
    .filter((g) => g.outHeight > 0 && g.outWidth > 0 && multiplications(g) <= work);
}

function multiplications(g: ConvGeometry): number {
  return (outputLength(g) * g.kernelHeight * g.kernelWidth * g.inChannels) / g.groups;
}

/** A square layer as networks have them; padding (kernel - 1) / 2 unless said. */
export function layer(shape: {
  readonly batch?: number;
  readonly size: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}): ConvGeometry {
  const { size, kernel, stride = 1, padding = Math.floor((kernel - 1) / 2), batch = 1, groups = 1 } = shape;
  const outSize = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return {
    batch,
    inHeight: size,
    inWidth: size,
    inChannels: shape.inChannels,
    outHeight: outSize,
    outWidth: outSize,
    outChannels: shape.outChannels,
    kernelHeight: kernel,
    kernelWidth: kernel,
    stride,
    padTop: padding,
    padLeft: padding,
    groups,
  };
}

/** Layers of the shapes real networks use, large enough to leave the edge tiles of a blocked kernel. */
export const usualLayers: readonly ConvGeometry[] = [
  layer({ batch: 2, size: 28, inChannels: 1, outChannels: 16, kernel: 5, padding: 2 }),
  layer({ batch: 2, size: 32, inChannels: 3, outChannels: 16, kernel: 3 }),
  layer({ batch: 3, size: 16, inChannels: 16, outChannels: 32, kernel: 3, stride: 2 }),
  layer({ batch: 1, size: 8, inChannels: 64, outChannels: 64, kernel: 3 }),
  layer({ batch: 2, size: 2, inChannels: 128, outChannels: 130, kernel: 3 }),
  layer({ batch: 2, size: 14, inChannels: 48, outChannels: 80, kernel: 1 }),
  layer({ batch: 2, size: 14, inChannels: 40, outChannels: 72, kernel: 1, stride: 2 }),
  layer({ batch: 2, size: 16, inChannels: 96, outChannels: 96, kernel: 3, groups: 96 }),
  layer({ batch: 2, size: 16, inChannels: 96, outChannels: 96, kernel: 3, stride: 2, groups: 96 }),
  layer({ batch: 33, size: 1, inChannels: 200, outChannels: 10, kernel: 1 }),
];

/** A geometry in a few words, for messages. */
export function describeGeometry(g: ConvGeometry): string {
  return (
    `${g.batch}x${g.inHeight}x${g.inWidth}x${g.inChannels} -> ${g.outHeight}x${g.outWidth}x${g.outChannels}, ` +
    `${g.kernelHeight}x${g.kernelWidth} stride ${g.stride} groups ${g.groups}`
  );
}

/** The central difference quotient of `f` at one coordinate of `point`, in float64. */
export function centralDifference(
  point: Numbers,
  at: number,
  step: number,
  f: (moved: Float64Array) => number,
): number {
  const above = Float64Array.from(point);
  const below = Float64Array.from(point);
  above[at]! += step;
  below[at]! -= step;
  return (f(above) - f(below)) / (2 * step);
}

/** At most five indices spread over 0 .. length - 1, both ends among them. */
export function spread(length: number): readonly number[] {
  return [...new Set([0, 0.3, 0.5, 0.8, 1].map((part) => Math.round(part * (length - 1))))];
}
