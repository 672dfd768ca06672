/**
 * @file What a profile's prices follow from, as a short hash: the identity of a machine for whatever is remembered of it.
 */
import { createHash } from 'node:crypto';
import type { AcceleratorProfile } from './profile-schema.js';

const hashes = new WeakMap<AcceleratorProfile, string>();
const words = new Set(['name', 'description', 'source']);

/** 16 hexadecimal digits over the numbers and rules of a profile, all of it but names, descriptions and sources. */
export function profileHash(profile: AcceleratorProfile): string {
  let hash = hashes.get(profile);
  if (hash === undefined) {
    const numbers = JSON.stringify(profile, (key, value: unknown) => (words.has(key) ? undefined : value));
    hashes.set(profile, (hash = createHash('sha256').update(numbers).digest('hex').slice(0, 16)));
  }
  return hash;
}
