/**
 * @file The order of float32 values, by radix sort: three passes over 11 bits each, linear in their number.
 */

const bitsOfPass = 11;
const buckets = 1 << bitsOfPass;
const passes = 3;

/** Places of the values from the least to the largest; equal ones keep their order. NaNs are before or behind all others. */
export function argsort(values: Float32Array): Uint32Array {
  const { length } = values;
  const keys = orderedBits(values);
  let from = new Uint32Array(length);
  for (let i = 0; i < length; i++) from[i] = i;
  let to = new Uint32Array(length);
  for (let pass = 0; pass < passes; pass++) {
    const shift = pass * bitsOfPass;
    const next = new Uint32Array(buckets);
    for (let i = 0; i < length; i++) next[digit(keys[i] as number, shift)]!++;
    for (let bucket = 0, sum = 0; bucket < buckets; bucket++) {
      const count = next[bucket] as number;
      next[bucket] = sum;
      sum += count;
    }
    for (let i = 0; i < length; i++) {
      const place = from[i] as number;
      to[next[digit(keys[place] as number, shift)]!++] = place;
    }
    [from, to] = [to, from];
  }
  return from;
}

function digit(key: number, shift: number): number {
  return (key >>> shift) & (buckets - 1);
}

/** Unsigned integers in the order of the values: of negative ones all bits are turned over, of others the sign alone. */
function orderedBits(values: Float32Array): Uint32Array {
  const bits = new Uint32Array(values.length);
  new Float32Array(bits.buffer).set(values);
  for (let i = 0; i < bits.length; i++) {
    const raw = bits[i] as number;
    bits[i] = raw >>> 31 === 1 ? ~raw : raw | 0x80000000;
  }
  return bits;
}
