/**
 * @file One element measured: its gates and lookup tables counted, its gates run on random operands.
 */
import { FileError, ToolError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { elementName, latencyOf, sumsOf, type ElementShape, type OperandPair } from './element.js';
import { cellCounts, lanes, readNetlist, runNetlist, type Netlist, type Switching } from './netlist.js';
import { portValues } from './ports.js';
import { gateScript, lutScript, moduleOf, rtlFile, synthesise } from './synthesis.js';
import { uniformOperands } from './vectors.js';

/** What an element takes, and what it switches per pair of operands. */
export interface MeasuredElement extends ElementShape {
  /** Transistors of all cells, flip-flops included. */
  readonly transistors: number;
  readonly flipFlops: number;
  /** Four-input lookup tables, and carry cells beside them. */
  readonly lut4: number;
  readonly carryCells: number;
  readonly switching: Omit<Switching, 'clocks'>;
}

/** Clocks of each of the 32 streams that switching is counted on, and terms of their sums: 3 x 3 x 64. */
export const switchingClocks = 256;
export const switchingTerms = 576;
export const switchingSeed = 1;

/**
 * Synthesises an element, and runs its gates on uniform operands.
 * @param rtl folder of the Verilog, ours when absent
 * @throws ToolError when yosys is missing or fails, or when its gates put out another sum than they should;
 *   FileError for the latter where the Verilog is the user's own
 */
export function measureElement(shape: ElementShape, rtl?: string): MeasuredElement {
  const top = moduleOf(shape);
  const text = synthesise(shape, gateScript, rtl);
  const netlist = readNetlist(text, top);
  const luts = cellCounts(synthesise(shape, lutScript, rtl), top);
  const { settled, unitDelay, clock } = switchingOf(shape, netlist, switchingClocks, rtl);
  return {
    ...shape,
    transistors: netlist.transistors,
    flipFlops: netlist.flipFlopInputs.length,
    lut4: luts.get('SB_LUT4') ?? 0,
    carryCells: luts.get('SB_CARRY') ?? 0,
    switching: { settled: rounded(settled), unitDelay: rounded(unitDelay), clock },
  };
}

/** Four digits are more than 8000 random pairs can tell apart. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

/**
 * What the gates of an element switch on 32 streams of uniform operands; every sum is checked.
 * @param rtl folder of the Verilog that the gates are of, ours when absent; only the message names it
 * @throws ToolError at the first wrong sum, or FileError where the Verilog is the user's own
 */
export function switchingOf(
  shape: ElementShape,
  netlist: Netlist,
  clocks = switchingClocks,
  rtl?: string,
): Switching {
  const streams = Array.from({ length: lanes }, (_, lane): OperandPair[] => {
    const random = Random.stream(switchingSeed, 'switching', elementName(shape), lane);
    // The streams begin their sums at different clocks.
    const start = Math.floor((lane * switchingTerms) / lanes);
    return Array.from({ length: clocks }, (__, i) => ({
      first: i === 0 || (start + i) % switchingTerms === 0,
      ...uniformOperands(shape, random),
    }));
  });
  const expected = streams.map((pairs) => sumsOf(shape, pairs));
  const latency = latencyOf(shape);
  return runNetlist(
    netlist,
    clocks,
    (clock, lane) => portValues(shape, streams[lane]![clock]!),
    'sum',
    (clock, values) => {
      if (clock < latency) return;
      values.forEach((value, lane) => {
        const sum = BigInt.asUintN(shape.sumBits, expected[lane]![clock - latency]!);
        if (value !== sum && rtl !== undefined)
          throw new FileError(
            `${rtlFile(shape, rtl)} does not compute ${elementName(shape)}: its gates put out ${value} instead of ${sum}; ` +
              `look into it with hw area --verify --rtl ${rtl}`,
          );
        if (value !== sum)
          throw new ToolError(
            `the gates that yosys made of ${elementName(shape)} put out ${value} instead of ${sum}; do not use this version of yosys`,
          );
      });
    },
  );
}
