/**
 * @file A gate profile from scratch: every element synthesised, counted and run.
 */
import { ToolError } from '../../base/errors.js';
import { Primitive } from '../layer.js';
import { unitTable } from '../units.js';
import { elementShapes, sumHeadroomBits, type ElementShape } from './element.js';
import {
  measureElement,
  switchingClocks,
  switchingSeed,
  switchingTerms,
  type MeasuredElement,
} from './measure.js';
import { lanes } from './netlist.js';
import { gateProfileSchema, type GateProfile } from './profile.js';
import { gateScript, lutScript } from './synthesis.js';
import { Tool, toolVersion } from './tools.js';

/** Widths that the built-in profile has. */
export const profileWidths = [4, 8, 16, 32] as const;
/** Width of the element that the energies are anchored to; measured whatever else is. */
const anchorBits = 8;

/** Area of a two-input NAND of 45 nm. */
const nand2AreaUm2 = {
  value: 0.798,
  unit: 'um2',
  source: 'NAND2_X1 of the NanGate FreePDK45 Open Cell Library (45 nm); cell area without wires',
} as const;

/** Version of the yosys that would count. @throws ToolError when there is none */
export function yosysVersion(): string {
  const version = toolVersion(Tool.Yosys);
  if (version === undefined)
    throw new ToolError(
      'yosys is not installed; install it (Debian and Ubuntu: apt-get install yosys), or leave --measure out: the stored counts need no tools',
    );
  return version;
}

/**
 * Counts all elements of these widths, and those of 8 bits, from which the energies follow.
 * @param progress told of every element before it is synthesised, and of how many are done
 * @throws ToolError when yosys is missing or fails
 */
export function makeGateProfile(
  widths: readonly number[],
  options: {
    readonly name: string;
    readonly command: string;
    /** Folder of the Verilog; ours when absent. */
    readonly rtl?: string | undefined;
    readonly progress?: (shape: ElementShape, done: number, all: number) => void;
  },
): GateProfile {
  const version = yosysVersion();
  const shapes = elementShapes([...new Set([...widths, anchorBits])].sort((a, b) => a - b));
  const elements = shapes.map((shape, done): MeasuredElement => {
    options.progress?.(shape, done, shapes.length);
    return measureElement(shape, options.rtl);
  });
  const table = unitTable('horowitz-45nm')!.entries;
  const [product, accumulation] = [table['multiply.int8']!, table['add.int32']!];
  const counted = `${version}: cells after '${gateScript}'`;
  const looked = `${version}: cells after '${lutScript}'`;
  const run =
    `gates run on ${lanes} streams of ${switchingClocks} clocks (seed ${switchingSeed}); x and w uniform over their range, ` +
    `of shift weights sign and exponent uniform and never zero; sums of ${switchingTerms} terms; weighted by the transistors that a net drives`;
  return gateProfileSchema.parse({
    schemaVersion: 1,
    name: options.name,
    description:
      'integer processing elements (operands in, accumulator inside) as static CMOS gates and as 4-input lookup tables; ' +
      'not counted: wires, clock tree, drive strengths, leakage, operand registers',
    tool: version,
    command: options.command,
    scripts: { gates: gateScript, luts: lutScript },
    sumHeadroomBits,
    quantities: {
      transistors: {
        unit: 'transistors',
        source: `${counted}, in transistors as by stat -tech cmos (NAND2 4, D flip-flop 16)`,
      },
      flipFlops: { unit: 'flip-flops', source: counted },
      lut4: { unit: '4-input lookup tables', source: `${looked}: SB_LUT4 (Lattice iCE40)` },
      carryCells: { unit: 'carry cells', source: `${looked}: SB_CARRY (Lattice iCE40)` },
      'switching.settled': {
        unit: 'transistors switched per operation',
        source: `${run}; last values of the clocks alone, without short pulses: a lower bound`,
      },
      'switching.unitDelay': {
        unit: 'transistors switched per operation',
        source: `${run}; every change when all gates are equally slow, short pulses unfiltered: an upper estimate`,
      },
      'switching.clock': {
        unit: 'transistors switched per operation',
        source: 'both edges at the clock pin of every flip-flop, half of its 16 transistors',
      },
    },
    nand2AreaUm2,
    energyAnchor: {
      value: Number((product.value + accumulation.value).toPrecision(6)),
      unit: 'pJ',
      primitive: Primitive.Multiply,
      bits: anchorBits,
      source:
        `INT8 multiplication ${product.value} pJ (${product.source}) and INT32 addition ${accumulation.value} pJ (${accumulation.source}); ` +
        'every other element in proportion to the transistors that it switches per operation, clock included',
    },
    elements,
  });
}
