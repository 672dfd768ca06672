/**
 * @file `shiftaddnas hw area`: what processing elements that multiply, shift and add take, counted in gates.
 */
import { basename, extname, join, resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { OptionError } from '../../../base/errors.js';
import { checkWritable, writeFileAtomic } from '../../../base/files.js';
import { arrayArea } from '../../../hardware/area/array-area.js';
import {
  elementName,
  elementShapes,
  narrowestBits,
  widestElementBits,
} from '../../../hardware/area/element.js';
import { makeGateProfile, profileWidths } from '../../../hardware/area/make-profile.js';
import { builtInGateProfile, loadGateProfile, type GateProfile } from '../../../hardware/area/profile.js';
import { differences } from '../../../hardware/area/references.js';
import { Tool, toolVersion } from '../../../hardware/area/tools.js';
import { verifyElement, type Verification } from '../../../hardware/area/verify.js';
import { arithmeticPrimitives, Primitive } from '../../../hardware/layer.js';
import { loadProfile } from '../../../hardware/profile.js';
import { count, percent, significant } from '../../format.js';
import { examples, typedCommand, wholeNumber } from '../../options.js';
import { textTable } from '../../tables.js';
import { csvText, elementTable, jsonOf, publishedLines, ratioLines } from './area-tables.js';
import { isSameFile } from './inputs.js';
import { addLayerOptions, gatherLayers, type LayerFlags } from './layers.js';

interface AreaFlags extends LayerFlags {
  readonly profile?: string;
  readonly gates?: string;
  readonly widths?: readonly number[];
  readonly measure?: boolean;
  readonly rtl?: string;
  readonly out?: string;
  readonly verify?: boolean;
  readonly vectors?: number;
  readonly seed?: number;
  readonly csv?: string;
  readonly json?: boolean;
}

const defaultCostProfile = 'fair';
const mismatchExitCode = 1;
const defaultVectors = 10_000;
const mostVectors = 1_000_000;
const defaultSeed = 1;

export function addAreaCommand(hw: Command): void {
  const command = hw
    .command('area')
    .description(
      'Print what processing elements that multiply, shift and add take: gates, lookup tables, energy.',
    )
    .option(
      '--gates <name|file>',
      `gate profile (default ${builtInGateProfile}), or a file that --measure wrote`,
    )
    .option('--widths <bits>', `operand widths, as in 4,8 (default ${profileWidths.join(',')})`, widthList)
    .option('--measure', `count anew with yosys (8 bit always, from which the energies follow)`)
    .option('--out <file.json>', 'with --measure: write the gate profile, for --gates')
    .option(
      '--verify',
      'simulate the Verilog with Icarus Verilog against exact integers; exit code 1 if it differs',
    )
    .option(
      '--rtl <folder>',
      'with --measure or --verify: take pe_multiply.v, pe_shift.v and pe_add.v from here',
    )
    .option(
      '--vectors <number>',
      `with --verify: random operand pairs per element, beside all corners (default ${defaultVectors})`,
      wholeNumber(1),
    )
    .option(
      '--seed <number>',
      `with --verify: seed of the random pairs (default ${defaultSeed})`,
      wholeNumber(0),
    )
    .option('--csv <file.csv>', 'write the elements as a table')
    .option('--json', 'print the elements as one JSON object');
  addLayerOptions(command, false, wholeNumber(1))
    .option(
      '--profile <name|file>',
      `with --layers, --architecture or --onnx: cost profile whose array is divided (default ${defaultCostProfile})`,
    )
    .addHelpText(
      'after',
      `\nElements are integer circuits with their accumulator (Verilog in hardware/rtl of the package), of ${narrowestBits} to ${widestElementBits} bits;
floating point is out of scope. Areas are of cells alone: wires, clock tree and operand registers come on top.
Energies are in proportion to the transistors that switch on uniform random operands, from one published figure:
once without short pulses (settled), once with all that arise when every gate is equally slow (glitches). Wires
and leakage are not in them.
With --layers, --architecture or --onnx the command prints the array that --budget area= of a search limits: as many elements
as the cost profile has, each one that multiplies, shifts or adds, the kinds in proportion to the operations.
${examples(
  'shiftaddnas hw area',
  'shiftaddnas hw area --widths 8 --csv elements.csv',
  'shiftaddnas hw area --verify --vectors 100000 --seed 7',
  'shiftaddnas hw area --measure --widths 6,8 --out my-gates.json',
  'shiftaddnas hw area --gates my-gates.json --json',
  'shiftaddnas hw area --architecture runs/NAME --profile fair-int8',
  'shiftaddnas hw area --onnx model.onnx --input pixels=1x3x224x224 --bits 8',
)}`,
    )
    .action(runArea);
}

/** For `4,8,16`. */
function widthList(text: string): readonly number[] {
  const widths = text.split(',').map((part) => {
    const bits = Number(part.trim());
    if (!/^\s*\d+\s*$/.test(part) || bits < narrowestBits || bits > widestElementBits)
      throw new InvalidArgumentError(
        `Give whole numbers of bits from ${narrowestBits} to ${widestElementBits} with commas between them, as in 4,8 (floating point is not counted).`,
      );
    return bits;
  });
  return [...new Set(widths)].sort((a, b) => a - b);
}

function runArea(flags: AreaFlags): void {
  refuseContradictions(flags);
  if (flags.verify) return runVerify(flags);
  if (isOfLayers(flags)) return runArray(flags);
  const profile = flags.measure ? measured(flags) : loadGateProfile(flags.gates);
  const missing = flags.widths?.find((width) => !profile.elements.some(({ bits }) => bits === width));
  if (missing !== undefined)
    throw new OptionError(
      `gate profile '${profile.name}' has no elements of ${missing} bits; count them with hw area --measure --widths ${missing}`,
    );
  const elements = profile.elements.filter(({ bits }) => flags.widths?.includes(bits) ?? true);
  if (flags.csv !== undefined) writeFileAtomic(flags.csv, csvText(profile, elements));
  if (flags.json) {
    console.log(JSON.stringify(jsonOf(profile, elements)));
    return;
  }
  console.log(
    [
      `${profile.name}, counted by ${profile.tool}; area of cells at ${profile.nand2AreaUm2.value} um2 a NAND2`,
      elementTable(profile, elements),
      ...ratioLines(profile, elements),
      ...publishedLines(profile, elements),
      'energies settled and with glitches each follow from the 8-bit multiplication counted in the same way, so that an element whose gates ' +
        'glitch less than a multiplier has less with glitches than settled',
      ...differences,
      ...[flags.out, flags.csv].filter((path) => path !== undefined).map((path) => `written to ${path}`),
    ].join('\n'),
  );
}

/** Whether layers are given, whose array is wanted. */
function isOfLayers({ layers, architecture, onnx }: AreaFlags): boolean {
  return [layers, architecture, onnx].some((given) => given !== undefined);
}

function refuseContradictions(flags: AreaFlags): void {
  if (flags.measure && flags.verify) throw new OptionError('give --measure or --verify, not both');
  if (flags.gates !== undefined && (flags.measure || flags.verify))
    throw new OptionError(
      `--gates reads counts, and ${flags.measure ? '--measure makes' : '--verify needs no'} counts; leave one out`,
    );
  if (flags.rtl !== undefined && !flags.measure && !flags.verify)
    throw new OptionError('--rtl goes with --measure or --verify');
  if (flags.out !== undefined && !flags.measure)
    throw new OptionError('--out goes with --measure; --csv writes a table');
  for (const key of ['vectors', 'seed'] as const)
    if (flags[key] !== undefined && !flags.verify) throw new OptionError(`--${key} goes with --verify`);
  const ofLayers = isOfLayers(flags);
  for (const key of ['bits', 'profile'] as const)
    if (flags[key] !== undefined && !ofLayers)
      throw new OptionError(`--${key} goes with --layers, --architecture or --onnx`);
  if (flags.input.length > 0 && flags.onnx === undefined)
    throw new OptionError('--input goes with --onnx FILE.onnx');
  for (const key of ['measure', 'verify', 'widths', 'csv'] as const)
    if (flags[key] !== undefined && ofLayers)
      throw new OptionError(`--${key} does not go with --layers, --architecture or --onnx`);
  if (flags.csv !== undefined && flags.verify) throw new OptionError('--csv does not go with --verify');
  if ((flags.vectors ?? 0) > mostVectors)
    throw new OptionError(`--vectors ${flags.vectors}: give at most ${mostVectors}`);
  if (flags.out !== undefined && extname(flags.out) !== '.json')
    throw new OptionError(`--out ${flags.out}: a gate profile is a .json file`);
  refuseOverwriting(flags);
}

/** Counts take minutes; what they came from must be there afterwards, and they must not be lost. */
function refuseOverwriting({ csv, out, gates, rtl }: AreaFlags): void {
  const verilog = rtl === undefined ? [] : arithmeticPrimitives.map((kind) => join(rtl, `pe_${kind}.v`));
  for (const [option, path] of Object.entries({ csv, out }))
    for (const input of [...(gates === undefined ? [] : [gates]), ...verilog])
      if (path !== undefined && isSameFile(path, input))
        throw new OptionError(`--${option} ${path} would overwrite its input ${input}; name another file`);
  if (csv === undefined || out === undefined) return;
  if (resolve(csv) === resolve(out) || isSameFile(csv, out))
    throw new OptionError(`--csv and --out both name ${out}; name two files`);
}

/** The array that a budget limits, for the layers given. */
function runArray(flags: AreaFlags): void {
  const { title, layers, badRows, notes } = gatherLayers(flags, 'hw area', false);
  if (badRows[0] !== undefined) throw new OptionError(badRows[0]);
  for (const note of notes) console.error(`notice: left out: ${note}`);
  if (layers.length === 0) throw new OptionError(`${title}: there are no layers to divide an array among`);
  const gates = loadGateProfile(flags.gates);
  const profile = loadProfile(flags.profile ?? defaultCostProfile);
  const array = arrayArea(layers, profile, gates);
  // What the same layers take of multipliers alone, as in the network that percentages of a budget refer to.
  const multiplying = arrayArea(
    layers.map((layer) => ({
      ...layer,
      primitive: Primitive.Multiply,
      operandBits: { ...layer.operandBits, weight: layer.operandBits.activation },
    })),
    profile,
    gates,
  );
  if (flags.json) {
    const { elements, areaMm2, parts } = array;
    console.log(
      JSON.stringify({
        ...{ profile: profile.name, gates: gates.name, elements, areaMm2, parts },
        multipliersAloneMm2: multiplying.areaMm2,
      }),
    );
    return;
  }
  const operations = array.parts.reduce((sum, part) => sum + part.operations, 0);
  console.log(
    [
      `${title} on the array of ${profile.name}, elements of ${gates.name}:`,
      textTable(
        ['element', 'operations', 'share', 'elements', 'area mm2'],
        array.parts.map((part) => [
          elementName(part.element),
          count(part.operations),
          percent(part.operations / operations, 1),
          String(part.elements),
          significant(part.areaMm2),
        ]),
      ),
      `area ${significant(array.areaMm2)} mm2, ${percent(array.areaMm2 / multiplying.areaMm2, 1)} of ${significant(multiplying.areaMm2)} mm2 with multipliers alone; cells of integer elements, without buffers, operand registers and wires`,
    ].join('\n'),
  );
}

function measured(flags: AreaFlags): GateProfile {
  for (const path of [flags.out, flags.csv]) if (path !== undefined) checkWritable(path);
  const profile = makeGateProfile(flags.widths ?? profileWidths, {
    name: flags.out === undefined ? 'measured' : basename(flags.out, '.json').replace(/[^\w.-]+/g, '-'),
    command: typedCommand(),
    rtl: flags.rtl,
    progress: (shape, done, all) => console.error(`${done + 1} of ${all}: ${elementName(shape)}`),
  });
  if (flags.out !== undefined) writeFileAtomic(flags.out, `${JSON.stringify(profile, undefined, 2)}\n`);
  return profile;
}

function runVerify(flags: AreaFlags): void {
  const seed = flags.seed ?? defaultSeed;
  const vectors = flags.vectors ?? defaultVectors;
  const version = toolVersion(Tool.Iverilog);
  const shapes = elementShapes(flags.widths ?? profileWidths);
  const results = shapes.map((shape) => verifyElement(shape, vectors, seed, flags.rtl));
  const wrong = results.filter(({ pairs, agreed }) => agreed < pairs);
  if (flags.json) console.log(JSON.stringify({ tool: version, seed, vectors, results }));
  else console.log(verificationText(results, `${version}, seed ${seed}`));
  for (const { element, firstMismatch } of wrong)
    console.error(
      `${elementName(element)}: pair ${firstMismatch!.pair} gives ${firstMismatch!.found} instead of ${firstMismatch!.expected}`,
    );
  if (wrong.length > 0) process.exitCode = mismatchExitCode;
}

function verificationText(results: readonly Verification[], title: string): string {
  const sum = (of: (result: Verification) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  return [
    textTable(
      ['element', 'sum bits', 'operand pairs', 'sums agreed'],
      results.map(({ element, pairs, agreed }) => [
        elementName(element),
        String(element.sumBits),
        String(pairs),
        String(agreed),
      ]),
    ),
    `${sum(({ agreed }) => agreed)} of ${sum(({ pairs }) => pairs)} sums agree with exact integers (${title})`,
  ].join('\n');
}
