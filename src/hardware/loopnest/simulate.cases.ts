/**
 * @file The reuse rule acted out: walks every iteration of a small mapping, keeps the words that each buffer holds as
 * sets, and counts what moves. Nothing is derived, no product stands for a sum; the oracle of `traffic.ts`.
 */
import { dim, dimensionCount, tensorCount } from './problem.js';
import { HaloReuse, type Layout } from './traffic.js';

/** A temporal loop. */
export interface SimulatedLoop {
  readonly dimension: number;
  readonly count: number;
}

/** One level: its temporal loops, outermost first, and the loops over the instances below, outermost first. */
export interface SimulatedLevel {
  readonly temporal: readonly SimulatedLoop[];
  readonly spatial: readonly SimulatedLoop[];
}

/** Totals over all instances, by `level * tensorCount + tensor`. */
export interface SimulatedCounts {
  readonly reads: number[];
  readonly fills: number[];
  readonly updates: number[];
  readonly drains: number[];
  readonly network: number[];
  readonly instances: number[];
  steps: number;
}

type Point = number[];
/** The words a request asks for, and the requests of the instances below it. */
interface Request {
  readonly key: string;
  readonly words: number;
}

/** Walks the mapping. */
export function simulate(layout: Layout, levels: readonly SimulatedLevel[], stride: number): SimulatedCounts {
  const { levelCount, keepers, haloReuse } = layout;
  const zeros = (): number[] => new Array<number>(levelCount * tensorCount).fill(0);
  const counts: SimulatedCounts = {
    reads: zeros(),
    fills: zeros(),
    updates: zeros(),
    drains: zeros(),
    network: zeros(),
    instances: levels.reduce<number[]>(
      (list, { spatial }) => [
        ...list,
        list.at(-1)! * spatial.reduce((product, { count }) => product * count, 1),
      ],
      [1],
    ),
    steps: 0,
  };
  const steps = stepSizes(levels);
  const held = new Map<string, Set<string>>();
  const everHeld = new Map<string, Set<string>>();
  const heldBy = (id: string): Set<string> => held.get(id) ?? new Set();

  /** The point of the iteration space at which the temporal loops above `level` and the chosen instances stand. */
  const origin = (level: number, times: readonly number[][], places: readonly number[][]): Point => {
    const point = new Array<number>(dimensionCount).fill(0);
    for (let above = 0; above < level; above++) {
      levels[above]!.temporal.forEach((loop, i) => {
        point[loop.dimension]! += times[above]![i]! * steps[above]!.temporal[i]!;
      });
      levels[above]!.spatial.forEach((loop, i) => {
        point[loop.dimension]! += places[above]![i]! * steps[above]!.spatial[i]!;
      });
    }
    return point;
  };

  /** All words of a tensor that the loops at and below `level` touch from `start` on. */
  const touched = (tensor: number, level: number, start: Point): Set<string> => {
    const words = new Set<string>();
    const walk = (
      loops: readonly { readonly dimension: number; readonly count: number; readonly step: number }[],
      point: Point,
    ): void => {
      const [loop, ...rest] = loops;
      if (loop === undefined) {
        words.add(wordOf(tensor, point, stride));
        return;
      }
      for (let i = 0; i < loop.count; i++) {
        const next = [...point];
        next[loop.dimension]! += i * loop.step;
        walk(rest, next);
      }
    };
    const loops = levels.flatMap((at, index) =>
      index < level
        ? []
        : [
            ...at.temporal.map((loop, i) => ({ ...loop, step: steps[index]!.temporal[i]! })),
            ...at.spatial.map((loop, i) => ({ ...loop, step: steps[index]!.spatial[i]! })),
          ],
    );
    walk(loops, start);
    return words;
  };

  /**
   * Serves all instances of `child` below one instance of `parent`: the words that leave the parent when instances
   * with equal tiles are served once, level by level.
   */
  const gather = (
    tensor: number,
    parent: number,
    child: number,
    places: readonly number[][],
    requestOf: (places: readonly number[][]) => Request,
  ): number => {
    const visit = (level: number, chosen: readonly number[][]): Request => {
      if (level === child) return requestOf(chosen);
      const requests = combinations(levels[level]!.spatial.map(({ count }) => count)).map((place) =>
        visit(level + 1, [...chosen, place]),
      );
      counts.network[level * tensorCount + tensor]! += requests.reduce((sum, { words }) => sum + words, 0);
      const different = new Map(requests.map((request) => [request.key, request]));
      return {
        key: [...different.keys()].sort().join(' | '),
        words: [...different.values()].reduce((sum, { words }) => sum + words, 0),
      };
    };
    return visit(parent, places).words;
  };

  let lastTimes: readonly number[][] | undefined;
  for (const times of timeSteps(levels)) {
    counts.steps++;
    /** The outermost loop that advanced since the last step, and whether it is the innermost with a choice above a level. */
    const innermostAdvanced = (level: number): boolean =>
      lastTimes !== undefined && onlyInnermostAdvanced(levels, lastTimes, times, level);
    const isFirst = lastTimes === undefined;
    for (let tensor = 0; tensor < tensorCount; tensor++) {
      const chain = [...keepers[tensor]!, levelCount];
      for (let k = 0; k + 1 < chain.length; k++) {
        const [parent, child] = [chain[k]!, chain[k + 1]!];
        const at = parent * tensorCount + tensor;
        for (const places of instancePlaces(levels, parent)) {
          if (tensor !== 2) {
            counts.reads[at]! += gather(tensor, parent, child, places, (chosen) => {
              const tile = touched(tensor, child, origin(child, times, chosen));
              const key = [...tile].sort().join(',');
              if (child === levelCount) return { key, words: tile.size };
              const id = `${tensor} ${child} ${JSON.stringify(chosen)}`;
              const old = heldBy(id);
              const kept = [...tile].filter((word) => old.has(word)).length;
              const isSame = kept === tile.size && old.size === tile.size;
              const keeps =
                isSame ||
                haloReuse === HaloReuse.Consecutive ||
                (haloReuse === HaloReuse.Innermost && innermostAdvanced(child));
              const words = isFirst || !keeps ? tile.size : tile.size - kept;
              held.set(id, tile);
              counts.fills[child * tensorCount + tensor]! += words;
              return { key, words };
            });
            continue;
          }
          // Outputs. A replaced tile goes up; what of the new one was there before comes back down.
          const returning = new Map<string, Request>();
          counts.updates[at]! += gather(tensor, parent, child, places, (chosen) => {
            const tile = touched(tensor, child, origin(child, times, chosen));
            const key = [...tile].sort().join(',');
            const id = `${tensor} ${child} ${JSON.stringify(chosen)}`;
            const seen = everHeld.get(id) ?? new Set<string>();
            const old = held.get(id);
            const isSame = old !== undefined && [...old].sort().join(',') === key;
            if (isSame && child !== levelCount) {
              returning.set(JSON.stringify(chosen), { key, words: 0 });
              return { key, words: 0 };
            }
            const back = [...tile].filter((word) => seen.has(word)).length;
            returning.set(JSON.stringify(chosen), { key, words: back });
            held.set(id, tile);
            everHeld.set(id, new Set([...seen, ...tile]));
            if (child !== levelCount) {
              counts.fills[child * tensorCount + tensor]! += back;
              counts.drains[child * tensorCount + tensor]! += tile.size;
            }
            return { key, words: tile.size };
          });
          counts.reads[at]! += gather(tensor, parent, child, places, (chosen) =>
            returning.get(JSON.stringify(chosen))!,
          );
        }
      }
    }
    lastTimes = times;
  }
  return counts;
}

/** How far one step of each loop goes in its dimension: the product of all loops of that dimension inside it. */
function stepSizes(levels: readonly SimulatedLevel[]): { temporal: number[]; spatial: number[] }[] {
  const flat = levels.flatMap((level, index) => [
    ...level.temporal.map((loop, i) => ({ ...loop, index, i, kind: 'temporal' as const })),
    ...level.spatial.map((loop, i) => ({ ...loop, index, i, kind: 'spatial' as const })),
  ]);
  const steps = levels.map(() => ({ temporal: [] as number[], spatial: [] as number[] }));
  flat.forEach((loop, position) => {
    steps[loop.index]![loop.kind][loop.i] = flat
      .slice(position + 1)
      .filter((inner) => inner.dimension === loop.dimension)
      .reduce((product, { count }) => product * count, 1);
  });
  return steps;
}

function wordOf(tensor: number, point: Point, stride: number): string {
  const { N, G, M, C, P, Q, R, S } = Object.fromEntries(
    Object.entries(dim).map(([name, index]) => [name, point[index]!]),
  ) as Record<keyof typeof dim, number>;
  if (tensor === 0) return [G, M, C, R, S].join();
  if (tensor === 1) return [N, G, C, stride * P + R, stride * Q + S].join();
  return [N, G, M, P, Q].join();
}

/** All index vectors below the counts, last index fastest. */
function combinations(counts: readonly number[]): number[][] {
  return counts.reduce<number[][]>(
    (list, count) => list.flatMap((head) => Array.from({ length: count }, (_, i) => [...head, i])),
    [[]],
  );
}

/** Positions of all temporal loops by level, in order of time. */
function* timeSteps(levels: readonly SimulatedLevel[]): Generator<number[][]> {
  const flat = levels.flatMap((level) => level.temporal.map(({ count }) => count));
  for (const position of combinations(flat)) {
    let next = 0;
    yield levels.map((level) => level.temporal.map(() => position[next++]!));
  }
}

/** The instances of `level`, each by its place under every level above. */
function instancePlaces(levels: readonly SimulatedLevel[], level: number): number[][][] {
  return levels
    .slice(0, level)
    .reduce<number[][][]>(
      (list, { spatial }) =>
        list.flatMap((head) =>
          combinations(spatial.map(({ count }) => count)).map((place) => [...head, place]),
        ),
      [[]],
    );
}

/** Whether, of the loops above `level` with more than one iteration, just the innermost one advanced. */
function onlyInnermostAdvanced(
  levels: readonly SimulatedLevel[],
  before: readonly number[][],
  now: readonly number[][],
  level: number,
): boolean {
  const loops = levels
    .slice(0, level)
    .flatMap((at, index) =>
      at.temporal.flatMap((loop, i) => (loop.count > 1 ? [now[index]![i]! - before[index]![i]!] : [])),
    );
  return loops.length > 0 && loops.at(-1) === 1 && loops.slice(0, -1).every((difference) => difference === 0);
}
