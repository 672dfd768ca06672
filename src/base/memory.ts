/**
 * @file How much memory this process can ever have.
 */
import { totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';

/** Bytes of the machine's memory, or of what the process is confined to. */
export function memoryLimit(): number {
  // Where nothing confines the process there is no limit to be told: 0, or more than any machine has.
  const confined = constrainedMemory() || Infinity;
  return Math.min(totalmem(), confined);
}

/** `12.3 GB`. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
