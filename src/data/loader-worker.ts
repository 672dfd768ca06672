/**
 * @file The loader's worker thread: fills the ring's slots with batches, one after the other, until it is told to stop.
 */
import { workerData } from 'node:worker_threads';
import { messageOf } from '../base/errors.js';
import { fillBatch, normalisationTable, type Augmentation, type ChannelStatistics } from './augment.js';
import { augmentationStream, epochOrder, stepsPerEpoch } from './batches.js';
import type { ImagePart, ImageShape } from './dataset.js';
import { RingStatus, SlotState, endRing, setSlotState, slotViews, waitForSlot, type Ring } from './ring.js';

/** What the consumer hands to its worker; posted, so plain data. */
export interface LoaderWork extends ImagePart, ChannelStatistics {
  readonly ring: Ring;
  readonly shape: ImageShape;
  readonly indices: Uint32Array;
  readonly batchSize: number;
  readonly dropLast: boolean;
  readonly seed: number;
  readonly label: string;
  readonly augmentation: Augmentation;
  readonly startEpoch: number;
  readonly startStep: number;
}

function fillRing(work: LoaderWork): void {
  const { ring, images, labels, shape, indices, batchSize, seed, label } = work;
  const table = normalisationTable(work);
  const steps = stepsPerEpoch(indices.length, batchSize, work.dropLast);
  let step = work.startStep;
  let slot = 0;
  for (let epoch = work.startEpoch; ; epoch++) {
    const order = epochOrder(indices, seed, label, epoch);
    for (; step < steps; step++) {
      if (!waitForSlot(ring, slot, SlotState.Empty, Infinity)) return;
      const from = step * batchSize;
      const to = Math.min(from + batchSize, order.length);
      const views = slotViews(ring, slot, to - from);
      const random = augmentationStream(seed, label, epoch, step);
      fillBatch(images, order, from, to, shape, table, views.images, work.augmentation, random);
      for (let i = from; i < to; i++) views.labels[i - from] = labels[order[i]!]!;
      setSlotState(ring, slot, SlotState.Full);
      slot = (slot + 1) % ring.slots;
    }
    step = 0;
  }
}

const work = workerData as LoaderWork;
try {
  fillRing(work);
} catch (error) {
  endRing(work.ring, RingStatus.Failed, messageOf(error));
}
