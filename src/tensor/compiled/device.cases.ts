/**
 * @file What every device over the compiled kernels is held to beside the op contract (whose cases are in `../reference`):
 * the number of threads cannot be seen in any result, layers of odd shapes are their definitions, and bad calls and
 * missing memory fail cleanly, with the same words.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { BinaryKind } from '../kinds.js';
import type { Kernels } from '../kernels.js';
import { checkDefinitions, convolutionResults, geometries, geometry, values } from './definitions.cases.js';
import type { CompiledDevice } from './device.js';
import { useThreads } from './threads.cases.js';

/** All ops that work on rows or flat buffers, on sizes that leave tails and span several pieces. */
function rowResults(kernels: Kernels): Record<string, Float32Array> {
  const results: Record<string, Float32Array> = {};
  for (const [rows, channels] of [
    [40_001, 3],
    [5003, 10],
    [1021, 17],
    [700, 64],
    [5, 130],
  ] as const) {
    const length = rows * channels;
    const [x, y, dy] = ['x', 'y', 'dy'].map((name) => values(kernels, length, name)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const gamma = values(kernels, channels, 'gamma');
    const out = (name: string, size: number): Float32Array =>
      (results[`${name} ${rows}x${channels}`] = kernels.allocate(size));
    const form = { rows, channels, relu: true, epsilon: 1e-5 };
    const [mean, variance] = [out('mean', channels), out('variance', channels)];
    kernels.batchNorm(form, x, gamma, gamma, mean, variance, out('batch norm', length));
    kernels.channelAffine(rows, channels, true, x, gamma, mean, out('affine', length));
    const [dx, dgamma, dbeta] = [out('dx', length), out('dgamma', channels), out('dbeta', channels)];
    kernels.batchNormGradient(form, x, dy, mean, variance, gamma, gamma, dx, dgamma, dbeta);
    kernels.relu(x, out('relu', length));
    kernels.reluGradient(y, dy, out('reluGradient', length));
    kernels.add(true, x, dy, out('add', length));
    const sum = out('axpy', length);
    sum.set(y);
    kernels.axpy(0.3, x, sum);
    kernels.scale(-1.7, sum);
    out('squares', 1)[0] = kernels.sumOfSquares(x);
    kernels.powerOfTwo(-6, 1, x, out('powers', length));
    const table = { pointsPerUnit: 16, values: gamma, slopes: gamma };
    kernels.oddTable(table, 0.9, 1.1, x, out('odd table', length));
    out('odd sum', 1)[0] = kernels.oddTableGradient(table, 0.9, 1.1, x, dy, out('odd gradient', length));
    const velocity = out('velocity', length);
    velocity.set(dy);
    kernels.sgdSteps(0.1, 0.9, false, [
      { weight: sum, gradient: x, velocity, weightDecay: 1e-3, gradientScale: 0.5 },
    ]);
    kernels.globalAveragePool(1, rows, channels, x, out('pool', channels));
    kernels.globalAveragePoolGradient(rows, 1, channels, x, out('unpool', length));
    const labels = Int32Array.from({ length: rows }, (_, i) => i % channels);
    kernels.softmaxCrossEntropy(rows, channels, 0.1, x, labels, out('losses', rows), out('dlogits', length));
  }
  return results;
}

/** Declares the suite for one device; it is skipped, with `problem`, where there is none. */
export function describeCompiledDevice(
  name: string,
  device: CompiledDevice | undefined,
  problem: string | undefined,
): void {
  describe(`${name} device`, () => {
    if (device === undefined) {
      it('is held to what compiled devices share', (context) => context.skip(problem));
      return;
    }
    const { kernels } = device;
    const before = kernels.describe().threads;
    afterAll(() => device.setThreads(before));

    it('gives the same bits with 1, 2, 3 and 7 threads', () => {
      const all = (threads: number): Record<string, Float32Array> => {
        useThreads(device, threads);
        const results = rowResults(kernels);
        for (const [name, g] of geometries)
          for (const [op, result] of Object.entries(convolutionResults(kernels, g)))
            results[`${op} of ${name}`] = result;
        return results;
      };
      const alone = all(1);
      for (const threads of [2, 3, 7]) {
        const together = all(threads);
        for (const [name, result] of Object.entries(alone))
          expect(
            Buffer.compare(bytesOf(together[name]!), bytesOf(result)),
            `${name}, ${threads} threads`,
          ).toBe(0);
      }
    });

    it('computes the definitions on the best instruction set', () => {
      checkDefinitions(kernels);
    });

    it('refuses a number of threads that makes no sense', () => {
      for (const threads of [0, -1, 1.5, NaN, 1000])
        expect(() => device.setThreads(threads)).toThrow(OptionError);
    });

    it('allocates zeroed memory at multiples of 64 bytes, and none when there is not enough', () => {
      for (const length of [0, 1, 17, 100_000]) {
        const buffer = kernels.allocate(length);
        expect(buffer.length).toBe(length);
        expect(buffer.every((value) => value === 0)).toBe(true);
      }
      expect(() => kernels.allocate(2 ** 48)).toThrow(/not enough memory for 1073741824 MiB/);
      expect(() => kernels.allocate(-1)).toThrow(/whole number/);
    });

    it('refuses buffers that are shorter than the shape says', () => {
      const g = geometry({});
      const x = kernels.allocate(10);
      expect(() => kernels.conv2dForward(g, x, x, x)).toThrow(
        'conv2dForward: a buffer is shorter than its shape',
      );
      expect(() => kernels.relu(x, kernels.allocate(9))).toThrow('relu: a buffer is shorter than its shape');
      const axes = [
        { extent: 5, a: true, b: false },
        { extent: 3, a: true, b: true },
      ];
      const [a, b, y] = [15, 3, 15].map((length) => kernels.allocate(length)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      kernels.binary(BinaryKind.Add, axes, a, b, y);
      for (const [left, right, to] of [
        [a.subarray(1), b, y],
        [a, b.subarray(1), y],
        [a, b, y.subarray(1)],
      ] as const)
        expect(() => kernels.binary(BinaryKind.Add, axes, left, right, to)).toThrow(
          'binary: a buffer is shorter than its shape',
        );
      const table = { count: 2, rows: 3, width: 5 };
      for (const index of [-1, 3, 2 ** 31 - 1])
        expect(() => kernels.embedding(table, a, Int32Array.of(0, index), y)).toThrow(
          `embedding: index ${index} is outside 0 to 2`,
        );
      expect(() => kernels.embedding(table, a, Int32Array.of(0), y)).toThrow(
        'a buffer is shorter than its shape',
      );
      expect(() => kernels.reduceSum({ outer: 5, reduced: 3, inner: 1 }, 1, a, b)).toThrow(
        'reduceSum: a buffer is shorter than its shape',
      );
    });

    it.each([
      ['batch', NaN, 'nan is not a count'],
      ['inChannels', 1.5, '1.5 is not a count'],
      ['outHeight', -1, '-1 is not a count'],
      ['padTop', -1, '-1 is not a count'],
      ['padLeft', NaN, 'nan is not a count'],
      ['kernelWidth', Infinity, 'inf is not a count'],
      ['inWidth', 2 ** 31, '2.14748e+09 is not a count'],
      ['stride', 0, '0 is not a positive count'],
      ['groups', NaN, 'nan is not a positive count'],
    ] as const)('refuses a geometry whose %s is %d', (field, value, problem) => {
      const g = geometry({ [field]: value });
      const [x, y, w] = [5 * 99 * 16, 5 * 99 * 16, 9 * 16 * 16].map((length) => kernels.allocate(length)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      expect(() => kernels.conv2dForward(g, x, w, y)).toThrow(`conv2dForward: ${problem}`);
      expect(() => kernels.conv2dInputGradient(g, y, w, x)).toThrow(`conv2dInputGradient: ${problem}`);
      expect(() => kernels.conv2dWeightGradient(g, x, y, w)).toThrow(`conv2dWeightGradient: ${problem}`);
      expect(() => kernels.l1Forward(g, x, w, y)).toThrow(`l1Forward: ${problem}`);
      expect(() => kernels.l1InputGradient(g, x, w, y, x)).toThrow(`l1InputGradient: ${problem}`);
      expect(() => kernels.l1WeightGradient(g, x, w, y, w)).toThrow(`l1WeightGradient: ${problem}`);
    });

    it('refuses sizes and exponents that are not whole', () => {
      const x = kernels.allocate(10);
      expect(() => kernels.channelAffine(NaN, 2, false, x, x, x, x)).toThrow(
        'channelAffine: nan is not a count',
      );
      expect(() => kernels.globalAveragePool(1, -5, 2, x, x)).toThrow('globalAveragePool: -5 is not a count');
      expect(() => kernels.powerOfTwo(NaN, 1, x, x)).toThrow('powerOfTwo: nan is not a whole number');
      expect(() => kernels.powerOfTwo(-7, 0.5, x, x)).toThrow('powerOfTwo: 0.5 is not a whole number');
    });

    it.each([-1, 5, 2 ** 31 - 1, -(2 ** 31)])('refuses label %d of 5 classes', (label) => {
      const [logits, losses, dlogits] = [kernels.allocate(10), kernels.allocate(2), kernels.allocate(10)];
      const run = (): void =>
        kernels.softmaxCrossEntropy(2, 5, 0.1, logits, Int32Array.of(4, label), losses, dlogits);
      expect(run).toThrow(RangeError);
      expect(run).toThrow(`softmaxCrossEntropy: index ${label} is outside 0 to 4`);
    });
  });
}

export function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
