/**
 * What is particular to the native device: the number of threads cannot be seen in any result, every instruction set
 * computes the definitions, and memory and options fail cleanly. The op contract itself is tested over all devices
 * in `../reference`.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import type { Kernels } from '../kernels.js';
import { checkDefinitions, convolutionResults, geometries, geometry, values } from './definitions.cases.js';
import { addonPath, loadNativeKernels, nativeInfo, nativeProblem, setThreads } from './device.js';

const native = loadNativeKernels();
const suite = native === undefined ? describe.skip : describe;
if (native === undefined) console.log(`native device tests skipped: ${nativeProblem()}`);

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

suite('native device', () => {
  const kernels = native!;
  const before = native === undefined ? 1 : nativeInfo().threads;
  afterAll(() => {
    if (native !== undefined) setThreads(before);
  });

  it('gives the same bits with 1, 2, 3 and 7 threads', () => {
    const all = (threads: number): Record<string, Float32Array> => {
      setThreads(threads);
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
        expect(Buffer.compare(bytesOf(together[name]!), bytesOf(result)), `${name}, ${threads} threads`).toBe(
          0,
        );
    }
  });

  it('computes the definitions on the best instruction set', () => {
    checkDefinitions(kernels);
  });

  for (const isa of ['avx2', 'sse4']) {
    it(`computes the definitions on ${isa}`, (context) => {
      if (process.arch !== 'x64') return context.skip('only on x64');
      const { status, stderr } = inChild({ SHIFTADDNAS_ISA: isa }, isa);
      if (stderr.includes('this processor does not have it')) return context.skip(`no ${isa} here`);
      expect(stderr).toBe('');
      expect(status).toBe(0);
    });
  }

  it.each([
    ['SHIFTADDNAS_ISA', 'mmx', 'SHIFTADDNAS_ISA=mmx: unknown; use avx512, avx2 or sse4, or unset it'],
    ['SHIFTADDNAS_THREADS', 'many', 'SHIFTADDNAS_THREADS=many: must be a whole number from 1 to 256'],
    ['SHIFTADDNAS_THREADS', '0', 'SHIFTADDNAS_THREADS=0: must be a whole number from 1 to 256'],
  ])('refuses %s=%s in one line', (variable, value, message) => {
    const { status, stderr } = inChild({ [variable]: value }, '');
    expect(stderr).toContain(message);
    expect(status).not.toBe(0);
  });

  it('takes the number of threads from SHIFTADDNAS_THREADS', () => {
    expect(inChild({ SHIFTADDNAS_THREADS: '3' }, '').stdout.trim()).toMatch(/ 3$/);
  });

  it('refuses a number of threads that makes no sense', () => {
    for (const threads of [0, -1, 1.5, NaN, 1000]) expect(() => setThreads(threads)).toThrow(OptionError);
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
    expect(run).toThrow(`softmaxCrossEntropy: label ${label} is outside the 5 classes`);
  });

  it('works from several JavaScript threads at once and outlives them', async () => {
    setThreads(3);
    const g = geometry({});
    const expected = bytesOf(convolutionResults(kernels, g)['y']!).toString('hex');
    // Plain JavaScript, as a worker cannot load TypeScript: the same convolution a hundred times.
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const addon = require(workerData.addonPath);
      const y = new Float32Array(addon.allocate(workerData.length));
      for (let i = 0; i < 100; i++) addon.conv2dForward(workerData.x, workerData.w, y, ...workerData.geometry);
      parentPort.postMessage(Buffer.from(y.buffer, y.byteOffset, y.byteLength).toString('hex'));`;
    const length = g.batch * g.outHeight * g.outWidth * g.outChannels;
    const x = values(kernels, length, 'x').slice();
    const w = values(kernels, 9 * 16 * 16, 'w').slice();
    const workerData = { addonPath, length, x, w, geometry: Object.values(g) };
    const answers = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise<unknown>((resolve, reject) => {
            const worker = new Worker(source, { eval: true, workerData });
            let answer: unknown;
            worker.on('message', (message) => (answer = message));
            worker.on('error', reject);
            worker.on('exit', () => resolve(answer));
          }),
      ),
    );
    expect(answers).toEqual([expected, expected, expected]);
    expect(bytesOf(convolutionResults(kernels, g)['y']!).toString('hex')).toBe(expected);
  });
});

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

/** Loads the device in a process with other environment variables, and checks it when `isa` is given. */
function inChild(
  environment: Record<string, string>,
  isa: string,
): { status: number | null; stdout: string; stderr: string } {
  const script = `
    const device = await import(${JSON.stringify(new URL('./device.ts', import.meta.url).href)});
    const kernels = device.loadNativeKernels();
    const info = device.nativeInfo();
    console.log(info.isa, info.threads);
    if (${JSON.stringify(isa)} !== '') {
      if (info.isa !== ${JSON.stringify(isa)}) throw new Error('wrong instruction set: ' + info.isa);
      const check = await import(${JSON.stringify(new URL('./definitions.cases.ts', import.meta.url).href)});
      check.checkDefinitions(kernels);
    }`;
  return spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
    encoding: 'utf8',
  });
}
