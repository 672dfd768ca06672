/**
 * @file Buffers that go round: a size-class pool over the device's allocations.
 *
 * A training step asks for the same few hundred buffers every time. Giving them back the moment the tape is done with
 * them, and handing them out again by size class, keeps megabytes per step away from the garbage collector and the
 * caches warm. Four classes per octave bound the waste at a quarter.
 */
import { kernels } from './device.js';

const free = new Map<number, Float32Array[]>();
const home = new WeakMap<Float32Array, Float32Array>();
let allocatedFloats = 0;
let usedFloats = 0;

/** Smallest size class, in floats, that holds `length`: 64 times one of 4, 5, 6, 7 times a power of two. */
export function sizeClass(length: number): number {
  let unit = 16;
  while (unit * 7 < length) unit *= 2;
  for (let quarters = 4; quarters < 7; quarters++) if (unit * quarters >= length) return unit * quarters;
  return unit * 7;
}

/** A buffer of exactly `length` floats with ARBITRARY content; give it back with {@link release}. */
export function take(length: number): Float32Array {
  const size = sizeClass(length);
  usedFloats += size;
  const list = free.get(size);
  let base = list?.pop();
  if (base === undefined) {
    base = kernels().allocate(size);
    allocatedFloats += size;
  }
  if (base.length === length) return base;
  const view = base.subarray(0, length);
  home.set(view, base);
  return view;
}

/** Returns a buffer that came from {@link take}. Using it afterwards is a defect. */
export function release(buffer: Float32Array): void {
  const base = home.get(buffer) ?? buffer;
  home.delete(buffer);
  usedFloats -= base.length;
  const list = free.get(base.length);
  if (list === undefined) free.set(base.length, [base]);
  else list.push(base);
}

/** Bytes ever allocated by this thread's pool, and bytes handed out now. */
export function poolUsage(): { readonly allocatedBytes: number; readonly usedBytes: number } {
  return { allocatedBytes: allocatedFloats * 4, usedBytes: usedFloats * 4 };
}
