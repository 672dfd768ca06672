/**
 * @file The mapper: finds a good mapping of a layer on a machine, the same one every time, in a bounded number of tries.
 *
 * 1. Side by side: assignments of dimensions to columns and rows are enumerated with every useful factor and kept
 *    best first by the speed they allow (padding counted); equal sets of dimensions count once.
 * 2. In time: under each, buffers are filled as far as they have room: either level by level from the innermost out,
 *    in a few orders of growth, with loops ordered so that weights, outputs or inputs stay put; or loop by loop, a
 *    whole nest in a few orders laid into the levels.
 * 3. The best of these starts climb: a step changes one factor, trades one for another where a buffer is full, moves a
 *    loop inwards or outwards, or changes columns and rows, and is taken when the objective falls. What tries are left
 *    go to restarts from the best mapping with a few factors shaken by a fixed random stream.
 *
 * Tiles that have no room are refused before anything is counted. When even the smallest tiles have none, no mapping
 * fits, and the error names each buffer and fan-out that refuses and by how much: every demand grows with every factor.
 */
import { Random } from '../../base/random.js';
import type { LayerDescription } from '../layer.js';
import { evaluatePrepared, type MappingCost } from './evaluate.js';
import { NoMappingError, brokenLimits, hasRoom, type BrokenLimit } from './limits.js';
import type { Machine } from './machine.js';
import { nestOf } from './mapping.js';
import { emptyPrice, prepare, priceTraffic, type EvaluationOptions, type Prepared } from './prices.js';
import { dim, dimensionCount } from './problem.js';
import { spatialStarts } from './spatial-starts.js';
import {
  assignCandidate,
  copyCandidate,
  emptyCandidate,
  factorAt,
  largestUseful,
  mappingOf,
  productOf,
  setFactor,
  setOrder,
  settleRest,
  spaceOf,
  spatialRoom,
  Slot,
  usefulFactors,
  type Candidate,
  type Place,
  type Space,
} from './space.js';
import { countTraffic, emptyTraffic, measureTiles, type Nest } from './traffic.js';

/** What a search makes small. */
export enum Objective {
  Energy = 'energy',
  Latency = 'latency',
  /** Energy times running time. */
  EnergyDelay = 'energy-delay',
}

export interface SearchOptions extends EvaluationOptions {
  /** `EnergyDelay` by default. */
  readonly objective?: Objective;
  /** Mappings to try at most; 20,000 by default. */
  readonly tries?: number;
}

/** What a search found and how. */
export interface MappingSearch {
  readonly cost: MappingCost;
  readonly objective: Objective;
  /** Mappings tried, and how many of them a full buffer refused before anything was counted. */
  readonly examined: number;
  readonly refused: number;
  /** Assignments of dimensions to columns and rows that were enumerated, and starts that climbed. */
  readonly spatialChoices: number;
  readonly climbs: number;
}

export const defaultTries = 20_000;
const spatialChoicesKept = 96;
const startsClimbed = 16;
const shaken = 3;
/** Restarts in a row that may find nothing better before a search ends, per try that it was given. */
const patiencePerTry = 0.003;

/** Orders in which buffers are filled, most wanted dimension first. */
const growthOrders: readonly (readonly number[])[] = [
  [dim.S, dim.R, dim.C, dim.M, dim.Q, dim.P, dim.N, dim.G],
  [dim.S, dim.R, dim.M, dim.C, dim.Q, dim.P, dim.N, dim.G],
  [dim.S, dim.R, dim.Q, dim.P, dim.N, dim.M, dim.C, dim.G],
  [dim.S, dim.R, dim.Q, dim.P, dim.N, dim.C, dim.M, dim.G],
  [dim.N, dim.M, dim.Q, dim.P, dim.S, dim.R, dim.C, dim.G],
];

/** Orders in which whole loop nests are laid into the levels, innermost dimension first. */
const nestOrders: readonly (readonly number[])[] = [
  [dim.S, dim.R, dim.C, dim.M, dim.Q, dim.P, dim.N, dim.G],
  [dim.S, dim.R, dim.C, dim.Q, dim.P, dim.N, dim.M, dim.G],
  [dim.M, dim.S, dim.R, dim.C, dim.Q, dim.P, dim.N, dim.G],
  [dim.M, dim.Q, dim.P, dim.N, dim.S, dim.R, dim.C, dim.G],
  [dim.Q, dim.P, dim.N, dim.S, dim.R, dim.C, dim.M, dim.G],
  [dim.Q, dim.P, dim.N, dim.M, dim.S, dim.R, dim.C, dim.G],
  [dim.S, dim.R, dim.C, dim.Q, dim.M, dim.P, dim.N, dim.G],
  [dim.Q, dim.S, dim.R, dim.C, dim.M, dim.P, dim.N, dim.G],
];

/** Loop orders, outermost first, under which weights, outputs, inputs stay put longest. */
const stationaryOrders: readonly (readonly number[])[] = [
  [dim.G, dim.M, dim.C, dim.R, dim.S, dim.N, dim.P, dim.Q],
  [dim.G, dim.N, dim.M, dim.P, dim.Q, dim.C, dim.R, dim.S],
  [dim.G, dim.N, dim.C, dim.P, dim.R, dim.Q, dim.S, dim.M],
];

/**
 * Finds a mapping of a layer on a machine.
 * @throws NoMappingError naming what refuses when nothing fits; LayerError, OptionError as {@link prepare}.
 */
export function searchMapping(
  layer: LayerDescription,
  machine: Machine,
  options: SearchOptions = {},
): MappingSearch {
  const prepared = prepare(layer, machine, options);
  const search = new Search(
    prepared,
    options.objective ?? Objective.EnergyDelay,
    options.tries ?? defaultTries,
  );
  const best = search.run();
  return {
    cost: evaluatePrepared(prepared, mappingOf(search.space, best)),
    objective: search.objective,
    examined: search.examined,
    refused: search.refused,
    spatialChoices: search.spatialChoices,
    climbs: search.climbs,
  };
}

/**
 * The buffers and fan-outs in which not even the smallest tile of a layer has room; empty exactly if a mapping exists.
 * @throws LayerError, OptionError as {@link prepare}.
 */
export function refusedLimits(layer: LayerDescription, machine: Machine): readonly BrokenLimit[] {
  return smallestLimits(prepare(layer, machine));
}

function smallestLimits(prepared: Prepared): readonly BrokenLimit[] {
  const space = spaceOf(prepared.machine, prepared.problem);
  const smallest = mappingOf(space, emptyCandidate(space));
  const traffic = emptyTraffic(prepared.layout.levelCount);
  return brokenLimits(prepared, smallest, nestOf(smallest, prepared.problem.stride), traffic);
}

class Search {
  readonly space: Space;
  examined = 0;
  refused = 0;
  spatialChoices = 0;
  climbs = 0;
  readonly #levelCount: number;
  readonly #traffic;
  readonly #price;
  readonly #loopDimension: Int8Array;
  readonly #loopCount: Float64Array;
  readonly #levelStart: Int32Array;
  readonly #spatial: Float64Array;

  constructor(
    readonly prepared: Prepared,
    readonly objective: Objective,
    readonly tries: number,
  ) {
    this.space = spaceOf(prepared.machine, prepared.problem);
    const levelCount = prepared.layout.levelCount;
    this.#levelCount = levelCount;
    this.#traffic = emptyTraffic(levelCount);
    this.#price = emptyPrice(levelCount);
    this.#loopDimension = new Int8Array(levelCount * dimensionCount);
    this.#loopCount = new Float64Array(levelCount * dimensionCount);
    this.#levelStart = new Int32Array(levelCount + 1);
    this.#spatial = new Float64Array(levelCount * dimensionCount);
  }

  run(): Candidate {
    const broken = smallestLimits(this.prepared);
    if (broken.length > 0)
      throw new NoMappingError(this.prepared.problem.name, this.prepared.machine.name, broken, false);
    const starts = this.#starts().slice(0, startsClimbed);
    let best = starts[0]!;
    for (const start of starts) {
      const climbed = this.#climb(start.candidate, start.score);
      if (climbed.score < best.score) best = climbed;
      if (this.examined >= this.tries) break;
    }
    const random = Random.stream('mapper', this.prepared.problem.bounds.join(), this.prepared.machine.name);
    const patience = Math.max(1, Math.round(this.tries * patiencePerTry));
    let idle = 0;
    while (this.examined < this.tries && idle < patience) {
      const start = copyCandidate(best.candidate);
      if (!this.#shake(start, random)) break;
      const score = this.#score(start);
      const climbed = score < Infinity ? this.#climb(start, score) : { candidate: start, score };
      if (climbed.score < best.score) {
        best = climbed;
        idle = 0;
      } else idle++;
    }
    return best.candidate;
  }

  /** Filled candidates, best first, one per spatial choice. */
  #starts(): Scored[] {
    const choices = spatialStarts(this.space, spatialChoicesKept);
    this.spatialChoices = choices.enumerated;
    const starts = choices.kept.flatMap((choice): Scored[] => {
      let best: Scored | undefined;
      if (!this.#fits(choice) || (this.examined >= this.tries && this.examined > 0)) return [];
      const consider = (filled: Candidate, order: readonly number[]): void => {
        if (this.examined >= this.tries && best !== undefined) return;
        for (let level = 0; level < this.#levelCount; level++) setOrder(this.space, filled, level, order);
        const score = this.#score(filled);
        if (best === undefined || score < best.score) best = { candidate: copyCandidate(filled), score };
      };
      for (const growth of growthOrders) {
        const filled = copyCandidate(choice);
        this.#fill(filled, growth);
        for (const order of stationaryOrders) consider(filled, order);
      }
      for (const sequence of nestOrders) {
        const filled = copyCandidate(choice);
        this.#layIn(filled, sequence);
        consider(filled, sequence.toReversed());
      }
      return best === undefined ? [] : [best];
    });
    return starts.sort((a, b) => a.score - b.score);
  }

  /** Grows every free factor in time as far as there is room, innermost level first. */
  #fill(candidate: Candidate, growth: readonly number[]): void {
    for (let level = this.#levelCount - 1; level >= 1; level--)
      for (const dimension of growth) {
        const place = this.space.timePlaces.find((p) => p.level === level && p.dimension === dimension);
        if (place !== undefined) this.#grow(candidate, place);
      }
  }

  /**
   * Lays one loop nest into the levels, innermost dimension first: each takes what room there is at the level where
   * the one inside it ended, and goes on further out with the rest.
   */
  #layIn(candidate: Candidate, sequence: readonly number[]): void {
    let level = this.#levelCount - 1;
    for (const dimension of sequence)
      for (let at = level; at >= 1; at--) {
        const place = this.space.timePlaces.find((p) => p.level === at && p.dimension === dimension);
        if (place !== undefined && this.#grow(candidate, place)) level = at;
      }
  }

  /** Sets a factor to the largest useful value that has room. */
  #grow(candidate: Candidate, place: Place): boolean {
    const before = factorAt(candidate, place);
    const values = usefulFactors(this.#open(candidate, place));
    let low = 0;
    let high = values.length - 1;
    // Room shrinks as the factor grows, so the largest that fits is found by halving.
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      setFactor(candidate, place, values[middle]!);
      settleRest(this.space, candidate, place.dimension);
      if (this.#fits(candidate)) low = middle;
      else high = middle - 1;
    }
    setFactor(candidate, place, values[low]!);
    settleRest(this.space, candidate, place.dimension);
    return values[low]! > before;
  }

  /** What is left of a dimension for a place: its bound over all factors but this one and the rest. */
  #open(candidate: Candidate, place: Place): number {
    const { dimension } = place;
    const others =
      productOf(this.space, candidate, dimension) /
      (factorAt(candidate, place) * factorAt(candidate, this.space.rest[dimension]!));
    return Math.max(1, Math.ceil(this.space.problem.bounds[dimension]! / others));
  }

  #climb(start: Candidate, startScore: number): Scored {
    this.climbs++;
    const present = copyCandidate(start);
    const trial = copyCandidate(start);
    let score = startScore;
    const take = (): boolean => {
      const tried = this.#score(trial);
      if (tried < score) {
        score = tried;
        assignCandidate(present, trial);
        return true;
      }
      assignCandidate(trial, present);
      return false;
    };
    for (let improved = true; improved && this.examined < this.tries;) {
      improved = false;
      for (const step of this.#steps()) {
        if (this.examined >= this.tries) break;
        if (step(trial)) improved = take() || improved;
        else assignCandidate(trial, present);
      }
    }
    return { candidate: present, score };
  }

  /** All steps of a climb; each changes a candidate and says whether it is worth a try. */
  *#steps(): Generator<(candidate: Candidate) => boolean> {
    const { timePlaces, spatialPlaces } = this.space;
    const places = [...timePlaces, ...spatialPlaces];
    for (const place of places) {
      yield (candidate) => this.#stepFactor(candidate, place, 1);
      yield (candidate) => this.#stepFactor(candidate, place, -1);
      yield (candidate) => this.#setAndSettle(candidate, place, 1);
      yield (candidate) => this.#growTo(candidate, place);
    }
    for (const from of places)
      for (const to of places) {
        if (
          from === to ||
          (from.slot !== to.slot && from.dimension !== to.dimension && from.level !== to.level)
        )
          continue;
        yield (candidate) => this.#stepFactor(candidate, from, -1) && this.#growTo(candidate, to);
        yield (candidate) => this.#setAndSettle(candidate, from, 1) && this.#growTo(candidate, to);
        if (from.dimension !== to.dimension || from.slot !== Slot.Time || to.slot !== Slot.Time) continue;
        // The same loop at another level, outermost or innermost there: neither half of this pays alone.
        for (const inwards of [false, true])
          yield (candidate) =>
            this.#setAndSettle(candidate, from, 1) &&
            this.#growTo(candidate, to) &&
            this.#moveLoop(candidate, to.level, to.dimension, inwards);
      }
    for (let level = 0; level < this.#levelCount; level++)
      for (let d = 0; d < dimensionCount; d++) {
        yield (candidate) => this.#moveLoop(candidate, level, d, true);
        yield (candidate) => this.#moveLoop(candidate, level, d, false);
      }
  }

  #stepFactor(candidate: Candidate, place: Place, direction: 1 | -1): boolean {
    const values = usefulFactors(this.#open(candidate, place));
    const factor = factorAt(candidate, place);
    const next =
      direction === 1 ? values.find((value) => value > factor) : values.findLast((value) => value < factor);
    return next !== undefined && this.#setAndSettle(candidate, place, next);
  }

  #growTo(candidate: Candidate, place: Place): boolean {
    if (this.space.timePlaces.includes(place)) return this.#grow(candidate, place);
    const factor = factorAt(candidate, place);
    const room = spatialRoom(this.space, candidate, place) * factor;
    return this.#setAndSettle(candidate, place, largestUseful(this.#open(candidate, place), room));
  }

  #setAndSettle(candidate: Candidate, place: Place, factor: number): boolean {
    if (factor === factorAt(candidate, place)) return false;
    setFactor(candidate, place, factor);
    settleRest(this.space, candidate, place.dimension);
    return true;
  }

  /** Moves a level's loop of a dimension innermost or outermost. */
  #moveLoop(candidate: Candidate, level: number, d: number, inwards: boolean): boolean {
    const at = level * dimensionCount;
    if (candidate.time[at + d]! === 1 || this.space.innermost[level]!.includes(d)) return false;
    const order = [...candidate.order.subarray(at, at + dimensionCount)];
    const others = order.filter((other) => other !== d);
    setOrder(this.space, candidate, level, inwards ? [...others, d] : [d, ...others]);
    return candidate.order.subarray(at, at + dimensionCount).some((value, i) => value !== order[i]);
  }

  #shake(candidate: Candidate, random: Random): boolean {
    const places = [...this.space.timePlaces, ...this.space.spatialPlaces];
    if (places.length === 0) return false;
    for (let i = 0; i < shaken; i++) {
      const place = places[random.integer(places.length)]!;
      const values = usefulFactors(this.#open(candidate, place));
      this.#setAndSettle(candidate, place, values[random.integer(values.length)]!);
    }
    const level = random.integer(this.#levelCount);
    const order = random.shuffle([
      ...candidate.order.subarray(level * dimensionCount, (level + 1) * dimensionCount),
    ]);
    setOrder(this.space, candidate, level, order);
    // A shaken tile may have no room; give it up bit by bit.
    for (let i = 0; i < 8 && !this.#fits(candidate); i++)
      this.#stepFactor(candidate, places[random.integer(places.length)]!, -1);
    return true;
  }

  /** Whether columns, rows and tiles have room, and nothing is left over where the dataflow admits no rest. */
  #fits(candidate: Candidate): boolean {
    const { roomX, roomY } = this.space;
    for (let level = 0; level < this.#levelCount; level++) {
      let x = 1;
      let y = 1;
      for (let at = level * dimensionCount; at < (level + 1) * dimensionCount; at++) {
        x *= candidate.x[at]!;
        y *= candidate.y[at]!;
      }
      if (x > roomX[level]! || y > roomY[level]!) return false;
    }
    const nest = this.#nest(candidate);
    measureTiles(this.prepared.layout, nest, this.#traffic);
    return hasRoom(this.prepared, this.#traffic);
  }

  #score(candidate: Candidate): number {
    this.examined++;
    if (!this.#fits(candidate)) {
      this.refused++;
      return Infinity;
    }
    countTraffic(this.prepared.layout, this.#nest(candidate), this.#traffic);
    priceTraffic(this.prepared, this.#traffic, this.#price);
    const cycles = this.#price.fill + this.#price.steady + this.#price.drain;
    switch (this.objective) {
      case Objective.Energy:
        // Of equal energies the faster one.
        return this.#price.energyPj * (1 + 1e-12 * cycles);
      case Objective.Latency:
        return cycles * (1 + 1e-12 * this.#price.energyPj);
      case Objective.EnergyDelay:
        return this.#price.energyPj * cycles;
    }
  }

  #nest(candidate: Candidate): Nest {
    let loops = 0;
    for (let level = 0; level < this.#levelCount; level++) {
      this.#levelStart[level] = loops;
      const at = level * dimensionCount;
      for (let i = 0; i < dimensionCount; i++) {
        const d = candidate.order[at + i]!;
        const count = candidate.time[at + d]!;
        this.#spatial[at + i] = candidate.x[at + i]! * candidate.y[at + i]!;
        if (count === 1) continue;
        this.#loopDimension[loops] = d;
        this.#loopCount[loops++] = count;
      }
    }
    this.#levelStart[this.#levelCount] = loops;
    return {
      loopDimension: this.#loopDimension,
      loopCount: this.#loopCount,
      levelStart: this.#levelStart,
      spatial: this.#spatial,
      stride: this.prepared.problem.stride,
    };
  }
}

interface Scored {
  readonly candidate: Candidate;
  readonly score: number;
}
