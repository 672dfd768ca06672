/**
 * @file The work of kernels that do little more than walk through memory.
 */
import { Bound, type Work } from './case.js';

/** Bytes of `buffers` float buffers of `length`, walked through `passes` times in all. */
export function traffic(length: number, buffers: number, passes = buffers): readonly Work[] {
  return [{ bound: Bound.Memory, amount: 4 * length * passes, footprint: 4 * length * buffers }];
}
