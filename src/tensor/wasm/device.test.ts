/**
 * What is particular to the WebAssembly device: buffers from elsewhere are copied in and out, its memory grows and comes
 * back, and its threads neither hang nor hold up anything, whatever becomes of them.
 */
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compiledModule } from '../../base/modules.js';
import { inChild } from '../compiled/child.cases.js';
import { convolutionResults, geometry, values } from '../compiled/definitions.cases.js';
import { bytesOf, describeCompiledDevice } from '../compiled/device.cases.js';
import { pause, useThreads } from '../compiled/threads.cases.js';
import type { Kernels } from '../kernels.js';
import { computeAll, expectSameResults } from '../reference/determinism.cases.js';
import { loadWasmDevice, wasmProblem } from './device.js';
import { createWasmDevice, threadBody, type ThreadStart, type WasmDevice } from './engine.js';
import { webAssembly } from './webassembly.js';

const device = loadWasmDevice();
const suite = device === undefined ? describe.skip : describe;
if (device === undefined) console.log(`WebAssembly device tests skipped: ${wasmProblem()}`);

const deviceModule = JSON.stringify(new URL('./device.ts', import.meta.url).href);

describeCompiledDevice('wasm', device, wasmProblem());

suite('wasm device', () => {
  const { kernels } = device!;

  it('says what it is', () => {
    expect(kernels.name).toBe('wasm');
    expect(kernels.describe().isa).toBe('simd128');
    expect(kernels.allocate(5).byteOffset % 64).toBe(0);
  });

  it('computes on buffers from elsewhere as on its own, bit for bit', () => {
    const elsewhere: Kernels = { ...kernels, allocate: (length) => new Float32Array(length) };
    expectSameResults(
      computeAll({ kernels, relativeError: 0 }),
      computeAll({ kernels: elsewhere, relativeError: 0 }),
    );
  });

  it('gives buffers from elsewhere that overlap one copy', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 20 })), { minLength: 3, maxLength: 9 }),
        (places) => {
          // Each item's weight, gradient and velocity are equally long and apart, but items may share gradients.
          const memory = Float32Array.from({ length: 400 }, (_, i) => i % 7);
          const items = places.map(([at, length], i) => ({
            weight: memory.subarray(100 + 30 * i, 100 + 30 * i + length),
            gradient: memory.subarray(at, at + length),
            velocity: new Float32Array(length),
            weightDecay: 0,
            gradientScale: 1,
          }));
          const expected = memory.slice();
          items.forEach(({ weight, gradient }) => {
            const at = weight.byteOffset / 4;
            gradient.forEach((value, k) => (expected[at + k] = expected[at + k]! - 0.5 * value));
          });
          kernels.sgdSteps(0.5, 0, false, items);
          expect(memory).toEqual(expected);
        },
      ),
    );
    const inPlace = Float32Array.of(9, -1, 2, -3, 9);
    kernels.add(true, inPlace.subarray(1, 4), Float32Array.of(2, 2, 2), inPlace.subarray(1, 4));
    expect(inPlace).toEqual(Float32Array.of(9, 1, 4, 0, 9));
  });

  it('leaves labels and what lies around buffers from elsewhere alone', () => {
    const labels = Int32Array.of(1, 0);
    const memory = new Float32Array(12).fill(7);
    const logits = kernels.allocate(4);
    kernels.softmaxCrossEntropy(2, 2, 0, logits, labels, memory.subarray(4, 6), memory.subarray(7, 11));
    expect(labels).toEqual(Int32Array.of(1, 0));
    const log2 = Math.fround(Math.LN2);
    expect([...memory]).toEqual([7, 7, 7, 7, log2, log2, 7, 0.25, -0.25, -0.25, 0.25, 7]);
  });

  it('refuses arguments of the wrong kind', () => {
    const x = kernels.allocate(4);
    const wrong = new Float64Array(4) as unknown as Float32Array;
    expect(() => kernels.relu(x, wrong)).toThrow('relu: an argument is not the typed array it should be');
    expect(() => kernels.scale('2' as unknown as number, x)).toThrow('scale: an argument is not a number');
  });

  it('keeps old buffers when its memory grows', () => {
    const first = kernels.allocate(1000).fill(3);
    const megabytes = Array.from({ length: 24 }, (_, i) => kernels.allocate(1 << 20).fill(i));
    const last = kernels.allocate(1000);
    kernels.add(false, first, first, last);
    expect(last.every((value) => value === 6)).toBe(true);
    expect(megabytes.every((buffer, i) => buffer[0] === i && buffer.at(-1) === i)).toBe(true);
  });

  it('takes the memory of garbage back: more than there is goes through it', () => {
    const script = `
      import { loadWasmDevice } from ${deviceModule};
      const { kernels } = loadWasmDevice();
      for (let i = 0; i < 100; i++) {
        const buffer = kernels.allocate(1 << 24);
        if (buffer[0] !== 0 || buffer.at(-1) !== 0) throw new Error('not zero');
        buffer.fill(1);
        gc();
        await new Promise((resolve) => setTimeout(resolve));
      }`;
    const { status, stderr } = inChild(script, {}, '--expose-gc');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('says clearly that memory is short, and goes on', () => {
    for (const length of [2 ** 30, 2 ** 32, 2 ** 48])
      expect(() => kernels.allocate(length)).toThrow(
        expect.objectContaining({
          code: 'NO_MEMORY',
          message: expect.stringContaining(
            `allocate: not enough memory for ${length / 2 ** 18} MiB; use a smaller batch or network`,
          ) as string,
        }),
      );
    const wide = geometry({ padTop: 2 ** 30, padLeft: 2 ** 30, stride: 2 ** 30, outHeight: 1, outWidth: 1 });
    const [x, w, y] = [5 * 99 * 16, 9 * 16 * 16, 5 * 16].map((length) => kernels.allocate(length)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    expect(() => kernels.conv2dForward(wide, x, w, y)).toThrow('conv2dForward: not enough memory');
    expect(() => kernels.conv2dForward(geometry({}), x, w, kernels.allocate(5 * 99 * 16))).not.toThrow();
  });
});

suite('wasm threads', () => {
  const g = geometry({ batch: 64 });
  const expected = device === undefined ? '' : resultOf(device.kernels);

  // A thread of the product, which cannot load TypeScript: whatever it is told, it computes on threads first.
  const compute = `
    import { loadWasmDevice } from ${JSON.stringify(compiledModule('tensor/wasm/device.js').href)};
    const device = loadWasmDevice();
    device.setThreads(4);
    const x = device.kernels.allocate(1 << 20);
    for (device.kernels.relu(x, x); device.presentThreads() < 4; ) device.kernels.relu(x, x);
    console.log(device.presentThreads());`;
  const inWorker = `
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(compute)})));`;

  it.each([
    ['when the work is done', compute, 0],
    ['by process.exit', `${compute} process.exit(3);`, 3],
    ['when the work of a worker thread is done', inWorker, 0],
    ['when a worker thread is ended', `${inWorker} worker.stdout.on('data', () => worker.terminate());`, 0],
    [
      'by process.exit beside a worker thread',
      `${inWorker} worker.stdout.on('data', () => process.exit(3));`,
      3,
    ],
  ])('let the process end %s', (_, script, status) => {
    expect(inChild(script, {})).toMatchObject({ status, signal: null, stdout: '4\n', stderr: '' });
  });

  it('take their number from SHIFTADDNAS_THREADS', () => {
    const script = `
      import { loadWasmDevice } from ${deviceModule};
      console.log(loadWasmDevice().kernels.describe().threads);`;
    expect(inChild(script, { SHIFTADDNAS_THREADS: '3' }).stdout).toBe('3\n');
    for (const wrong of ['many', '0', '1e2', '257'])
      expect(inChild(script, { SHIFTADDNAS_THREADS: wrong }).stderr).toContain(
        `SHIFTADDNAS_THREADS=${wrong}: must be a whole number from 1 to 256`,
      );
  });

  it('of several JavaScript threads do not know of each other', async () => {
    const script = `
      ${compute.replace('console.log(device.presentThreads());', '')}
      import { parentPort, workerData } from 'node:worker_threads';
      const y = device.kernels.allocate(workerData.length);
      for (let i = 0; i < 100; i++) device.kernels.conv2dForward(workerData.g, workerData.x, workerData.w, y);
      parentPort.postMessage(Buffer.from(y.buffer, y.byteOffset, y.byteLength).toString('hex'));`;
    const length = g.batch * g.outHeight * g.outWidth * g.outChannels;
    const x = values(device!.kernels, length, 'x').slice();
    const w = values(device!.kernels, 9 * 16 * 16, 'w').slice();
    const answers = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise<unknown>((resolve, reject) => {
            const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`);
            const worker = new Worker(url, { execArgv: [], workerData: { g, length, x, w } });
            let answer: unknown;
            worker.on('message', (message) => (answer = message));
            worker.on('error', reject);
            worker.on('exit', () => resolve(answer));
          }),
      ),
    );
    const [y] = expected.split(',');
    expect(answers).toEqual([y, y, y]);
  });

  it('that never come are not waited for', () => {
    const lonely = engineWith((_, lost) => lost());
    lonely.setThreads(3);
    expect(resultOf(lonely.kernels)).toBe(expected);
    expect(lonely.kernels.describe().threads).toBe(1);
    expect(lonely.presentThreads()).toBe(1);
  });

  it('that come late take part from then on', () => {
    const late: ThreadStart[] = [];
    const engine = engineWith((start) => late.push(start));
    engine.setThreads(2);
    expect(resultOf(engine.kernels)).toBe(expected);
    expect(late.length).toBe(1);
    startThread(late[0]!);
    useThreads(engine, 2);
    expect(resultOf(engine.kernels)).toBe(expected);
  });

  it('that fail in the middle of an op fail the op and nothing else', () => {
    // A stack that ends at address 0 has no room: the thread traps as soon as it computes.
    const engine = engineWith((start) => startThread(start.index === 0 ? { ...start, stack: 0 } : start));
    useThreads(engine, 3);
    const attempts = Array.from({ length: 50 }, () => {
      try {
        return resultOf(engine.kernels);
      } catch (error) {
        return String(error);
      }
    });
    const failed = attempts.findIndex((attempt) => attempt !== expected);
    expect(attempts[failed]).toContain('a thread of the WebAssembly engine failed');
    expect(attempts.slice(failed + 1).every((attempt) => attempt === expected)).toBe(true);
  });

  it('may be watched spinning by a caller that must not sleep', () => {
    const engine = engineWith(startThread, false);
    useThreads(engine, 3);
    expect(resultOf(engine.kernels)).toBe(expected);
  });

  it('sleep between ops and wake for the next', () => {
    useThreads(device!, 3);
    // Spinning, they would use the processors all the time, and this would not end.
    for (let idle = false; !idle;) {
      const before = process.cpuUsage();
      pause(100);
      const { user, system } = process.cpuUsage(before);
      idle = user + system < 50_000;
    }
    expect(resultOf(device!.kernels)).toBe(expected);
  });

  function resultOf(kernels: Kernels): string {
    return Object.values(convolutionResults(kernels, g))
      .map((result) => bytesOf(result).toString('hex'))
      .join();
  }
});

/** An engine of its own, whose threads `start` starts. */
function engineWith(start: (start: ThreadStart, lost: () => void) => void, maySleep = true): WasmDevice {
  const module = new webAssembly!.Module(readFileSync(new URL('./shiftaddnas.wasm', import.meta.url)));
  return createWasmDevice(module, { threads: 1, maySleep, startThread: start });
}

function startThread(start: ThreadStart): void {
  const script = `
    const { workerData: start } = require('node:worker_threads');
    const ready = () => {};
    ${threadBody}`;
  const worker = new Worker(script, { eval: true, workerData: start, execArgv: [] });
  worker.on('error', () => undefined);
  worker.unref();
}
