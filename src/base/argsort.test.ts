import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argsort } from './argsort.js';

describe('argsort', () => {
  it('is the order by comparison, equal values in the order in which they stand', () => {
    const value = fc.oneof(
      fc.float({ noNaN: true }),
      fc.constantFrom(0, 1, -1, 1.5, -(2 ** -130), 2 ** -149, 3e38, -3e38),
    );
    fc.assert(
      fc.property(fc.array(value, { maxLength: 200 }), (list) => {
        const values = Float32Array.from(list, (each) => each + 0);
        expect([...argsort(values)]).toEqual(
          [...values.keys()].sort((a, b) => values[a]! - values[b]! || a - b),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('holds every place once, NaNs too', () => {
    const order = argsort(Float32Array.of(2, Number.NaN, -1, Infinity, -Infinity));
    expect([...order].sort()).toEqual([0, 1, 2, 3, 4]);
    expect([...order].filter((at) => at !== 1)).toEqual([4, 2, 0, 3]);
  });
});
