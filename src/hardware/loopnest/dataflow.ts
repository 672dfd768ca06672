/**
 * @file Dataflows for any machine: which operand stays put.
 *
 * A preset replaces what a machine's file says about its loops. The array is the level with the widest fan-out; the
 * levels under it are an element's. What stays put is decided by what stands side by side and by which loops run
 * innermost just above the array (Chen, Emer, Sze: Eyeriss, ISCA 2016, section IV).
 */
import { OptionError } from '../../base/errors.js';
import type { LevelDataflow, Machine } from './machine.js';
import type { Dimension } from './problem.js';

/** What an element keeps. */
export enum Stationary {
  /** Weights: channels side by side, outputs stream by. */
  Weight = 'weight',
  /** Partial sums: outputs side by side, products of one output run innermost. */
  Output = 'output',
  /** A kernel row: rows side by side, an element slides along the input. */
  Row = 'row',
  /** Whatever the search finds. */
  Free = 'free',
}

interface Preset {
  readonly spatialX: readonly Dimension[];
  readonly spatialY: readonly Dimension[];
  readonly wholeAtArray: readonly Dimension[];
  /** Innermost loops of the level above the array. */
  readonly innermostAbove: readonly Dimension[];
  /** Loops that an element may run by itself. */
  readonly inElement: readonly Dimension[];
  readonly wholeInElement: readonly Dimension[];
}

const presets: Readonly<Record<Exclude<Stationary, Stationary.Free>, Preset>> = {
  [Stationary.Weight]: {
    spatialX: ['M', 'G'],
    spatialY: ['C', 'R', 'S'],
    wholeAtArray: [],
    innermostAbove: ['N', 'P', 'Q'],
    inElement: ['M', 'C', 'R', 'S'],
    wholeInElement: [],
  },
  [Stationary.Output]: {
    spatialX: ['Q', 'P', 'M'],
    spatialY: ['P', 'M', 'N', 'G'],
    wholeAtArray: [],
    innermostAbove: ['C', 'R', 'S'],
    inElement: ['M', 'N', 'P', 'Q'],
    wholeInElement: [],
  },
  [Stationary.Row]: {
    spatialX: ['P', 'M', 'N', 'G'],
    spatialY: ['R', 'C', 'M', 'G'],
    wholeAtArray: ['R'],
    innermostAbove: ['Q'],
    inElement: ['M', 'C', 'S'],
    wholeInElement: ['S'],
  },
};

/**
 * The machine with another dataflow; its name says so.
 * @throws OptionError when the machine has no array.
 */
export function withDataflow(machine: Machine, stationary: Stationary): Machine {
  const name = `${machine.name} (${stationary} stationary)`;
  if (stationary === Stationary.Free)
    return {
      ...machine,
      name: `${machine.name} (free)`,
      levels: machine.levels.map((level) => ({ ...level, dataflow: {} })),
    };
  const widths = machine.levels.map(({ fanout }) => (fanout?.x ?? 1) * (fanout?.y ?? 1));
  const array = widths.indexOf(Math.max(...widths));
  if (widths[array] === 1)
    throw new OptionError(
      `machine '${machine.name}' has no fan-out, hence no ${stationary}-stationary dataflow`,
    );
  const preset = presets[stationary];
  // The array's own level holds no loops in time unless it is a buffer itself.
  const above = machine.levels[array]!.storage === undefined ? array - 1 : array;
  return {
    ...machine,
    name,
    levels: machine.levels.map((level, index) => {
      const isArray = index === array;
      const dataflow: LevelDataflow = {
        ...(isArray
          ? { spatialX: preset.spatialX, spatialY: preset.spatialY, whole: preset.wholeAtArray }
          : {}),
        ...(isArray && level.storage === undefined ? { temporal: [] } : {}),
        ...(index === above ? { innermost: preset.innermostAbove } : {}),
        ...(index > array
          ? { temporal: preset.inElement, ...(index === array + 1 ? { whole: preset.wholeInElement } : {}) }
          : {}),
      };
      return { ...level, dataflow };
    }),
  };
}
