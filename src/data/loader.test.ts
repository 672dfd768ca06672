/** @file The prefetching loader, with its real worker thread (needs `npm run build`). */
import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { compiledModule } from '../base/modules.js';
import { Random } from '../base/random.js';
import { fillBatch, normalisationTable } from './augment.js';
import { allocateImages } from './dataset.js';
import { openLoader, type Batch, type BatchLoader, type LoaderOptions } from './loader.js';
import {
  RingStatus,
  SlotState,
  createRing,
  endRing,
  ringMessage,
  ringStatus,
  setSlotState,
  waitForSlot,
} from './ring.js';

const shape = { height: 5, width: 4, channels: 3 };
const count = 23;
const images = allocateImages(count, shape);
const pixels = Random.stream('test pixels');
images.forEach((_, i) => (images[i] = pixels.integer(256)));
const labels = Uint8Array.from({ length: count }, (_, i) => i);
const base: LoaderOptions = {
  images,
  labels,
  shape,
  indices: Uint32Array.from({ length: count }, (_, i) => i),
  batchSize: 4,
  seed: 11,
  augmentation: { cropPadding: 2, flip: true },
  mean: [0.5, 0.4, 0.3],
  std: [0.2, 0.25, 0.3],
};

const open: BatchLoader[] = [];
function loaderOf(change: Partial<LoaderOptions> = {}): BatchLoader {
  const loader = openLoader({ ...base, ...change });
  open.push(loader);
  return loader;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((loader) => loader.close()));
});

interface Seen {
  readonly epoch: number;
  readonly step: number;
  readonly images: number[];
  readonly labels: number[];
}
function seen(batch: Batch): Seen {
  const copy = {
    epoch: batch.epoch,
    step: batch.step,
    images: Array.from(batch.images),
    labels: Array.from(batch.labels),
  };
  batch.release();
  return copy;
}
function take(loader: BatchLoader, batches: number): Seen[] {
  return Array.from({ length: batches }, () => seen(loader.nextSync()));
}

describe('content', () => {
  it('is the function of (seed, label, epoch, step) that the streams define', () => {
    const got = take(loaderOf(), 12);
    const table = normalisationTable(base);
    got.forEach((batch, i) => {
      const [epoch, step] = [Math.floor(i / 5), i % 5];
      const order = Random.stream(11, 'loader', 'shuffle', epoch).shuffle(base.indices.slice());
      const expected = new Float32Array(4 * 60);
      const draws = Random.stream(11, 'loader', 'augment', epoch, step);
      fillBatch(images, order, 4 * step, 4 * step + 4, shape, table, expected, base.augmentation, draws);
      expect(batch).toEqual({
        epoch,
        step,
        images: Array.from(expected),
        labels: Array.from(order.subarray(4 * step, 4 * step + 4)),
      });
    });
  });

  it('does not depend on the number of slots or on the pace of the consumer', async () => {
    const expected = take(loaderOf(), 9);
    expect(take(loaderOf({ prefetch: 1 }), 9)).toEqual(expected);
    expect(take(loaderOf({ prefetch: 7 }), 9)).toEqual(expected);
    const slow = loaderOf({ prefetch: 2 });
    const got: Seen[] = [];
    for (let i = 0; i < 9; i++) {
      got.push(seen(slow.nextSync()));
      await new Promise((resume) => setTimeout(resume, i));
    }
    expect(got).toEqual(expected);
  });

  it('resumes at any step with what it would have been', () => {
    const whole = take(loaderOf(), 14);
    for (const [at, start] of [
      [3, { epoch: 0, step: 3 }],
      [5, { epoch: 1, step: 0 }],
      [5, { epoch: 0, step: 5 }],
      [12, { epoch: 2, step: 2 }],
    ] as const)
      expect(take(loaderOf({ start }), 14 - at)).toEqual(whole.slice(at));
  });

  it('differs between seeds, labels and epochs', () => {
    const first = take(loaderOf(), 10);
    expect(take(loaderOf({ seed: 12 }), 1)[0]!.images).not.toEqual(first[0]!.images);
    expect(take(loaderOf({ label: 'other' }), 1)[0]!.images).not.toEqual(first[0]!.images);
    expect(first[5]!.labels).not.toEqual(first[0]!.labels);
  });

  it('visits each image once an epoch; the last partial batch is left out or kept as asked', () => {
    const kept = loaderOf({ dropLast: false });
    expect(kept.stepsPerEpoch).toBe(6);
    const epoch = take(kept, 6);
    expect(epoch[5]!.labels).toHaveLength(3);
    expect(epoch[5]!.images).toHaveLength(3 * 60);
    expect(epoch.flatMap((batch) => batch.labels).sort((a, b) => a - b)).toEqual(Array.from(labels));
    const dropped = take(loaderOf(), 5).flatMap((batch) => batch.labels);
    expect(new Set(dropped).size).toBe(20);
  });

  it('reads only the images it was given', () => {
    const indices = Uint32Array.of(3, 5, 8, 13, 21);
    const got = take(loaderOf({ indices, batchSize: 5 }), 4);
    for (const batch of got) expect([...batch.labels].sort((a, b) => a - b)).toEqual([3, 5, 8, 13, 21]);
  });
});

describe('the consumer', () => {
  it('may hold several batches; their content stays until they are released', () => {
    const expected = take(loaderOf(), 3);
    const loader = loaderOf({ prefetch: 3 });
    const held = [loader.nextSync(), loader.nextSync(), loader.nextSync()];
    expect(() => loader.nextSync()).toThrow(/all 3 batches of the data loader are held/);
    expect(held.map((batch) => seen(batch))).toEqual(expected);
    held[0]!.release();
    expect(loader.nextSync().step).toBe(3);
  });

  it('is refused options that cannot work', () => {
    for (const change of [
      { batchSize: 24 },
      { batchSize: 0 },
      { batchSize: 1.5 },
      { augmentation: { cropPadding: -1, flip: true } },
    ])
      expect(() => loaderOf(change)).toThrow(OptionError);
    for (const change of [
      { prefetch: 0 },
      { mean: [0.5] },
      { indices: Uint32Array.of(0, 1, 2, 23) },
      { labels: labels.subarray(1) },
      { start: { epoch: 0, step: 6 } },
      { start: { epoch: -1, step: 0 } },
    ])
      expect(() => loaderOf(change)).toThrow(RangeError);
  });

  it('is told when the loader has been closed', async () => {
    const loader = loaderOf();
    seen(loader.nextSync());
    await loader.close();
    expect(() => loader.nextSync()).toThrow(/closed/);
    await loader.close();
  });

  it('gets an error, not a hang, when no batch comes in time', () => {
    const loader = loaderOf({ stallLimitMs: 1 });
    expect(() => loader.nextSync()).toThrow(/made no batch in 0\.001 s/);
  });

  it('does not keep the process alive with a loader left open', () => {
    const script = `
      import { openLoader } from ${JSON.stringify(compiledModule('data/loader.js').href)};
      const loader = openLoader({
        images: new Uint8Array(new SharedArrayBuffer(8)), labels: new Uint8Array(8), indices: Uint32Array.of(0, 1, 2),
        shape: { height: 1, width: 1, channels: 1 }, batchSize: 2, seed: 1, mean: [0], std: [1],
        augmentation: { cropPadding: 0, flip: false },
      });
      console.log(loader.nextSync().labels.length);`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect([run.status, run.stdout.trim(), run.stderr]).toEqual([0, '2', '']);
  });
});

describe('the worker', () => {
  const work = (slots: number) => ({
    ...base,
    ring: createRing(slots, 4 * 60, 4),
    dropLast: true,
    label: 'loader',
    startEpoch: 0,
    startStep: 0,
  });
  const started = (data: object): Worker =>
    new Worker(compiledModule('data/loader-worker.js'), { workerData: data });

  it('passes on why it failed', () => {
    const made = work(2);
    const worker = started({ ...made, indices: undefined });
    expect(waitForSlot(made.ring, 0, SlotState.Full, 60_000)).toBe(false);
    expect(ringStatus(made.ring)).toBe(RingStatus.Failed);
    expect(ringMessage(made.ring)).toMatch(/undefined/);
    void worker.terminate();
  });

  it('leaves nobody waiting when it is killed', async () => {
    const made = work(1);
    const worker = started(made);
    expect(waitForSlot(made.ring, 0, SlotState.Full, 60_000)).toBe(true);
    await worker.terminate();
    setSlotState(made.ring, 0, SlotState.Empty);
    expect(waitForSlot(made.ring, 0, SlotState.Full, 150)).toBe(false);
    expect(ringStatus(made.ring)).toBe(RingStatus.Running);
  });

  it('ends by itself when the ring is closed, whatever it is waiting for', async () => {
    const made = work(2);
    const worker = started(made);
    expect(waitForSlot(made.ring, 1, SlotState.Full, 60_000)).toBe(true);
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    endRing(made.ring, RingStatus.Closed);
    expect(await ended).toBe(0);
  });

  it('keeps the first reason for an end', () => {
    const ring = createRing(2, 8, 2);
    endRing(ring, RingStatus.Failed, 'out of wörds');
    endRing(ring, RingStatus.Closed);
    expect([ringStatus(ring), ringMessage(ring)]).toEqual([RingStatus.Failed, 'out of wörds']);
  });
});
