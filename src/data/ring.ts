/**
 * @file The ring of shared slots between the loader's worker, which fills them in order, and its consumer.
 *
 * Each slot is EMPTY, FULL or TAKEN. The worker waits for its next slot to be EMPTY and makes it FULL; the consumer
 * waits for FULL, makes it TAKEN, and its `release` makes it EMPTY again. A status word tells each side about the
 * other's end. All waits are in slices with the status looked at between them: a side that dies without a word (killed,
 * out of memory) cannot leave the other waiting for ever, and a wake-up lost between look and wait costs one slice.
 */

export const SlotState = { Empty: 0, Full: 1, Taken: 2 } as const;
export const RingStatus = { Running: 0, Failed: 1, Closed: 2 } as const;

const STATUS = 0;
const MESSAGE_BYTES = 1;
const FIRST_SLOT = 2;
const MESSAGE_CAPACITY = 1024;
const WAIT_SLICE_MS = 100;
/** Slots begin on cache lines, and where vector loads like it. */
const ALIGNMENT_FLOATS = 16;

/** Plain data over shared memory: may be posted to a worker. */
export interface Ring {
  readonly slots: number;
  readonly imageFloats: number;
  readonly labelCount: number;
  readonly control: Int32Array;
  readonly message: Uint8Array;
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** A ring of `slots` slots, each with `imageFloats` floats and `labelCount` labels. */
export function createRing(slots: number, imageFloats: number, labelCount: number): Ring {
  const stride = slotStride(imageFloats);
  return {
    slots,
    imageFloats,
    labelCount,
    control: new Int32Array(new SharedArrayBuffer(4 * (FIRST_SLOT + slots))),
    message: new Uint8Array(new SharedArrayBuffer(MESSAGE_CAPACITY)),
    images: new Float32Array(new SharedArrayBuffer(4 * stride * slots)),
    labels: new Int32Array(new SharedArrayBuffer(4 * labelCount * slots)),
  };
}

function slotStride(imageFloats: number): number {
  return Math.ceil(imageFloats / ALIGNMENT_FLOATS) * ALIGNMENT_FLOATS;
}

/** Views of a slot's images and labels, of the first `count` of `capacity` images. */
export function slotViews(
  ring: Ring,
  slot: number,
  count: number,
): { images: Float32Array; labels: Int32Array } {
  const start = slot * slotStride(ring.imageFloats);
  const floats = (ring.imageFloats / ring.labelCount) * count;
  const firstLabel = slot * ring.labelCount;
  return {
    images: ring.images.subarray(start, start + floats),
    labels: ring.labels.subarray(firstLabel, firstLabel + count),
  };
}

export function slotState(ring: Ring, slot: number): number {
  return Atomics.load(ring.control, FIRST_SLOT + slot);
}

export function setSlotState(ring: Ring, slot: number, state: number): void {
  Atomics.store(ring.control, FIRST_SLOT + slot, state);
  Atomics.notify(ring.control, FIRST_SLOT + slot);
}

export function ringStatus(ring: Ring): number {
  return Atomics.load(ring.control, STATUS);
}

/** Ends the ring for both sides; the first end counts. `message` says why, when it failed. */
export function endRing(
  ring: Ring,
  status: typeof RingStatus.Failed | typeof RingStatus.Closed,
  message = '',
): void {
  if (ringStatus(ring) === RingStatus.Running) {
    // Encoded apart: the encoder does not write to shared memory on every Node version.
    const bytes = new TextEncoder().encode(message).subarray(0, MESSAGE_CAPACITY);
    ring.message.set(bytes);
    Atomics.store(ring.control, MESSAGE_BYTES, bytes.length);
    Atomics.compareExchange(ring.control, STATUS, RingStatus.Running, status);
  }
  for (let slot = 0; slot < ring.slots; slot++) Atomics.notify(ring.control, FIRST_SLOT + slot);
}

/** Why the ring failed. */
export function ringMessage(ring: Ring): string {
  const length = Atomics.load(ring.control, MESSAGE_BYTES);
  return Buffer.from(ring.message.slice(0, length)).toString('utf8');
}

/**
 * Blocks until the slot is in `state`. @returns false when the ring has ended, or `limitMs` have passed, not counting
 * the time that the process or the machine was suspended (both threads stood still then).
 * A slot that is in `state` counts even when the ring has ended: what was filled may still be taken.
 */
export function waitForSlot(ring: Ring, slot: number, state: number, limitMs: number): boolean {
  let left = limitMs;
  for (;;) {
    const now = slotState(ring, slot);
    if (now === state) return true;
    if (ringStatus(ring) !== RingStatus.Running) return false;
    if (left <= 0) return false;
    const slice = Math.min(left, WAIT_SLICE_MS);
    const started = performance.now();
    Atomics.wait(ring.control, FIRST_SLOT + slot, now, slice);
    left -= Math.min(slice, performance.now() - started);
  }
}
