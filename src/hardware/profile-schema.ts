/**
 * @file The shape of a cost profile: which quantities describe an accelerator, in which units and within which bounds.
 *
 * The machine is the Eyeriss-like row-stationary array (Chen et al., ISCA 2016) whose published model prices
 * ShiftAddNAS (You et al., ICML 2022). Every quantity states its unit and the place it comes from, because an energy
 * figure without its table cannot be argued with.
 */
import { z } from 'zod';

/** How wide the operands of a layer are taken to be. */
export enum OperandWidths {
  /** Every operand is one machine word, whatever the layer says. */
  Word = 'word',
  /** Each operand has the width its layer states. */
  Layer = 'layer',
  /** Each operand has the width the profile gives it for the layer's primitive, or the layer's own where that is less. */
  Primitive = 'primitive',
}

/** What becomes of grouped layers. */
export enum GroupPricing {
  /** Groups are ignored: a depth-wise layer is priced as a dense one; copies of a layer stand in its batch. */
  Dense = 'dense',
  /** A layer of g groups costs g times one group, one of k copies k times one copy. */
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

/** What arithmetic on operands narrower than the machine word costs. */
export enum NarrowArithmetic {
  /** What it costs on words. */
  Whole = 'whole',
  /**
   * What words cost, a multiplication times both widths over those of two words, a shift and a distance times the width of
   * the wider operand that is shifted or subtracted over that of a word. An array multiplier has a cell for each pair of
   * bits (Horowitz's two, 0.2 pJ at 8 bit and 3.1 pJ at 32 bit, are as the square within 3 %), an adder one for each bit
   * (0.03, 0.05 and 0.1 pJ at 8, 16 and 32 bit). Accumulations have the width of the partial sums.
   */
  Scaled = 'scaled',
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
export const widestBits = 64;
export const mostPj = 1e9;
const clockRangeNs = { least: 1e-6, most: 1e9 } as const;

const source = z.string().min(1);
const energy = <U extends string>(
  unit: U,
): z.ZodObject<{ value: z.ZodNumber; unit: z.ZodLiteral<U>; source: z.ZodString }, z.core.$strict> =>
  z.strictObject({ value: z.number().nonnegative().max(mostPj), unit: z.literal(unit), source });
const perOperation = energy('pJ');
const per16Bits = energy('pJ per 16 bit');
const period = z.strictObject({
  value: z.number().min(clockRangeNs.least).max(clockRangeNs.most),
  unit: z.literal('ns'),
  source,
});
const count = <U extends string>(
  unit: U,
  most: number,
): z.ZodObject<{ value: z.ZodInt; unit: z.ZodLiteral<U>; source: z.ZodString }, z.core.$strict> =>
  z.strictObject({ value: z.int().positive().max(most), unit: z.literal(unit), source });
const buffer = count('words', mostBufferWords);
const width = count('bit', widestBits);

const wordSize = z.strictObject({
  computePj: z.strictObject({
    multiply: perOperation,
    shift: perOperation,
    add: perOperation,
    accumulate: perOperation,
    /** A multiplication of two signs and its accumulation together; as any other multiplication when absent. */
    binary: perOperation.optional(),
  }),
  processingElementFactor: count('times', mostWordFactor),
  bufferWordFactor: count('times', mostWordFactor),
});

const freeLevels = z.strictObject({ levels: z.array(z.enum(MemoryLevel)), source });

/** What sets the layers of one primitive apart. */
const primitiveRule = z.strictObject({ operandBits: width.optional(), freeLevels: freeLevels.optional() });

/** What sets the layers of one role apart; goes before their primitive's rule. */
const roleRule = z.strictObject({
  operandBits: width.optional(),
  freeLevels: freeLevels.optional(),
  clockPeriodNs: period.optional(),
});

const operandWidthTable = z.strictObject({ weight: width, activation: width, partialSum: width });

const bufferKeys = [
  'inputRegisterFileWords',
  'weightRegisterFileWords',
  'partialSumRegisterFileWords',
  'globalBufferWords',
] as const;

export const schemaVersion = 2;

/** The shape of a profile file, after `extends` and table entries are filled in. */
export const profileSchema = z
  .strictObject({
    schemaVersion: z.literal(
      schemaVersion,
      `must be ${schemaVersion} (since version 2 every quantity states its unit: value, unit, source)`,
    ),
    name: z
      .string()
      .max(100)
      .regex(/^[\w.-]+$/, 'must consist of letters, digits, dots, dashes and underscores'),
    description: z.string().min(1),
    source,
    /** Width of a machine word; chooses the entry of `wordSizes`. */
    wordBits: z.int().positive().max(widestBits),
    operandWidths: z.enum(OperandWidths),
    /** With `operandWidths: primitive`: the widest that each operand of a layer of that primitive is stored and moved. */
    operandBits: z
      .strictObject({ multiply: operandWidthTable, shift: operandWidthTable, add: operandWidthTable })
      .optional(),
    /** Default `whole`. */
    narrowArithmetic: z.enum(NarrowArithmetic).optional(),
    groups: z.enum(GroupPricing),
    singleRowTiling: z.enum(SingleRowTiling),
    outputTiles: z.enum(OutputTiles),
    processingElements: count('PE', mostProcessingElements),
    processingElementLimit: z.enum(ArrayLimit),
    inputRegisterFileWords: buffer,
    weightRegisterFileWords: buffer,
    partialSumRegisterFileWords: buffer,
    globalBufferWords: buffer,
    clockPeriodNs: z.strictObject({ multiply: period, shift: period, add: period }),
    /** Energy of moving 16 bits once; `nocPartialSum` and `registerFileWeight` differ from their level's other traffic. */
    memoryPjPer16Bits: z.strictObject({
      dram: per16Bits,
      globalBuffer: per16Bits,
      noc: per16Bits,
      nocPartialSum: per16Bits,
      registerFile: per16Bits,
      registerFileWeight: per16Bits,
    }),
    wordSizes: z.record(z.string().regex(/^[1-9][0-9]*$/, 'expected a number of bits as key'), wordSize),
    primitiveRules: z
      .strictObject({
        multiply: primitiveRule.optional(),
        shift: primitiveRule.optional(),
        add: primitiveRule.optional(),
      })
      .optional(),
    roleRules: z
      .strictObject({ lightKernel: roleRule.optional(), lightLinear: roleRule.optional() })
      .optional(),
  })
  .refine((profile) => Object.hasOwn(profile.wordSizes, String(profile.wordBits)), {
    path: ['wordSizes'],
    message: 'has no entry for wordBits',
  })
  .refine(({ operandWidths, operandBits }) => (operandWidths === OperandWidths.Primitive) === !!operandBits, {
    path: ['operandBits'],
    message: `must be given exactly if operandWidths is '${OperandWidths.Primitive}'`,
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
      const grown = bufferKeys.find((key) => profile[key].value * bufferWordFactor.value > mostBufferWords);
      if (grown !== undefined) refuse('bufferWordFactor', grown, mostBufferWords);
    }
  });

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** One accelerator: sizes, clock, unit energies and pricing rules. Frozen when it comes from a file. */
export type AcceleratorProfile = DeepReadonly<z.infer<typeof profileSchema>>;

/** The shape of a profile file for editors (JSON Schema). */
export function profileJsonSchema(): object {
  return z.toJSONSchema(profileSchema, { io: 'input' });
}
