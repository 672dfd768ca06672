/**
 * What is particular to the native device: every instruction set computes the definitions, options that cannot be met are
 * refused, and threads of JavaScript share one engine. The op contract itself is tested over all devices in
 * `../reference`.
 */
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { inChild, type ChildEnd } from '../compiled/child.cases.js';
import { convolutionResults, geometry, values } from '../compiled/definitions.cases.js';
import { bytesOf, describeCompiledDevice } from '../compiled/device.cases.js';
import {
  addonPath,
  loadNativeDevice,
  loadNativeKernels,
  nativeInfo,
  nativeProblem,
  setThreads,
} from './device.js';

const native = loadNativeKernels();
const suite = native === undefined ? describe.skip : describe;
if (native === undefined) console.log(`native device tests skipped: ${nativeProblem()}`);

describeCompiledDevice('native', loadNativeDevice(), nativeProblem());

suite('native device', () => {
  const kernels = native!;
  const before = native === undefined ? 1 : nativeInfo().threads;
  afterAll(() => {
    if (native !== undefined) setThreads(before);
  });

  for (const isa of ['avx2', 'sse4']) {
    it(`computes the definitions on ${isa}`, (context) => {
      if (process.arch !== 'x64') return context.skip('only on x64');
      const { status, stderr } = loadInChild({ SHIFTADDNAS_ISA: isa }, isa);
      if (stderr.includes('this processor does not have it')) return context.skip(`no ${isa} here`);
      expect(stderr).toBe('');
      expect(status).toBe(0);
    });
  }

  it.each([
    ['SHIFTADDNAS_ISA', 'mmx', 'SHIFTADDNAS_ISA=mmx: unknown; use avx512, avx2 or sse4, or unset it'],
    ['SHIFTADDNAS_THREADS', 'many', 'SHIFTADDNAS_THREADS=many: must be a whole number from 1 to 256'],
    ['SHIFTADDNAS_THREADS', '1.5', 'SHIFTADDNAS_THREADS=1.5: must be a whole number from 1 to 256'],
    ['SHIFTADDNAS_THREADS', '0', 'SHIFTADDNAS_THREADS=0: must be a whole number from 1 to 256'],
  ])('refuses %s=%s in one line', (variable, value, message) => {
    const { status, stderr } = loadInChild({ [variable]: value }, '');
    expect(stderr).toContain(message);
    expect(status).not.toBe(0);
  });

  it('takes the number of threads from SHIFTADDNAS_THREADS', () => {
    expect(loadInChild({ SHIFTADDNAS_THREADS: '3' }, '').stdout.trim()).toMatch(/ 3$/);
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

/** Loads the device in a process with other environment variables, and checks it when `isa` is given. */
function loadInChild(environment: Readonly<Record<string, string>>, isa: string): ChildEnd {
  const script = `
    const device = await import(${JSON.stringify(new URL('./device.ts', import.meta.url).href)});
    const kernels = device.loadNativeKernels();
    const info = device.nativeInfo();
    console.log(info.isa, info.threads);
    if (${JSON.stringify(isa)} !== '') {
      if (info.isa !== ${JSON.stringify(isa)}) throw new Error('wrong instruction set: ' + info.isa);
      const check = await import(${JSON.stringify(new URL('../compiled/definitions.cases.ts', import.meta.url).href)});
      check.checkDefinitions(kernels);
    }`;
  return inChild(script, environment);
}
