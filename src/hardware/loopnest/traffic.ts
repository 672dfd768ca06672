/**
 * @file Accesses of a mapped layer, by the reuse rule. This is the closed form; `simulate.cases.ts` is its oracle.
 *
 * A machine is a list of levels, outermost first; the arithmetic stands below the last one. Every level has temporal
 * loops and, under them, spatial loops over the instances of the next level. An instance of a level holds, of each
 * tensor it keeps, the tile that the loops at and below its level touch, and keeps it until a loop above moves it.
 * Then it fetches the words of the new tile that the old one did not have:
 *
 *     fetched = tile + sum over the loops i above of (times i advances) * (tile - overlap_i),
 *
 * where loop i advances outer_i * (count_i - 1) times, each time moving the tile by its own step and, because all
 * loops inside it start again, back by theirs. A loop that does not move a tensor, with only such loops inside it,
 * has full overlap: that is reuse over time. Instances that hold the same tile are served by one read of their
 * parent: that is reuse over space (multicast). Outputs travel the other way: a tile is sent up when it is replaced
 * (sums of instances with the same tile are added on the way) and comes back when it is needed again; the first
 * partial sum of an output finds nothing to be added to. The arithmetic itself holds nothing from one step to the next.
 */
import { axisOverlap, axisWords, distinctOffsets, tileWords } from './footprint.js';
import {
  dim,
  dimensionCount,
  inputsIndex,
  isRelevant,
  outputsIndex,
  tensorCount,
  weightsIndex,
} from './problem.js';

/** What a level keeps of the tile it held when the tile moves on. */
export enum HaloReuse {
  /** All words that the next tile has too. */
  Consecutive = 'consecutive',
  /** Those words only when the innermost loop above moved the tile (Timeloop's rule); else the tile is fetched anew. */
  Innermost = 'innermost',
  /** Nothing: a tile that moved is fetched anew. */
  None = 'none',
}

/** A machine as the counting sees it. */
export interface Layout {
  readonly levelCount: number;
  /** Levels that keep a tensor, outermost first, by tensor index. */
  readonly keepers: readonly (readonly number[])[];
  readonly haloReuse: HaloReuse;
}

/** A mapping as the counting sees it; arrays may be longer than what is used of them. */
export interface Nest {
  /** Temporal loops with their dimension index and count, outermost first. */
  readonly loopDimension: Int8Array;
  readonly loopCount: Float64Array;
  /** Where each level's loops begin, and one entry more for the end. */
  readonly levelStart: Int32Array;
  /** Instances side by side under each level, `level * dimensionCount + dimension`. */
  readonly spatial: Float64Array;
  readonly stride: number;
}

/** What {@link countTraffic} fills in; entries by `level * tensorCount + tensor`, counts per instance of the level. */
export interface Traffic {
  /** Extent of each level's tile, `level * dimensionCount + dimension`; a last row of ones for the arithmetic. */
  readonly tile: Float64Array;
  /** Instances in use of each level, and of the arithmetic. */
  readonly instances: Float64Array;
  /** Words held. */
  readonly words: Float64Array;
  /** Words read to serve the levels below. */
  readonly reads: Float64Array;
  /** Words written that came from above. */
  readonly fills: Float64Array;
  /** Words written that came from below (outputs). */
  readonly updates: Float64Array;
  /** Words read to be sent up (outputs). */
  readonly drains: Float64Array;
  /** Words, of those in `updates`, that the level receives for the last time (outputs). */
  readonly finals: Float64Array;
  /** Words that arrive at, or leave from, the instances under a level, over all of them. */
  readonly network: Float64Array;
  /** Steps in time: the product of all temporal loops. */
  steps: number;
}

export function emptyTraffic(levelCount: number): Traffic {
  const perTensor = (): Float64Array => new Float64Array(levelCount * tensorCount);
  return {
    tile: new Float64Array((levelCount + 1) * dimensionCount),
    instances: new Float64Array(levelCount + 1),
    words: perTensor(),
    reads: perTensor(),
    fills: perTensor(),
    updates: perTensor(),
    drains: perTensor(),
    finals: perTensor(),
    network: perTensor(),
    steps: 0,
  };
}

const mostLoops = 256;
/** Distance in its dimension that one step of a temporal loop goes. */
const loopStep = new Float64Array(mostLoops);
const extent = new Float64Array(dimensionCount);

/** Tiles and instances: everything that capacity depends on. Call before {@link countTraffic}. */
export function measureTiles(layout: Layout, nest: Nest, traffic: Traffic): void {
  const { levelCount } = layout;
  const { loopDimension, loopCount, levelStart, spatial, stride } = nest;
  if (levelStart[levelCount]! > mostLoops) throw new RangeError(`more than ${mostLoops} loops`);
  extent.fill(1);
  traffic.tile.fill(1, levelCount * dimensionCount);
  for (let level = levelCount - 1; level >= 0; level--) {
    for (let d = 0; d < dimensionCount; d++) extent[d]! *= spatial[level * dimensionCount + d]!;
    for (let loop = levelStart[level + 1]! - 1; loop >= levelStart[level]!; loop--) {
      const d = loopDimension[loop]!;
      loopStep[loop] = extent[d]!;
      extent[d]! *= loopCount[loop]!;
    }
    traffic.tile.set(extent, level * dimensionCount);
  }
  traffic.instances[0] = 1;
  for (let level = 0; level < levelCount; level++) {
    let below = 1;
    for (let d = 0; d < dimensionCount; d++) below *= spatial[level * dimensionCount + d]!;
    traffic.instances[level + 1] = traffic.instances[level]! * below;
  }
  for (let tensor = 0; tensor < tensorCount; tensor++)
    for (const level of layout.keepers[tensor]!)
      traffic.words[level * tensorCount + tensor] = tileWords(
        tensor,
        traffic.tile,
        level * dimensionCount,
        stride,
      );
}

/** Counts all accesses of a mapping. {@link measureTiles} must have run on the same arguments. */
export function countTraffic(layout: Layout, nest: Nest, traffic: Traffic): void {
  const { levelCount, keepers } = layout;
  traffic.reads.fill(0);
  traffic.fills.fill(0);
  traffic.updates.fill(0);
  traffic.drains.fill(0);
  traffic.finals.fill(0);
  traffic.network.fill(0);
  let steps = 1;
  for (let loop = 0; loop < nest.levelStart[levelCount]!; loop++) steps *= nest.loopCount[loop]!;
  traffic.steps = steps;
  for (let tensor = 0; tensor < tensorCount; tensor++) {
    const levels = keepers[tensor]!;
    for (let k = 0; k < levels.length; k++) {
      const parent = levels[k]!;
      const child = k + 1 < levels.length ? levels[k + 1]! : levelCount;
      if (tensor === outputsIndex) countOutputs(nest, traffic, parent, child, levelCount);
      else countOperand(layout, nest, traffic, tensor, parent, child);
    }
  }
}

function countOperand(
  layout: Layout,
  nest: Nest,
  traffic: Traffic,
  tensor: number,
  parent: number,
  child: number,
): void {
  const isArithmetic = child === layout.levelCount;
  const perInstance = isArithmetic
    ? traffic.steps
    : tensor === weightsIndex
      ? residencies(nest, child, tensor) * traffic.words[child * tensorCount + tensor]!
      : fetchedInputs(layout.haloReuse, nest, traffic, child);
  if (!isArithmetic) traffic.fills[child * tensorCount + tensor] = perInstance;
  traffic.reads[parent * tensorCount + tensor] = deliver(nest, traffic, tensor, parent, child, perInstance);
}

function countOutputs(nest: Nest, traffic: Traffic, parent: number, child: number, levelCount: number): void {
  const isArithmetic = child === levelCount;
  const words = isArithmetic ? 1 : traffic.words[child * tensorCount + outputsIndex]!;
  const visits = (isArithmetic ? traffic.steps : residencies(nest, child, outputsIndex)) * words;
  const outputs = differentTiles(nest, child, outputsIndex) * words;
  if (!isArithmetic) {
    traffic.drains[child * tensorCount + outputsIndex] = visits;
    traffic.fills[child * tensorCount + outputsIndex] = visits - outputs;
  }
  const at = parent * tensorCount + outputsIndex;
  traffic.updates[at] = deliver(nest, traffic, outputsIndex, parent, child, visits);
  traffic.reads[at] = deliver(nest, traffic, outputsIndex, parent, child, visits - outputs);
  traffic.finals[at] = traffic.updates[at]! - traffic.reads[at]!;
}

/**
 * Words that one instance of `parent` moves so that each of the `child` instances below it gets (or gives)
 * `perInstance` words: instances with the same tile count once, level by level. Also books the words that pass
 * each level's network.
 */
function deliver(
  nest: Nest,
  traffic: Traffic,
  tensor: number,
  parent: number,
  child: number,
  perInstance: number,
): number {
  let words = perInstance;
  for (let level = child - 1; level >= parent; level--) {
    traffic.network[level * tensorCount + tensor]! += words * traffic.instances[level + 1]!;
    words *= differentTilesBelow(nest, traffic, tensor, level);
  }
  return words;
}

/** How many different tiles of a tensor the instances under one instance of a level hold at any time. */
function differentTilesBelow(nest: Nest, traffic: Traffic, tensor: number, level: number): number {
  const { spatial, stride } = nest;
  const at = level * dimensionCount;
  const below = at + dimensionCount;
  if (tensor !== inputsIndex) {
    let product = 1;
    const relevant = isRelevant[tensor]!;
    for (let d = 0; d < dimensionCount; d++) if (relevant[d]) product *= spatial[at + d]!;
    return product;
  }
  const axis = (output: number, tap: number): number => {
    const m = spatial[at + output]!;
    const n = spatial[at + tap]!;
    if (m === 1 || n === 1) return m * n;
    return distinctOffsets(stride * traffic.tile[below + output]!, m, traffic.tile[below + tap]!, n);
  };
  return (
    spatial[at + dim.N]! *
    spatial[at + dim.G]! *
    spatial[at + dim.C]! *
    axis(dim.P, dim.R) *
    axis(dim.Q, dim.S)
  );
}

/** How often the tile of weights or outputs below `level` is put in place: loops inside the innermost one that moves it do not count. */
function residencies(nest: Nest, level: number, tensor: number): number {
  const { loopDimension, loopCount, levelStart } = nest;
  const relevant = isRelevant[tensor]!;
  let loop = levelStart[level]! - 1;
  while (loop >= 0 && (!relevant[loopDimension[loop]!] || loopCount[loop] === 1)) loop--;
  let product = 1;
  for (; loop >= 0; loop--) product *= loopCount[loop]!;
  return product;
}

/** How many different tiles of weights or outputs an instance of `level` holds in the course of time. */
function differentTiles(nest: Nest, level: number, tensor: number): number {
  const { loopDimension, loopCount, levelStart } = nest;
  const relevant = isRelevant[tensor]!;
  let product = 1;
  for (let loop = 0; loop < levelStart[level]!; loop++)
    if (relevant[loopDimension[loop]!]) product *= loopCount[loop]!;
  return product;
}

/** Input words that one instance of `level` fetches: the sum of the file comment, innermost loop first. */
function fetchedInputs(halo: HaloReuse, nest: Nest, traffic: Traffic, level: number): number {
  const { loopDimension, loopCount, levelStart, stride } = nest;
  const tile = traffic.tile;
  const at = level * dimensionCount;
  const rowOutputs = tile[at + dim.P]!;
  const rowTaps = tile[at + dim.R]!;
  const columnOutputs = tile[at + dim.Q]!;
  const columnTaps = tile[at + dim.S]!;
  const words = traffic.words[level * tensorCount + inputsIndex]!;
  const channels =
    words / (axisWords(rowOutputs, rowTaps, stride) * axisWords(columnOutputs, columnTaps, stride));
  const end = levelStart[level]!;
  let outer = 1;
  for (let loop = 0; loop < end; loop++) outer *= loopCount[loop]!;

  let fetched = words;
  /** How far the loops inside the present one have carried the tile when they start again. */
  let row = 0;
  let column = 0;
  let otherMoved = false;
  let isInnermost = true;
  for (let loop = end - 1; loop >= 0; loop--) {
    const count = loopCount[loop]!;
    if (count === 1) continue;
    outer /= count;
    const d = loopDimension[loop]!;
    const step = loopStep[loop]!;
    const rowStep = d === dim.P ? stride * step : d === dim.R ? step : 0;
    const columnStep = d === dim.Q ? stride * step : d === dim.S ? step : 0;
    const moves: boolean = otherMoved || d === dim.N || d === dim.G || d === dim.C;
    let overlap = 0;
    if (!moves) {
      const rowShift = rowStep - row;
      const columnShift = columnStep - column;
      if (rowShift === 0 && columnShift === 0) overlap = words;
      else if (halo === HaloReuse.Consecutive || (halo === HaloReuse.Innermost && isInnermost))
        overlap =
          channels *
          axisOverlap(rowOutputs, rowTaps, stride, rowShift) *
          axisOverlap(columnOutputs, columnTaps, stride, columnShift);
    }
    fetched += outer * (count - 1) * (words - overlap);
    row += (count - 1) * rowStep;
    column += (count - 1) * columnStep;
    otherMoved = moves;
    isInnermost = false;
  }
  return fetched;
}
