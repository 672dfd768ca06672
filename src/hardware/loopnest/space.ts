/**
 * @file The mappings a search may try: which loops a machine's dataflow admits where, and a mapping as flat arrays.
 *
 * Every dimension has one *rest* slot, the outermost one where the dataflow admits it: there stands what the other
 * slots leave of the bound, rounded up. All other factors are free integers, so a factor need not divide its bound;
 * the iterations that overshoot are padding, which takes time and energy like any other.
 */
import type { Machine } from './machine.js';
import type { LevelMapping, Loop, Mapping } from './mapping.js';
import { dimensionCount, dimensions, type Dimension, type Problem } from './problem.js';

/** Where a factor stands: in time, or over the columns or rows of a fan-out. */
export enum Slot {
  Time = 'time',
  X = 'x',
  Y = 'y',
}

/** One place for a factor of a dimension. */
export interface Place {
  readonly slot: Slot;
  readonly level: number;
  readonly dimension: number;
}

/** What a search may vary on a machine for a problem. */
export interface Space {
  readonly machine: Machine;
  readonly problem: Problem;
  readonly levelCount: number;
  /** Free places in time, innermost level first. */
  readonly timePlaces: readonly Place[];
  /** Free places over columns and rows. */
  readonly spatialPlaces: readonly Place[];
  /** The place that takes the rest, by dimension. */
  readonly rest: readonly Place[];
  /** By level: room over columns and over rows. */
  readonly roomX: readonly number[];
  readonly roomY: readonly number[];
  /** By level: dimensions whose loops must be innermost, outermost of them first. */
  readonly innermost: readonly (readonly number[])[];
}

/** A mapping in the making; entries by `level * dimensionCount + dimension`. */
export interface Candidate {
  readonly time: Float64Array;
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** Dimensions of each level's loops, outermost first. */
  readonly order: Int8Array;
}

/** The space that a machine's dataflow opens for a problem. */
export function spaceOf(machine: Machine, problem: Problem): Space {
  const levelCount = machine.levels.length;
  // A dimension that must be whole at a level has no place further out.
  const outermost = dimensions.map((name) =>
    machine.levels.reduce(
      (found, { dataflow }, level) => (dataflow.whole?.includes(name) ? level : found),
      0,
    ),
  );
  const admits = (allowed: readonly Dimension[] | undefined, d: number): boolean =>
    allowed === undefined || allowed.includes(dimensions[d]!);
  const rest = dimensions.map((_, d): Place => {
    for (let level = outermost[d]!; level < levelCount; level++)
      if (admits(machine.levels[level]!.dataflow.temporal, d))
        return { slot: Slot.Time, level, dimension: d };
    // No loop in time may run over it: it must stand side by side.
    for (let level = outermost[d]!; level < levelCount; level++) {
      const { fanout, dataflow } = machine.levels[level]!;
      if (fanout === undefined) continue;
      if (admits(dataflow.spatialY, d) && fanout.y > 1) return { slot: Slot.Y, level, dimension: d };
      if (admits(dataflow.spatialX, d)) return { slot: Slot.X, level, dimension: d };
    }
    return { slot: Slot.Time, level: outermost[d]!, dimension: d };
  });
  const isRest = ({ slot, level, dimension }: Place): boolean =>
    rest[dimension]!.slot === slot && rest[dimension]!.level === level;
  const places = (slot: Slot, level: number, allowed: readonly Dimension[] | undefined): Place[] =>
    dimensions.flatMap((_, dimension) => {
      const place = { slot, level, dimension };
      const isOpen =
        problem.bounds[dimension]! > 1 && admits(allowed, dimension) && level >= outermost[dimension]!;
      return isOpen && !isRest(place) ? [place] : [];
    });
  return {
    machine,
    problem,
    levelCount,
    timePlaces: machine.levels
      .flatMap(({ dataflow }, level) => (level === 0 ? [] : places(Slot.Time, level, dataflow.temporal)))
      .reverse(),
    spatialPlaces: machine.levels.flatMap(({ fanout, dataflow }, level) =>
      fanout === undefined
        ? []
        : [
            ...(fanout.x > 1 ? places(Slot.X, level, dataflow.spatialX) : []),
            ...(fanout.y > 1 ? places(Slot.Y, level, dataflow.spatialY) : []),
          ],
    ),
    rest,
    roomX: machine.levels.map(({ fanout }) => fanout?.x ?? 1),
    roomY: machine.levels.map(({ fanout }) => fanout?.y ?? 1),
    innermost: machine.levels.map(({ dataflow }) =>
      (dataflow.innermost ?? []).map((name) => dimensions.indexOf(name)),
    ),
  };
}

export function factorsOf(candidate: Candidate, slot: Slot): Float64Array {
  return slot === Slot.Time ? candidate.time : slot === Slot.X ? candidate.x : candidate.y;
}

export function factorAt(candidate: Candidate, { slot, level, dimension }: Place): number {
  return factorsOf(candidate, slot)[level * dimensionCount + dimension]!;
}

export function setFactor(candidate: Candidate, { slot, level, dimension }: Place, factor: number): void {
  factorsOf(candidate, slot)[level * dimensionCount + dimension] = factor;
}

/** All factors one, except the rest. */
export function emptyCandidate(space: Space): Candidate {
  const size = space.levelCount * dimensionCount;
  const candidate = {
    time: new Float64Array(size).fill(1),
    x: new Float64Array(size).fill(1),
    y: new Float64Array(size).fill(1),
    order: new Int8Array(size),
  };
  for (let d = 0; d < dimensionCount; d++) settleRest(space, candidate, d);
  for (let level = 0; level < space.levelCount; level++)
    setOrder(
      space,
      candidate,
      level,
      dimensions.map((_, d) => d),
    );
  return candidate;
}

export function copyCandidate({ time, x, y, order }: Candidate): Candidate {
  return { time: time.slice(), x: x.slice(), y: y.slice(), order: order.slice() };
}

export function assignCandidate(target: Candidate, from: Candidate): void {
  target.time.set(from.time);
  target.x.set(from.x);
  target.y.set(from.y);
  target.order.set(from.order);
}

/** Gives the rest slot of a dimension what the other factors leave, and returns it. */
export function settleRest(space: Space, candidate: Candidate, dimension: number): number {
  const place = space.rest[dimension]!;
  setFactor(candidate, place, 1);
  const rest = Math.ceil(space.problem.bounds[dimension]! / productOf(space, candidate, dimension));
  setFactor(candidate, place, rest);
  return rest;
}

/** Product of all factors of a dimension. */
export function productOf(space: Space, { time, x, y }: Candidate, dimension: number): number {
  let product = 1;
  for (let level = 0; level < space.levelCount; level++) {
    const at = level * dimensionCount + dimension;
    product *= time[at]! * x[at]! * y[at]!;
  }
  return product;
}

/** Puts the loops of a level in this order, the dataflow's innermost ones moved inside. */
export function setOrder(space: Space, candidate: Candidate, level: number, order: readonly number[]): void {
  const inside = space.innermost[level]!;
  const all = [...order.filter((d) => !inside.includes(d)), ...inside];
  for (let i = 0; i < dimensionCount; i++) candidate.order[level * dimensionCount + i] = all[i]!;
}

/** Room over an axis of a level that the factors there leave. */
export function spatialRoom(space: Space, candidate: Candidate, { slot, level }: Place): number {
  const factors = factorsOf(candidate, slot);
  let used = 1;
  for (let d = 0; d < dimensionCount; d++) used *= factors[level * dimensionCount + d]!;
  const room = slot === Slot.X ? space.roomX[level]! : space.roomY[level]!;
  return Math.floor(room / used);
}

/**
 * The factors worth trying for a bound: of all that need the same number of repetitions, the smallest. They are
 * ceil(bound / k) for every k, ascending, about 2 sqrt(bound) of them.
 */
export function usefulFactors(bound: number): readonly number[] {
  let known = useful.get(bound);
  if (known === undefined) {
    const found: number[] = [];
    for (let factor = bound; factor >= 1;) {
      const smallest = Math.ceil(bound / Math.ceil(bound / factor));
      found.push(smallest);
      factor = smallest - 1;
    }
    known = found.reverse();
    if (useful.size >= mostRemembered) useful.clear();
    useful.set(bound, known);
  }
  return known;
}

const mostRemembered = 4096;
const useful = new Map<number, readonly number[]>();

/** The largest useful factor of a bound that is at most `room`; 1 when there is none. */
export function largestUseful(bound: number, room: number): number {
  if (room >= bound) return bound;
  return room < 1 ? 1 : Math.ceil(bound / Math.ceil(bound / Math.floor(room)));
}

/** The candidate as a mapping. */
export function mappingOf(space: Space, { time, x, y, order }: Candidate): Mapping {
  return {
    levels: Array.from({ length: space.levelCount }, (_, level): LevelMapping => {
      const loops = (factors: Float64Array, dims: readonly number[]): Loop[] =>
        dims.flatMap((d) => {
          const count = factors[level * dimensionCount + d]!;
          return count > 1 ? [{ dimension: dimensions[d]!, count }] : [];
        });
      const plain = dimensions.map((_, d) => d);
      const inOrder = [...order.subarray(level * dimensionCount, (level + 1) * dimensionCount)];
      return { temporal: loops(time, inOrder), spatialX: loops(x, plain), spatialY: loops(y, plain) };
    }),
  };
}
