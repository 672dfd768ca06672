/**
 * @file Gate profiles: what processing elements take and switch, counted once and read without yosys.
 */
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { FileError, OptionError } from '../../base/errors.js';
import { readDataFile } from '../data-file.js';
import { arithmeticPrimitives, Primitive, type ArithmeticPrimitive } from '../layer.js';
import {
  elementShape,
  narrowestBits,
  sumHeadroomBits,
  usualExponentBits,
  widestElementBits,
  type ElementShape,
} from './element.js';
import { nand2Transistors } from './netlist.js';

const source = z.string().min(1);
const quantity = <U extends string>(
  unit: U,
): z.ZodObject<{ unit: z.ZodLiteral<U>; source: z.ZodString }, z.core.$strict> =>
  z.strictObject({ unit: z.literal(unit), source });
const count = z.int().nonnegative().max(1e9);
const switched = z.number().nonnegative().max(1e12);

const elementSchema = z
  .strictObject({
    primitive: z.enum(arithmeticPrimitives),
    bits: z.int().min(narrowestBits).max(widestElementBits),
    exponentBits: z.int().min(1).max(4).optional(),
    sumBits: z.int().positive().max(256),
    transistors: count.min(1),
    flipFlops: count,
    lut4: count,
    carryCells: count,
    switching: z.strictObject({ settled: switched, unitDelay: switched, clock: switched }),
  })
  .refine(({ primitive, exponentBits }) => (primitive === Primitive.Shift) === (exponentBits !== undefined), {
    path: ['exponentBits'],
    message: 'must be given exactly for shift elements',
  });

const schemaVersion = 1;

/** The shape of a gate profile. */
export const gateProfileSchema = z
  .strictObject({
    schemaVersion: z.literal(schemaVersion),
    name: z
      .string()
      .max(100)
      .regex(/^[\w.-]+$/, 'must consist of letters, digits, dots, dashes and underscores'),
    description: z.string().min(1),
    /** First line of `yosys -V` of the version that counted. */
    tool: source,
    /** The command that made the file, and what it has yosys do with an element. */
    command: source,
    scripts: z.strictObject({ gates: source, luts: source }),
    /** The accumulators hold every sum of fewer than two to the power of this terms. */
    sumHeadroomBits: z.int().nonnegative(),
    /** Unit and source of the figures of each element. */
    quantities: z.strictObject({
      transistors: quantity('transistors'),
      flipFlops: quantity('flip-flops'),
      lut4: quantity('4-input lookup tables'),
      carryCells: quantity('carry cells'),
      'switching.settled': quantity('transistors switched per operation'),
      'switching.unitDelay': quantity('transistors switched per operation'),
      'switching.clock': quantity('transistors switched per operation'),
    }),
    nand2AreaUm2: z.strictObject({ value: z.number().positive().max(1e6), unit: z.literal('um2'), source }),
    /** Energy of one operation of one element, from which those of all others follow by what they switch. */
    energyAnchor: z.strictObject({
      value: z.number().positive().max(1e9),
      unit: z.literal('pJ'),
      primitive: z.enum(arithmeticPrimitives),
      bits: z.int().positive(),
      source,
    }),
    elements: z.array(elementSchema).min(1),
  })
  .superRefine((profile, context) => {
    const seen = new Set<string>();
    profile.elements.forEach((element, index) => {
      const key = [element.primitive, element.bits, element.exponentBits].join();
      if (seen.has(key))
        context.addIssue({ code: 'custom', path: ['elements', index], message: 'stands twice' });
      seen.add(key);
    });
  });

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** Counts of processing elements, with the tool that made them. Frozen when it comes from a file. */
export type GateProfile = DeepReadonly<z.infer<typeof gateProfileSchema>>;
export type GateElement = GateProfile['elements'][number];

/** The gate profile that comes with the package. */
export const builtInGateProfile = 'yosys-45nm';
let builtIn: GateProfile | undefined;

/**
 * The built-in gate profile, or one that `hw area --measure --out` wrote.
 * @throws OptionError for an unknown name; FileError, naming the key, for a file that is missing or malformed.
 */
export function loadGateProfile(nameOrPath: string = builtInGateProfile): GateProfile {
  if (nameOrPath === builtInGateProfile)
    return (builtIn ??= readDataFile(
      fileURLToPath(new URL(`./profiles/${builtInGateProfile}.json`, import.meta.url)),
      gateProfileSchema,
      'gate profile',
    ));
  if (!/\.(json|ya?ml)$/i.test(nameOrPath))
    throw new OptionError(
      `gate profile '${nameOrPath}' is not known; give ${builtInGateProfile}, or a .json or .yaml file as hw area --measure --out writes it`,
    );
  const profile = readDataFile(nameOrPath, gateProfileSchema, 'gate profile');
  if (profile.sumHeadroomBits !== sumHeadroomBits)
    throw new FileError(
      `${nameOrPath}: gate profile key sumHeadroomBits: is ${profile.sumHeadroomBits}, but this version counts elements with ${sumHeadroomBits}; make the file anew with hw area --measure`,
    );
  return profile;
}

/** The element of exactly this shape; undefined when the profile has none. */
export function elementOf(
  profile: GateProfile,
  { primitive, bits, exponentBits }: Pick<ElementShape, 'primitive' | 'bits' | 'exponentBits'>,
): GateElement | undefined {
  return profile.elements.find(
    (element) =>
      element.primitive === primitive && element.bits === bits && element.exponentBits === exponentBits,
  );
}

/** Stands for an operand width in tables: see {@link usualExponentBits}. */
export function usualElement(
  profile: GateProfile,
  primitive: ArithmeticPrimitive,
  bits: number,
): GateElement | undefined {
  return elementOf(profile, elementShape(primitive, bits, usualExponentBits(bits)));
}

/**
 * The smallest element that takes operands of these widths. The weight of a shift element is a sign and an exponent.
 * @throws OptionError when the profile has none as wide
 */
export function smallestElement(
  profile: GateProfile,
  primitive: ArithmeticPrimitive,
  activationBits: number,
  weightBits: number,
): GateElement {
  const shift = primitive === Primitive.Shift;
  const needed = shift ? activationBits : Math.max(activationBits, weightBits);
  // An exponent wider than any element's belongs to weights that are stored as whole words.
  const neededExponent = shift ? Math.min(weightBits - 1, usualExponentBits(widestElementBits)) : 0;
  const fitting = profile.elements.filter(
    (element) =>
      element.primitive === primitive &&
      element.bits >= needed &&
      (element.exponentBits ?? 0) >= neededExponent,
  );
  if (fitting.length === 0) {
    const weight = shift ? ` and an exponent of ${neededExponent} bits` : '';
    const widths = profile.elements.filter((each) => each.primitive === primitive).map(({ bits }) => bits);
    const widest = widths.length === 0 ? 'it has none' : `its widest has ${Math.max(...widths)} bits`;
    const remedy =
      needed > widestElementBits
        ? `use operands of at most ${widestElementBits} bits`
        : `${widest}; count it with hw area --measure --widths ${needed}`;
    throw new OptionError(
      `gate profile '${profile.name}' has no element that can ${primitive} ${needed} bits${weight}; ${remedy}`,
    );
  }
  return fitting.reduce((best, each) => (each.transistors < best.transistors ? each : best));
}

/** Gate count of an element in NAND2 equivalents: a quarter of its transistors. */
export function nand2Of({ transistors }: Pick<GateElement, 'transistors'>): number {
  return transistors / nand2Transistors;
}

/** Cell area of an element in um2; wires, gaps and the clock tree come on top. */
export function elementAreaUm2(profile: GateProfile, element: Pick<GateElement, 'transistors'>): number {
  return nand2Of(element) * profile.nand2AreaUm2.value;
}

/** What an element switches per operation with its clock: without short pulses, and with all of them. */
export function switchedOf({ switching }: Pick<GateElement, 'switching'>): {
  readonly settled: number;
  readonly unitDelay: number;
} {
  return {
    settled: switching.settled + switching.clock,
    unitDelay: switching.unitDelay + switching.clock,
  };
}

/**
 * Energy of one operation in pJ, in proportion to what the element switches, from the profile's anchor: without short
 * pulses, and with all of them.
 * @throws OptionError when the profile lacks the anchor's element
 */
export function elementEnergyPj(
  profile: GateProfile,
  element: Pick<GateElement, 'switching'>,
): { readonly settledPj: number; readonly unitDelayPj: number } {
  const { primitive, bits, value } = profile.energyAnchor;
  const anchor = elementOf(profile, { primitive, bits });
  if (anchor === undefined)
    throw new OptionError(
      `gate profile '${profile.name}' has no ${primitive} element of ${bits} bits, from which its energies follow; measure that width too`,
    );
  const [mine, theirs] = [switchedOf(element), switchedOf(anchor)];
  return {
    settledPj: (value * mine.settled) / theirs.settled,
    unitDelayPj: (value * mine.unitDelay) / theirs.unitDelay,
  };
}
