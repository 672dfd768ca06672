import fc from 'fast-check';
import { expect, test } from 'vitest';
import { thinByCell, thinCurve } from './thin.js';

const place = fc.record({
  x: fc.double({ min: 0, max: 900, noNaN: true }),
  y: fc.double({ min: 0, max: 500, noNaN: true }),
});

test('cells: at most the limit besides those always kept, every point has a drawn one in its cell', () => {
  fc.assert(
    fc.property(
      fc.array(place, { maxLength: 300 }),
      fc.integer({ min: 1, max: 80 }),
      fc.array(fc.nat(299), { maxLength: 10 }),
      (places, limit, wanted) => {
        const always = new Set(wanted.filter((at) => at < places.length));
        const { kept, cell } = thinByCell(places, limit, always);
        expect(kept.length).toBeLessThanOrEqual(limit + always.size);
        for (const at of always) expect(kept).toContain(at);
        if (cell === 0) return void expect(kept.length).toBe(places.length);
        const cellOf = (at: number): string =>
          `${Math.floor(places[at]!.x / cell)},${Math.floor(places[at]!.y / cell)}`;
        const drawn = new Set(kept.map(cellOf));
        places.forEach((_, at) => expect(drawn.has(cellOf(at))).toBe(true));
      },
    ),
  );
});

test('curves keep their ends and their extremes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 400 }),
      fc.integer({ min: 1, max: 50 }),
      (values, stretches) => {
        const kept = thinCurve(values, stretches);
        expect(kept.length).toBeLessThanOrEqual(2 * stretches + 2);
        expect(kept[0]).toBe(0);
        expect(kept[kept.length - 1]).toBe(values.length - 1);
        expect([...kept]).toEqual([...new Set(kept)].sort((a, b) => a - b));
        const drawn = kept.map((at) => values[at]!);
        expect(Math.max(...drawn)).toBe(Math.max(...values));
        expect(Math.min(...drawn)).toBe(Math.min(...values));
      },
    ),
  );
});
