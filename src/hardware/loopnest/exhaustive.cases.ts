/**
 * @file Every mapping of a tiny layer: all ways to split the bounds over levels, columns and rows, all loop orders. The
 * oracle of the mapper.
 */
import { NoMappingError } from './limits.js';
import { evaluatePrepared } from './evaluate.js';
import type { LevelMapping, Loop, Mapping } from './mapping.js';
import type { Prepared } from './prices.js';
import { dimensions } from './problem.js';

/** The least value of `score` over every mapping with exact factors, and how many there are. */
export function bestOfAll(
  prepared: Prepared,
  score: (energyPj: number, cycles: number) => number,
): { readonly best: number; readonly count: number } {
  const { machine, problem } = prepared;
  const active = dimensions.filter((_, d) => problem.bounds[d]! > 1);
  // Places of a factor: one in time per level, one per axis of each fan-out.
  const places = machine.levels.flatMap(({ fanout }, level) => [
    { level, axis: 'time' as const },
    ...(fanout !== undefined && fanout.x > 1 ? [{ level, axis: 'x' as const }] : []),
    ...(fanout !== undefined && fanout.y > 1 ? [{ level, axis: 'y' as const }] : []),
  ]);
  const splits = active.map((name) => splitsOf(problem.bounds[dimensions.indexOf(name)]!, places.length));
  let best = Infinity;
  let count = 0;
  const consider = (chosen: readonly (readonly number[])[]): void => {
    const loopsAt = (place: number): Loop[] =>
      active.flatMap((dimension, index): Loop[] => {
        const factor = chosen[index]![place]!;
        return factor > 1 ? [{ dimension, count: factor }] : [];
      });
    const levels = machine.levels.map((_, level) => ({
      orders: permutations(
        loopsAt(places.findIndex((place) => place.level === level && place.axis === 'time')),
      ),
      spatialX: axisLoops(level, 'x'),
      spatialY: axisLoops(level, 'y'),
    }));
    function axisLoops(level: number, axis: 'x' | 'y'): Loop[] {
      const place = places.findIndex((known) => known.level === level && known.axis === axis);
      return place < 0 ? [] : loopsAt(place);
    }
    const visit = (level: number, done: readonly LevelMapping[]): boolean => {
      const at = levels[level];
      if (at === undefined) {
        const mapping: Mapping = { levels: done };
        try {
          const { energyPj, cycles } = evaluatePrepared(prepared, mapping);
          count++;
          best = Math.min(best, score(energyPj, cycles.total));
          return true;
        } catch (error) {
          if (error instanceof NoMappingError) return false;
          throw error;
        }
      }
      // What has no room in one order has none in another.
      return at.orders.every((temporal) =>
        visit(level + 1, [...done, { temporal, spatialX: at.spatialX, spatialY: at.spatialY }]),
      );
    };
    visit(0, []);
  };
  const choose = (index: number, chosen: readonly (readonly number[])[]): void => {
    if (index === active.length) return consider(chosen);
    for (const split of splits[index]!) choose(index + 1, [...chosen, split]);
  };
  choose(0, []);
  return { best, count };
}

/** All ordered products of `parts` integers that make `bound`. */
function splitsOf(bound: number, parts: number): number[][] {
  if (parts === 1) return [[bound]];
  const found: number[][] = [];
  for (let first = 1; first <= bound; first++)
    if (bound % first === 0)
      for (const rest of splitsOf(bound / first, parts - 1)) found.push([first, ...rest]);
  return found;
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]),
  );
}
