/**
 * @file Fewer marks for the same picture: ten thousand candidates or steps must not make a ten-megabyte page.
 */

/** A place on the drawing, in SVG user units. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/**
 * Indices to draw, in order: all of them when there are at most `limit`, otherwise the first of every occupied cell
 * of the finest square grid that leaves at most `limit` cells, plus everything in `always` (which may exceed it).
 */
export function thinByCell(
  places: readonly Place[],
  limit: number,
  always: ReadonlySet<number>,
): { readonly kept: readonly number[]; readonly cell: number } {
  const all = places.map((_, at) => at);
  if (places.length <= limit) return { kept: all, cell: 0 };
  for (let cell = 1; ; cell *= 1.25) {
    const seen = new Set<string>();
    for (const at of always) seen.add(cellOf(places[at]!, cell));
    const kept = all.filter((at) => {
      if (always.has(at)) return true;
      const key = cellOf(places[at]!, cell);
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
    if (seen.size <= limit || cell > 1e6) return { kept, cell };
  }
}

function cellOf({ x, y }: Place, cell: number): string {
  return `${Math.floor(x / cell)},${Math.floor(y / cell)}`;
}

/**
 * Indices of a curve to draw: per stretch of equal length the lowest and the highest value, so that no spike is lost.
 * At most about `2 * stretches + 2` indices, rising, with the first and the last.
 */
export function thinCurve(values: readonly number[], stretches: number): readonly number[] {
  if (values.length <= 2 * stretches) return values.map((_, at) => at);
  const kept = new Set<number>([0]);
  for (let stretch = 0; stretch < stretches; stretch++) {
    const from = Math.floor((stretch * values.length) / stretches);
    const to = Math.floor(((stretch + 1) * values.length) / stretches);
    let low = from;
    let high = from;
    for (let at = from; at < to; at++) {
      if (values[at]! < values[low]!) low = at;
      if (values[at]! > values[high]!) high = at;
    }
    kept.add(Math.min(low, high));
    kept.add(Math.max(low, high));
  }
  kept.add(values.length - 1);
  return [...kept].sort((a, b) => a - b);
}
