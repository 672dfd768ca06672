/**
 * @file Buffers that go round: a size-class pool over the device's allocations.
 *
 * A training step asks for the same few hundred buffers every time. Giving them back the moment the tape is done with
 * them, and handing them out again by size class, keeps megabytes per step away from the garbage collector and the
 * caches warm. Classes are multiples of 16 floats up to 1024, so that vectors over channels need no view, and four per
 * octave above, which bounds the waste at a quarter. A large buffer may also be lent the memory of one up to four
 * times its size that nobody uses: maps shrink towards the end of a network, and what is taken last goes back first.
 *
 * A gradient that an op passes on unchanged to several inputs is one buffer with several owners: {@link share} adds
 * one, {@link release} takes one away, and who wants to write asks {@link isShared} first.
 */
import { kernels } from './device.js';

const smallest = 16;
const finest = 1024;
/** From this many floats on a buffer may be lent larger memory: up to `lendingClasses` classes, two octaves. */
const lendingFrom = 1 << 14;
const lendingClasses = 8;

const free = new Map<number, Float32Array[]>();
/** The memory behind a view of part of it, and the last view of each memory, which the next step asks for again. */
const home = new WeakMap<Float32Array, Float32Array>();
const lastView = new WeakMap<Float32Array, Float32Array>();
/** Owners beyond the first. */
const furtherOwners = new Map<Float32Array, number>();
let allocatedFloats = 0;
let usedFloats = 0;
let peakFloats = 0;

/** Smallest size class, in floats, that holds `length`. */
export function sizeClass(length: number): number {
  if (length <= finest) return Math.max(1, Math.ceil(length / smallest)) * smallest;
  let unit = finest / 4;
  while (unit * 7 < length) unit *= 2;
  for (let quarters = 4; quarters < 7; quarters++) if (unit * quarters >= length) return unit * quarters;
  return unit * 7;
}

/** A buffer of exactly `length` floats with ARBITRARY content; give it back with {@link release}. */
export function take(length: number): Float32Array {
  const size = sizeClass(length);
  let base = free.get(size)?.pop() ?? larger(size);
  if (base === undefined) {
    base = kernels().allocate(size);
    allocatedFloats += size;
  }
  usedFloats += size;
  if (usedFloats > peakFloats) peakFloats = usedFloats;
  if (base.length === length) return base;
  const known = lastView.get(base);
  if (known?.length === length) return known;
  const view = base.subarray(0, length);
  home.set(view, base);
  lastView.set(base, view);
  return view;
}

/** Free memory of the next larger classes. */
function larger(size: number): Float32Array | undefined {
  if (size < lendingFrom) return undefined;
  for (let k = 0, next = size; k < lendingClasses; k++) {
    next = sizeClass(next + 1);
    const base = free.get(next)?.pop();
    if (base !== undefined) return base;
  }
  return undefined;
}

/** Gives up one ownership of a buffer that came from {@link take}; the last one returns it. Then using it is a defect. */
export function release(buffer: Float32Array): void {
  if (furtherOwners.size > 0) {
    const further = furtherOwners.get(buffer);
    if (further !== undefined) {
      if (further === 1) furtherOwners.delete(buffer);
      else furtherOwners.set(buffer, further - 1);
      return;
    }
  }
  const base = home.get(buffer) ?? buffer;
  usedFloats -= sizeClass(buffer.length);
  const list = free.get(base.length);
  if (list === undefined) free.set(base.length, [base]);
  else list.push(base);
}

/** The same buffer with one owner more, who releases it too. */
export function share(buffer: Float32Array): Float32Array {
  furtherOwners.set(buffer, (furtherOwners.get(buffer) ?? 0) + 1);
  return buffer;
}

/** Whether the buffer has more than one owner, so that none of them may write to it. */
export function isShared(buffer: Float32Array): boolean {
  return furtherOwners.size > 0 && furtherOwners.has(buffer);
}

export interface PoolUsage {
  /** Ever allocated by this thread's pool. */
  readonly allocatedBytes: number;
  /** Handed out now, in whole size classes. */
  readonly usedBytes: number;
  /** Most ever handed out at once since {@link resetPeak}. */
  readonly peakBytes: number;
}

export function poolUsage(): PoolUsage {
  return { allocatedBytes: allocatedFloats * 4, usedBytes: usedFloats * 4, peakBytes: peakFloats * 4 };
}

/** Begins a new watch for {@link PoolUsage.peakBytes}. */
export function resetPeak(): void {
  peakFloats = usedFloats;
}
