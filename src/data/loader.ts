/**
 * @file Training batches, made ahead of time on a worker thread.
 *
 * A batch is a pure function of (seed, label, epoch, step): the timing of threads cannot reach it, and a resumed run
 * asks for the step at which it stopped and gets what it would have got. The consumer, the training loop, is itself on a
 * thread that may block, so `nextSync` waits.
 */
import { Worker } from 'node:worker_threads';
import { OptionError, messageOf } from '../base/errors.js';
import { compiledModule } from '../base/modules.js';
import type { Augmentation, ChannelStatistics } from './augment.js';
import { stepsPerEpoch } from './batches.js';
import { imageLength, type ImagePart, type ImageShape } from './dataset.js';
import type { LoaderWork } from './loader-worker.js';
import {
  RingStatus,
  SlotState,
  createRing,
  endRing,
  ringMessage,
  ringStatus,
  setSlotState,
  slotState,
  slotViews,
  waitForSlot,
} from './ring.js';

export interface LoaderOptions extends ImagePart, ChannelStatistics {
  /** `images` should lie on a SharedArrayBuffer, as those of a data set do; other memory is copied to the worker. */
  readonly shape: ImageShape;
  /** Which images make up an epoch, before shuffling. The order matters to the result. */
  readonly indices: Uint32Array;
  readonly batchSize: number;
  readonly seed: number;
  /** Name of the random stream, so that two loaders of one seed differ. Default `loader`. */
  readonly label?: string;
  readonly augmentation: Augmentation;
  /** Batches made ahead. Default 4; at least 1. */
  readonly prefetch?: number;
  /** Leave out the last batch of an epoch when it is not full. Default true. */
  readonly dropLast?: boolean;
  /** The first batch to deliver. Default epoch 0, step 0. */
  readonly start?: { readonly epoch: number; readonly step: number };
  /** How long to wait for a batch before the worker is taken for dead. Default 60 000 ms. */
  readonly stallLimitMs?: number;
}

export interface Batch {
  readonly epoch: number;
  readonly step: number;
  /** [count, height, width, channels], augmented and normalised. On shared memory; valid until `release`. */
  readonly images: Float32Array;
  /** [count]. Valid until `release`. */
  readonly labels: Int32Array;
  /** Gives the slot back to the worker. Calling it again does nothing. */
  release(): void;
}

export interface BatchLoader {
  readonly stepsPerEpoch: number;
  /**
   * The next batch; blocks the calling thread until it is there.
   * @throws Error when the worker failed or stopped answering, when the loader is closed, or when `prefetch` batches
   *   are held unreleased, since waiting could then never end.
   */
  nextSync(): Batch;
  /** Stops the worker. Resolves when its thread has ended; waiting for that is optional. */
  close(): Promise<void>;
}

/**
 * Opens a loader over the given images; endless, epoch after epoch. The worker does not keep the process alive.
 * @throws OptionError when an epoch would have no batch; RangeError for options that no user can set.
 */
export function openLoader(options: LoaderOptions): BatchLoader {
  const { batchSize, indices, shape, prefetch = 4, dropLast = true, stallLimitMs = 60_000 } = options;
  const start = options.start ?? { epoch: 0, step: 0 };
  checkOptions(options, prefetch);
  const steps = stepsPerEpoch(indices.length, batchSize, dropLast);
  if (steps === 0)
    throw new OptionError(
      `batch size ${batchSize} is larger than the ${indices.length} training images; choose a smaller batch size`,
    );
  if (!isCount(start.epoch) || !isCount(start.step) || start.step > steps)
    throw new RangeError(`start at epoch ${start.epoch}, step ${start.step}: an epoch has ${steps} steps`);

  const ring = createRing(prefetch, batchSize * imageLength(shape), batchSize);
  const work: LoaderWork = {
    ring,
    images: options.images,
    labels: options.labels,
    shape: { height: shape.height, width: shape.width, channels: shape.channels },
    indices,
    batchSize,
    dropLast,
    seed: options.seed,
    label: options.label ?? 'loader',
    augmentation: options.augmentation,
    mean: options.mean,
    std: options.std,
    startEpoch: start.epoch,
    startStep: start.step,
  };
  // The parent's flags (loaders, inspectors) are of no use to compiled JavaScript.
  const worker = new Worker(compiledModule('data/loader-worker.js'), { workerData: work, execArgv: [] });
  worker.unref();
  worker.on('error', (error) => endRing(ring, RingStatus.Failed, messageOf(error)));
  worker.on('exit', () => endRing(ring, RingStatus.Failed, 'its thread ended'));

  let { epoch, step } = start;
  if (step === steps) {
    epoch++;
    step = 0;
  }
  let slot = 0;

  const take = (): Batch => {
    const count = Math.min(batchSize, indices.length - step * batchSize);
    const held = slot;
    setSlotState(ring, held, SlotState.Taken);
    let released = false;
    const batch: Batch = {
      epoch,
      step,
      ...slotViews(ring, held, count),
      release: () => {
        if (!released) setSlotState(ring, held, SlotState.Empty);
        released = true;
      },
    };
    slot = (slot + 1) % ring.slots;
    if (++step === steps) {
      epoch++;
      step = 0;
    }
    return batch;
  };
  const checkOpen = (): void => {
    if (ringStatus(ring) === RingStatus.Closed) throw new Error('the data loader is closed');
    if (slotState(ring, slot) === SlotState.Taken)
      throw new Error(
        `all ${ring.slots} batches of the data loader are held; release one before taking another`,
      );
  };
  const failure = (): Error =>
    ringStatus(ring) === RingStatus.Failed
      ? new Error(`the data loader's worker failed: ${ringMessage(ring)}`)
      : ringStatus(ring) === RingStatus.Closed
        ? new Error('the data loader is closed')
        : new Error(`the data loader's worker made no batch in ${stallLimitMs / 1000} s`);

  return {
    stepsPerEpoch: steps,
    nextSync: () => {
      checkOpen();
      if (!waitForSlot(ring, slot, SlotState.Full, stallLimitMs)) throw failure();
      return take();
    },
    close: async () => {
      endRing(ring, RingStatus.Closed);
      await worker.terminate();
    },
  };
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}

function checkOptions(options: LoaderOptions, prefetch: number): void {
  const { batchSize, indices, labels, images, shape, mean, std, augmentation } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new OptionError(`batch size ${batchSize}: give a whole number, at least 1`);
  if (!Number.isInteger(prefetch) || prefetch < 1)
    throw new RangeError(`prefetch ${prefetch} is not a positive integer`);
  if (!isCount(augmentation.cropPadding))
    throw new OptionError(
      `crop padding ${augmentation.cropPadding}: give a whole number of pixels, 0 or more`,
    );
  if (mean.length !== shape.channels || std.length !== shape.channels)
    throw new RangeError(`mean and std must have ${shape.channels} values, one a channel`);
  if (images.length !== labels.length * imageLength(shape))
    throw new RangeError(`${images.length} bytes of images do not fit ${labels.length} labels`);
  const outside = indices.find((index) => index >= labels.length);
  if (outside !== undefined) throw new RangeError(`index ${outside} is outside the ${labels.length} images`);
}
