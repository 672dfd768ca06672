import { describe, expect, it } from 'vitest';
import { referenceFamily, widestFamilies } from './rivals.js';

describe('of families in several widths', () => {
  it('the widest of each are rivals', () => {
    expect(widestFamilies(['conv.int4', 'conv', 'add.int6', 'conv.int8', 'add.int8', 'pot.q'])).toEqual([
      'conv',
      'add.int8',
      'pot.q',
    ]);
    expect(widestFamilies(['conv', 'add'])).toEqual(['conv', 'add']);
  });

  it('the widest convolution is what a percentage refers to', () => {
    expect(referenceFamily(['add', 'conv'])).toBe('conv');
    expect(referenceFamily(['conv.int4', 'add', 'conv.int8'])).toBe('conv.int8');
    expect(() => referenceFamily(['add', 'pot.q.int8'])).toThrow(
      /has no family 'conv'; give the budget in absolute/,
    );
  });
});
