/**
 * @file Mappings: which loops run where, as data and as text.
 *
 * The text form is one part per level, `NAME: LOOPS`, outermost first, with `|` between: loops in time are a dimension
 * and a count (`P8 Q2`), loops over columns and rows end in X and Y (`Q14X C3Y`). Levels without loops may be left
 * out. Example: `DRAM: P8 Q2 M4 | shared_glb: P14 Q4 | columns: Q14X | rows: C3Y S3Y | spads: R3 M8`.
 */
import { OptionError } from '../../base/errors.js';
import type { Machine } from './machine.js';
import { dimensionCount, dimensions, type Dimension } from './problem.js';
import type { Nest } from './traffic.js';

/** One loop: `count` iterations of a dimension. */
export interface Loop {
  readonly dimension: Dimension;
  readonly count: number;
}

/** The loops of one level: in time, outermost first, and under them over the columns (X) and rows (Y) of the fan-out. */
export interface LevelMapping {
  readonly temporal: readonly Loop[];
  readonly spatialX: readonly Loop[];
  readonly spatialY: readonly Loop[];
}

/** Loops for each level of a machine, outermost first. */
export interface Mapping {
  readonly levels: readonly LevelMapping[];
}

/** The mapping as text, levels without loops left out; see the file comment. */
export function mappingText(mapping: Mapping, machine: Machine): string {
  const parts = mapping.levels.flatMap(({ temporal, spatialX, spatialY }, index) => {
    const text = (loops: readonly Loop[], axis: string): string[] =>
      loops.flatMap(({ dimension, count }) => (count === 1 ? [] : [`${dimension}${count}${axis}`]));
    const loops = [...text(temporal, ''), ...text(spatialX, 'X'), ...text(spatialY, 'Y')];
    return loops.length === 0 ? [] : [`${machine.levels[index]!.name}: ${loops.join(' ')}`];
  });
  return parts.length === 0 ? `${machine.levels[0]!.name}: no loops` : parts.join(' | ');
}

/**
 * Reads the text form.
 * @throws OptionError naming the level or loop that is not understood.
 */
export function parseMapping(text: string, machine: Machine): Mapping {
  const names = machine.levels.map(({ name }) => name);
  const levels = names.map(() => ({
    temporal: [] as Loop[],
    spatialX: [] as Loop[],
    spatialY: [] as Loop[],
  }));
  let last = -1;
  for (const part of text.split('|')) {
    const [, name, loops] = /^\s*([^:\s]+)\s*:(.*)$/s.exec(part) ?? [];
    if (name === undefined || loops === undefined)
      throw new OptionError(`mapping part '${part.trim()}' must have the form LEVEL: LOOPS`);
    const index = names.indexOf(name);
    if (index < 0)
      throw new OptionError(
        `mapping names level '${name}'; machine '${machine.name}' has ${names.join(', ')}`,
      );
    if (index <= last)
      throw new OptionError(`mapping level '${name}' is out of order; outermost first: ${names.join(', ')}`);
    last = index;
    for (const word of loops.trim().split(/\s+/)) {
      if (word === '' || loops.trim() === 'no loops') continue;
      const [, letter, count, axis] = /^([A-Z])([0-9]+)([XY]?)$/.exec(word) ?? [];
      const dimension = dimensions.find((known) => known === letter);
      if (dimension === undefined || !(Number(count) >= 1) || Number(count) > 2 ** 31)
        throw new OptionError(
          `mapping loop '${word}' of level '${name}' must be one of ${dimensions.join('')} with a count, and X or Y if it is spatial: P8, Q14X`,
        );
      const level = levels[index]!;
      (axis === 'X' ? level.spatialX : axis === 'Y' ? level.spatialY : level.temporal).push({
        dimension,
        count: Number(count),
      });
    }
  }
  return { levels };
}

/** The mapping as the counting sees it. */
export function nestOf(mapping: Mapping, stride: number): Nest {
  const loops = mapping.levels.flatMap(({ temporal }) => temporal);
  const levelStart = [0];
  const spatial = new Float64Array(mapping.levels.length * dimensionCount).fill(1);
  mapping.levels.forEach((level, index) => {
    levelStart.push(levelStart[index]! + level.temporal.length);
    for (const { dimension, count } of [...level.spatialX, ...level.spatialY])
      spatial[index * dimensionCount + dimensions.indexOf(dimension)]! *= count;
  });
  return {
    loopDimension: Int8Array.from(loops, ({ dimension }) => dimensions.indexOf(dimension)),
    loopCount: Float64Array.from(loops, ({ count }) => count),
    levelStart: Int32Array.from(levelStart),
    spatial,
    stride,
  };
}
