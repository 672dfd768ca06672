/**
 * @file Accelerator profiles: what one machine offers and what each of its operations costs, as data with sources.
 *
 * The machine is the Eyeriss-like row-stationary array (Chen et al., ISCA 2016) whose published model prices
 * ShiftAddNAS (You et al., ICML 2022). A profile is a JSON or YAML file; every quantity carries the place it comes
 * from, because an energy figure without its table cannot be argued with. Built in are `paper-cv-168` and
 * `paper-cv-192` (the published model to the digit, oddities included) and `fair`, the same array charged evenly.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { FileError, OptionError, isSystemError, messageOf } from '../base/errors.js';

/** How wide the operands of a layer are taken to be. */
export enum OperandWidths {
  /** Every operand is one machine word, whatever the layer says. */
  Word = 'word',
  /** Each operand has the width its layer states. */
  Layer = 'layer',
}

/** What becomes of grouped layers. */
export enum GroupPricing {
  /** Groups are ignored: a depth-wise layer is priced as a dense one. */
  Dense = 'dense',
  /** A layer of g groups costs g times one group. */
  Honoured = 'honoured',
}

/** Whether exactly all processing elements may be filled. */
export enum ArrayLimit {
  Below = 'below',
  AtMost = 'atMost',
}

/** Whether a convolution may be tiled with a single output row on the array. */
export enum SingleRowTiling {
  /** Never, as published; a convolution with one output row then has no tiling. */
  Refused = 'refused',
  /** Only if no tiling with more rows exists. */
  Fallback = 'fallback',
}

/** Which factorisations of the output channels a search looks at. */
export enum OutputTiles {
  /** All that fit the partial-sum register file. */
  All = 'all',
  /**
   * As published: a first pass strikes those with M0 above the unscaled register file from the list while walking it,
   * and so skips the one behind each it strikes. Without effect at 32 bit; at 8 bit some wide tiles are never tried.
   */
  Thinned = 'thinned',
}

/** The levels of the memory hierarchy, outermost first. */
export enum MemoryLevel {
  Dram = 'dram',
  GlobalBuffer = 'globalBuffer',
  Noc = 'noc',
}

/** Bounds far beyond any machine, so that no profile can exhaust the memory of ours (the search has a place per tile). */
const mostProcessingElements = 1_000_000;
const mostBufferWords = 2 ** 40;
const mostWordFactor = 1024;
const widestBits = 64;
const mostPj = 1e9;
const clockRangeNs = { least: 1e-6, most: 1e9 } as const;

const source = z.string().min(1);
const quantity = z.strictObject({ value: z.number().nonnegative().max(mostPj), source });
const period = z.strictObject({ value: z.number().min(clockRangeNs.least).max(clockRangeNs.most), source });
const count = (most: number): z.ZodObject<{ value: z.ZodInt; source: z.ZodString }, z.core.$strict> =>
  z.strictObject({ value: z.int().positive().max(most), source });

const wordSize = z.strictObject({
  computePj: z.strictObject({ multiply: quantity, shift: quantity, add: quantity, accumulate: quantity }),
  processingElementFactor: count(mostWordFactor),
  bufferWordFactor: count(mostWordFactor),
});

const primitiveRule = z.strictObject({
  operandBits: count(widestBits).optional(),
  freeLevels: z.strictObject({ levels: z.array(z.enum(MemoryLevel)), source }).optional(),
});

const bufferKeys = [
  'inputRegisterFileWords',
  'weightRegisterFileWords',
  'partialSumRegisterFileWords',
  'globalBufferWords',
] as const;

/** The shape of a profile file. */
export const profileSchema = z
  .strictObject({
    schemaVersion: z.literal(1),
    name: z
      .string()
      .max(100)
      .regex(/^[\w.-]+$/, 'must consist of letters, digits, dots, dashes and underscores'),
    description: z.string().min(1),
    source,
    /** Width of a machine word; chooses the entry of `wordSizes`. */
    wordBits: z.int().positive().max(widestBits),
    operandWidths: z.enum(OperandWidths),
    groups: z.enum(GroupPricing),
    singleRowTiling: z.enum(SingleRowTiling),
    outputTiles: z.enum(OutputTiles),
    processingElements: count(mostProcessingElements),
    processingElementLimit: z.enum(ArrayLimit),
    inputRegisterFileWords: count(mostBufferWords),
    weightRegisterFileWords: count(mostBufferWords),
    partialSumRegisterFileWords: count(mostBufferWords),
    globalBufferWords: count(mostBufferWords),
    clockPeriodNs: z.strictObject({ multiply: period, shift: period, add: period }),
    /** Energy of moving 16 bits once; `nocPartialSum` and `registerFileWeight` differ from their level's other traffic. */
    memoryPjPer16Bits: z.strictObject({
      dram: quantity,
      globalBuffer: quantity,
      noc: quantity,
      nocPartialSum: quantity,
      registerFile: quantity,
      registerFileWeight: quantity,
    }),
    wordSizes: z.record(z.string().regex(/^[1-9][0-9]*$/, 'expected a number of bits as key'), wordSize),
    primitiveRules: z
      .strictObject({
        multiply: primitiveRule.optional(),
        shift: primitiveRule.optional(),
        add: primitiveRule.optional(),
      })
      .optional(),
  })
  .refine((profile) => Object.hasOwn(profile.wordSizes, String(profile.wordBits)), {
    path: ['wordSizes'],
    message: 'has no entry for wordBits',
  })
  .superRefine((profile, context) => {
    for (const [bits, { processingElementFactor, bufferWordFactor }] of Object.entries(profile.wordSizes)) {
      const refuse = (factor: string, scaled: string, most: number): void =>
        context.addIssue({
          code: 'custom',
          path: ['wordSizes', bits, factor, 'value'],
          message: `times ${scaled} must be at most ${most}`,
        });
      if (profile.processingElements.value * processingElementFactor.value > mostProcessingElements)
        refuse('processingElementFactor', 'processingElements', mostProcessingElements);
      const grown = bufferKeys.find(
        (buffer) => profile[buffer].value * bufferWordFactor.value > mostBufferWords,
      );
      if (grown !== undefined) refuse('bufferWordFactor', grown, mostBufferWords);
    }
  });

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** One accelerator: sizes, clock, unit energies and pricing rules. Frozen when it comes from {@link loadProfile}. */
export type AcceleratorProfile = DeepReadonly<z.infer<typeof profileSchema>>;

/** The profiles that come with the package, the default one first. */
export const builtInProfileNames = ['fair', 'paper-cv-168', 'paper-cv-192'] as const;
export type BuiltInProfileName = (typeof builtInProfileNames)[number];

const builtIns = new Map<BuiltInProfileName, AcceleratorProfile>();

/**
 * A built-in profile by name, or a user's own from a path that ends in `.json`, `.yaml` or `.yml`.
 * @throws OptionError for an unknown name; FileError, naming the key, for a file that is missing or malformed.
 */
export function loadProfile(nameOrPath: string): AcceleratorProfile {
  const name = builtInProfileNames.find((known) => known === nameOrPath);
  if (name) {
    const known = builtIns.get(name);
    if (known) return known;
    const path = fileURLToPath(new URL(`./profiles/${name}.json`, import.meta.url));
    const profile = readProfile(readText(path), path);
    builtIns.set(name, profile);
    return profile;
  }
  if (!/\.(json|ya?ml)$/i.test(nameOrPath))
    throw new OptionError(
      `unknown cost profile '${nameOrPath}'; choose ${builtInProfileNames.join(', ')} or give the path of a .json or .yaml file`,
    );
  return parseProfile(readText(nameOrPath), nameOrPath);
}

/**
 * Parses the text of a user's profile file; `path` chooses JSON or YAML by its ending and stands in messages.
 * @throws FileError naming the first key that is wrong, or the built-in profile whose name the file bears.
 */
export function parseProfile(text: string, path: string): AcceleratorProfile {
  const profile = readProfile(text, path);
  // Figures bear the name of their profile; under a built-in one's they would pass as comparable with it.
  const namesake = builtInProfileNames.find((known) => known === profile.name.toLowerCase());
  if (namesake !== undefined)
    throw new FileError(
      `${path}: cost profile key name: '${namesake}' is a built-in profile; give yours another name`,
    );
  return profile;
}

function readProfile(text: string, path: string): AcceleratorProfile {
  let content: unknown;
  try {
    content = /\.json$/i.test(path) ? JSON.parse(text) : parseYaml(text);
  } catch (error) {
    const firstLine = messageOf(error).split('\n')[0];
    throw new FileError(`${path}: not readable as a cost profile (${firstLine})`, { cause: error });
  }
  const result = profileSchema.safeParse(content);
  if (result.success) return deepFreeze(result.data);
  const [issue, ...others] = result.error.issues;
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  throw new FileError(`${path}: ${issueText(issue!)}${more}`);
}

function issueText(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => [...issue.path, key].join('.'));
    return `cost profile key${keys.length > 1 ? 's' : ''} ${keys.join(', ')}: not known here; remove or correct`;
  }
  if (issue.path.length === 0) return `the file as a whole is no cost profile: ${issue.message}`;
  // A key that breaks the rule for keys has that rule's message one level down.
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return `cost profile key ${issue.path.join('.')}: ${message}`;
}

/**
 * The same machine with another word width, for profiles whose `wordSizes` has an entry for it (the paper's: 32, 8).
 * @throws OptionError when the profile has no such entry.
 */
export function withWordBits(profile: AcceleratorProfile, wordBits: number): AcceleratorProfile {
  if (wordBits === profile.wordBits) return profile;
  if (!Object.hasOwn(profile.wordSizes, String(wordBits)))
    throw new OptionError(
      `cost profile '${profile.name}' has no ${wordBits}-bit words; it knows ${Object.keys(profile.wordSizes).join(', ')}`,
    );
  return deepFreeze({ ...profile, name: `${profile.name} at ${wordBits} bit`, wordBits });
}

const notPriced =
  'batch norm, residual additions and pooling are free under every profile; ' +
  'this favours add and shift a little, whose batch norms cannot be folded into their weights';

/** A few lines for help texts and reports: the array, the clock, the unit energies, the pricing rules and what has no price. */
export function profileSummary(profile: AcceleratorProfile): string {
  const word = profile.wordSizes[String(profile.wordBits)]!;
  const { computePj } = word;
  const memory = profile.memoryPjPer16Bits;
  const scaled = (words: { readonly value: number }): number => words.value * word.bufferWordFactor.value;
  const limit = profile.processingElementLimit === ArrayLimit.Below ? 'fewer than' : 'at most';
  const clocks = profile.clockPeriodNs;
  const rules = (['multiply', 'shift', 'add'] as const).flatMap((primitive) => {
    const rule = profile.primitiveRules?.[primitive];
    const free = rule?.freeLevels?.levels ?? [];
    return [
      ...(rule?.operandBits ? [`${primitive} at ${rule.operandBits.value}-bit operands`] : []),
      ...(free.length > 0 ? [`${primitive} without ${free.join(', ')} energy`] : []),
    ];
  });
  const widths =
    profile.operandWidths === OperandWidths.Word
      ? `every operand ${profile.wordBits} bit`
      : 'every operand at its own width';
  return [
    `${profile.name}: ${profile.description}`,
    `  array: ${limit} ${profile.processingElements.value * word.processingElementFactor.value} processing elements, ` +
      `global buffer below ${scaled(profile.globalBufferWords)} words, register files below ` +
      `${scaled(profile.inputRegisterFileWords)} input / below ${scaled(profile.weightRegisterFileWords)} weight / ` +
      `at most ${scaled(profile.partialSumRegisterFileWords)} partial-sum words`,
    `  clock: multiply ${clocks.multiply.value} ns, shift ${clocks.shift.value} ns, add ${clocks.add.value} ns`,
    `  compute: multiply ${computePj.multiply.value} pJ, shift ${computePj.shift.value} pJ, add ${computePj.add.value} pJ, ` +
      `accumulate ${computePj.accumulate.value} pJ`,
    `  memory per 16 bit: DRAM ${memory.dram.value} pJ, global buffer ${memory.globalBuffer.value} pJ, ` +
      `network ${memory.noc.value} pJ (partial sums ${memory.nocPartialSum.value}), ` +
      `register file ${memory.registerFile.value} pJ (weights ${memory.registerFileWeight.value})`,
    `  rules: ${[widths, `groups ${profile.groups}`, ...rules].join('; ')}`,
    `  not priced: ${notPriced}`,
    `  source: ${profile.source}`,
  ].join('\n');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such cost profile file`);
    if (isSystemError(error, 'EISDIR'))
      throw new FileError(`${path}: a folder; give the .json or .yaml file of a cost profile`);
    throw new FileError(`${path}: cost profile not readable (${messageOf(error)})`, { cause: error });
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
