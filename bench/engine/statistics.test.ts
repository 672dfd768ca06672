import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countedMs, spread, summarise } from './statistics.js';

const samples = (ms: readonly number[], disturbed: readonly number[] = []) => ({
  ms,
  disturbed: ms.map((_, i) => disturbed.includes(i)),
});

describe('summarise', () => {
  it('gives median and quartiles', () => {
    expect(summarise([5, 1, 4, 2, 3])).toEqual({ medianMs: 3, quartilesMs: [2, 4], repetitions: 5 });
    expect(summarise([1, 2]).medianMs).toBe(1.5);
    expect(spread(summarise([5, 1, 4, 2, 3]))).toBeCloseTo(1 / 3, 12);
  });

  it('does not depend on the order, and keeps to the range of its values', () => {
    const times = fc.array(fc.double({ min: 1e-3, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(times, (ms) => {
        const { medianMs, quartilesMs } = summarise(ms);
        expect(summarise([...ms].reverse())).toEqual(summarise(ms));
        const [low, high] = quartilesMs;
        expect([Math.min(...ms) <= low, low <= medianMs, medianMs <= high, high <= Math.max(...ms)]).toEqual([
          true,
          true,
          true,
          true,
        ]);
      }),
    );
  });

  it('refuses to summarise nothing', () => {
    expect(() => summarise([])).toThrow(RangeError);
  });
});

describe('countedMs', () => {
  it('drops disturbed repetitions where both sides keep enough', () => {
    const ours = samples([1, 2, 3, 4, 5, 90], [5]);
    const theirs = samples([7, 8, 70, 9, 10, 11], [2]);
    expect(countedMs([ours, theirs])).toEqual([
      [1, 2, 3, 4, 5],
      [7, 8, 9, 10, 11],
    ]);
  });

  it('drops none as soon as one side would keep too few', () => {
    const ours = samples([1, 2, 3, 4, 5, 90], [5]);
    const theirs = samples([7, 8, 70], [0, 1, 2]);
    expect(countedMs([ours, theirs])).toEqual([ours.ms, theirs.ms]);
    const many = samples(
      Array.from({ length: 30 }, (_, i) => i + 1),
      Array.from({ length: 24 }, (_, i) => i),
    );
    expect(countedMs([many])).toEqual([many.ms]);
  });
});
