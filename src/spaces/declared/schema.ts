/**
 * @file What a file says of a space of one's own: a stem, and stages of blocks with what may be chosen in them
 * (`examples/space.yaml`); or a space with a name, and options in the place of its own.
 */
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import { fewestBits, mostBits } from '../../operators/quantised/codes.js';
import { quantisationProblem, quantisedName } from '../../operators/quantised/family.js';
import { familyNamed } from '../../operators/registry.js';
import { attentionFamilies } from '../blocks/attention-bottleneck.js';
import { oddKernel } from '../blocks/contract.js';

/** The kinds of block that a stage can have. */
export enum StageBlock {
  Residual = 'residual',
  Inverted = 'inverted',
  Bottleneck = 'bottleneck',
}

const count = z.int().min(1);

/** In the place of a number of bits: operands as wide as the family has them. */
export const wideOperands = 'float';

const operandBits = z.custom<number | typeof wideOperands>(
  (value) =>
    value === wideOperands ||
    (typeof value === 'number' && Number.isInteger(value) && value >= fewestBits && value <= mostBits),
  `must be a whole number from ${fewestBits} to ${mostBits}, or ${wideOperands}`,
);

/** One value or a list of different ones, in the order of the options. */
function choices<T extends z.ZodType<number | string>>(item: T) {
  return z
    .union([item.transform((value) => [value]), z.array(item).min(1)])
    .refine((values) => new Set(values).size === values.length, 'must not name a value twice')
    .readonly();
}

const stageSchema = z
  .strictObject({
    /** Behind each of its blocks. */
    channels: count,
    /** Number of blocks; several make it a gene. */
    depth: choices(z.int().min(1).max(64)),
    /** Of the first block; 1 in the first stage and 2 in the others when left out. */
    stride: z.union([z.literal(1), z.literal(2)]).optional(),
    block: z.enum(StageBlock).default(StageBlock.Residual),
    families: choices(z.string().min(1)),
    /** Of both operands of the layers of these families; `float` when left out. */
    bits: choices(operandBits).optional(),
    /** Channels inside a block, times those of its stage. */
    widths: choices(z.number().positive().max(8)),
    /** Sides of kernels, of residual and inverted blocks; 3 when left out. */
    kernels: choices(oddKernel).optional(),
    /** Whether blocks that change neither map nor channels may be left out. */
    skip: z.boolean().default(false),
  })
  .refine(({ skip, depth }) => !skip || depth.length === 1, {
    path: ['skip'],
    message: 'true goes with one depth only, for either makes a stage shorter; leave one of them out',
  })
  .refine(({ block, kernels }) => kernels === undefined || block !== StageBlock.Bottleneck, {
    path: ['kernels'],
    message: `go with ${StageBlock.Residual} and ${StageBlock.Inverted} blocks; leave them out`,
  });

export const declaredSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, 'may hold letters, digits, dots, dashes and underscores only'),
  input: z.strictObject({ height: count, width: count, channels: count }),
  classes: z.int().min(2),
  stem: z.strictObject({
    channels: count,
    kernel: oddKernel.default(3),
    stride: z.int().min(1).max(4).default(1),
    pool: z.boolean().default(false),
  }),
  stages: z.array(stageSchema).min(1).readonly(),
});

export type DeclaredInput = z.input<typeof declaredSchema>;
export type DeclaredSettings = Readonly<z.output<typeof declaredSchema>>;
export type StageSettings = DeclaredSettings['stages'][number];

/** The settings with every default filled in. @throws OptionError naming the first key that is wrong, after `where` */
export function checkDeclared(values: unknown, where: string): DeclaredSettings {
  const parsed = declaredSchema.safeParse(values, { reportInput: true });
  if (!parsed.success) throw new OptionError(`${where}: ${describe(parsed.error.issues)}`);
  parsed.data.stages.forEach(({ families, block, bits = [] }, stage) => {
    families.forEach((family, at) => {
      const key = `stages.${stage}.families.${at}`;
      let problem: string | undefined;
      try {
        problem = quantisationProblem(familyNamed(family));
      } catch (error) {
        throw new OptionError(`${where}: '${key}': ${(error as Error).message}`, { cause: error });
      }
      if (problem !== undefined && bits.some((width) => width !== wideOperands))
        throw new OptionError(`${where}: 'stages.${stage}.bits': ${problem}; leave out bits or the family`);
      if (block !== StageBlock.Bottleneck && attentionFamilies.includes(family))
        throw new OptionError(
          `${where}: '${key}': ${family} goes with ${StageBlock.Bottleneck} blocks; change the block or the family`,
        );
    });
  });
  return parsed.data;
}

/** The families of a stage with their operands: each of its families with each of its widths. */
export function familiesOf({
  families,
  bits = [wideOperands],
}: Pick<StageSettings, 'families' | 'bits'>): readonly string[] {
  return families.flatMap((family) =>
    bits.map((width) => (width === wideOperands ? family : quantisedName(family, width))),
  );
}

function describe(issues: readonly z.core.$ZodIssue[]): string {
  // A misspelt key comes first: it is often why another one is missing.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys')
    return `unknown key '${[...path, issue.keys[0]].join('.')}'; examples/space.yaml lists every key`;
  const key = path.join('.') || 'the file';
  if (issue.code === 'invalid_type' && issue.input === undefined) return `'${key}' is missing`;
  if (issue.code === 'invalid_union') {
    const list = issue.errors.at(-1)?.[0];
    const one = issue.errors[0]?.[0];
    const nearer = Array.isArray(issue.input) ? list : one;
    const inside = nearer?.path.map(String) ?? [];
    return `'${[key, ...inside].join('.')}': ${nearer?.message ?? issue.message}`;
  }
  return `'${key}': ${issue.message}`;
}
