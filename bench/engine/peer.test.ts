import { describe, expect, it } from 'vitest';
import { agree, digest, hashed } from './inputs.js';
import { Peer, PeerGoneError } from './peer.js';

describe('Peer', () => {
  it('says in one line that a program cannot be run or ends', async () => {
    await expect(Peer.start('/nowhere/python3', {})).rejects.toThrow(PeerGoneError);
    await expect(Peer.start('/nowhere/python3', {})).rejects.toThrow(/^spawn \/nowhere\/python3 ENOENT$/);
    await expect(Peer.start('false', {})).rejects.toThrow(/^exit code 1$/);
  });
});

describe('inputs', () => {
  it('are spread evenly over [-1, 1), another sequence for each seed', () => {
    const values = Float64Array.from({ length: 1 << 16 }, (_, i) => hashed(i, 1));
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...values)).toBeLessThan(1);
    const [sum, norm] = digest(Float32Array.from(values));
    expect(Math.abs(sum / values.length)).toBeLessThan(0.01);
    expect(norm ** 2 / values.length).toBeCloseTo(1 / 3, 2);
    const same = values.filter((value, i) => value === hashed(i, 2));
    expect(same.length).toBeLessThan(3);
  });
});

describe('agree', () => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => hashed(i, 1));

  it('forgives rounding', () => {
    const rounded = values.map((value) => value * (1 + 1e-6));
    expect(agree(digest(values), digest(rounded))).toBe(true);
  });

  it('sees a factor, an offset and a permutation', () => {
    expect(agree(digest(values), digest(values.map((value) => value * 1.01)))).toBe(false);
    expect(agree(digest(values), digest(values.map((value) => value + 0.01)))).toBe(false);
    expect(agree(digest(values), digest(values.slice().reverse()))).toBe(false);
  });
});
