/**
 * @file Where a mapping does not fit its machine: which buffer, which fan-out, which dimension, and by how much.
 */
import { UserError } from '../../base/errors.js';
import type { Machine } from './machine.js';
import type { Mapping } from './mapping.js';
import type { Prepared } from './prices.js';
import { dimensions, tensorCount, tensors } from './problem.js';
import { measureTiles, type Nest, type Traffic } from './traffic.js';

/** One limit that a mapping breaks. */
export interface BrokenLimit {
  /** What refuses, in words: `buffer 'shared_glb'`, `fan-out x of 'columns'`, `dimension M`. */
  readonly resource: string;
  readonly needed: number;
  readonly available: number;
  /** What makes up the need, or what is missing. */
  readonly detail: string;
}

/** No mapping fits, or the given one does not. */
export class NoMappingError extends UserError {
  override readonly name = 'NoMappingError';
  constructor(
    readonly layerName: string,
    readonly machineName: string,
    readonly broken: readonly BrokenLimit[],
    isGiven: boolean,
  ) {
    const subject = isGiven ? `the mapping of layer '${layerName}'` : `layer '${layerName}'`;
    super(
      'NO_MAPPING',
      `${subject} does not fit machine '${machineName}': ${broken.map(limitText).join('; ')}` +
        (isGiven ? '' : '. Even the smallest tile is too large; use a larger machine or a freer dataflow'),
    );
  }
}

export function limitText({ resource, needed, available, detail }: BrokenLimit): string {
  const excess = needed - available;
  const by = excess > 0 ? `${round(excess)} too many` : `${round(-excess)} too few`;
  return `${resource}: needs ${round(needed)}, has ${round(available)}, ${by} (${detail})`;
}

/** Every limit that a mapping breaks; empty when it fits. Leaves the tiles in `traffic`. */
export function brokenLimits(
  prepared: Prepared,
  mapping: Mapping,
  nest: Nest,
  traffic: Traffic,
): BrokenLimit[] {
  const { machine, problem } = prepared;
  measureTiles(prepared.layout, nest, traffic);
  const broken = [...brokenFanouts(machine, mapping)];
  dimensions.forEach((name, d) => {
    const covered = traffic.tile[d]!;
    if (covered < problem.bounds[d]!)
      broken.push({
        resource: `dimension ${name}`,
        needed: covered,
        available: problem.bounds[d]!,
        detail: `its loops make ${covered} of the layer's ${problem.bounds[d]!}`,
      });
  });
  machine.levels.forEach(({ name, storage }, level) => {
    if (storage?.capacity === undefined) return;
    const needed = roomNeeded(prepared, traffic, level);
    if (needed <= storage.capacity.words) return;
    const parts = tensors.flatMap((tensor, index) => {
      const at = level * tensorCount + index;
      const room = tensorRoom(prepared, traffic, level, at);
      return storage.keeps.includes(tensor) ? [`${tensor} ${round(room)}`] : [];
    });
    broken.push({
      resource: `buffer '${name}'`,
      needed,
      available: storage.capacity.words,
      detail: `words of ${storage.wordBits} bit: ${parts.join(', ')}`,
    });
  });
  return broken;
}

/** Words of storage that the tiles of a level take. */
export function roomNeeded(prepared: Prepared, traffic: Traffic, level: number): number {
  let needed = 0;
  for (let tensor = 0; tensor < tensorCount; tensor++) {
    const at = level * tensorCount + tensor;
    needed += tensorRoom(prepared, traffic, level, at);
  }
  return needed;
}

function tensorRoom({ room, bankWords }: Prepared, traffic: Traffic, level: number, at: number): number {
  const words = traffic.words[at]! * room[at]!;
  const bank = bankWords[level]!;
  return bank === 0 ? words : Math.ceil(words / bank) * bank;
}

/** Whether all tiles have room; the quick form of {@link brokenLimits} for a search that keeps to fan-outs itself. */
export function hasRoom(prepared: Prepared, traffic: Traffic): boolean {
  const { capacity, layout } = prepared;
  for (let level = 0; level < layout.levelCount; level++)
    if (capacity[level]! < Infinity && roomNeeded(prepared, traffic, level) > capacity[level]!) return false;
  return true;
}

function brokenFanouts(machine: Machine, mapping: Mapping): BrokenLimit[] {
  return mapping.levels.flatMap((level, index) => {
    const { name, fanout } = machine.levels[index]!;
    return (['x', 'y'] as const).flatMap((axis) => {
      const loops = axis === 'x' ? level.spatialX : level.spatialY;
      const needed = loops.reduce((product, { count }) => product * count, 1);
      const available = fanout?.[axis] ?? 1;
      if (needed <= available) return [];
      const text = loops.map(({ dimension, count }) => `${dimension}${count}`).join(' ');
      return [
        { resource: `fan-out ${axis} of '${name}'`, needed, available, detail: `spatial loops ${text}` },
      ];
    });
  });
}

function round(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}
