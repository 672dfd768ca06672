/**
 * @file The contract of a kind of block: its fields in `architecture.json`, its expansion to nodes, how it is drawn.
 *
 * To add a kind is to add a file with one {@link BlockRule}, its name to {@link BlockKind}, and a line in `registry.ts`.
 */
import { z } from 'zod';
import type { BlockDescription, BlockKind } from '../architecture.js';
import type { NodeList } from '../nodes.js';

export interface BlockRule<Block extends BlockDescription = BlockDescription> {
  readonly kind: BlockKind;
  /** What a file may say of such a block: {@link blockSchema}. */
  readonly schema: z.ZodObject;
  /** What is wrong with a block whose fields are well formed and fit its input; null when nothing is. */
  problem(block: Block): string | null;
  /** Adds the nodes of the block behind the value `input` and returns the name of its output. Pure. */
  expand(block: Block, nodes: NodeList, input: string): string;
  /** Behind the family in a picture on a terminal, `[conv 32 /2]`: sizes and strides; empty where there is nothing to say. */
  readonly label: (block: Block) => string;
  /** Lines of a drawing below the family's name. */
  readonly lines: (block: Block) => readonly string[];
}

/** A rule of one kind as a rule of any: it is only asked about blocks of its kind, whose fields its schema has seen. */
export function ruleFor<Block extends BlockDescription>(rule: BlockRule<Block>): BlockRule {
  return rule as unknown as BlockRule;
}

const count = z.int().min(1);

/** The schema of a kind: the fields that blocks of every kind have, and `fields` of its own. */
export function blockSchema(kind: BlockKind, fields: z.ZodRawShape = {}): z.ZodObject {
  return z.strictObject({
    name: z.string().regex(/^[\w.-]+$/, 'must consist of letters, digits, dots, dashes and underscores'),
    stage: z.int().min(0),
    kind: z.literal(kind),
    inHeight: count,
    inWidth: count,
    inChannels: count,
    midChannels: count,
    outChannels: count,
    stride: z.int().min(1).max(4),
    family: z.string().min(1).optional(),
    ...fields,
  });
}

/** Sides of kernels that keep the map. */
export const oddKernel = z
  .int()
  .min(1)
  .max(15)
  .refine((kernel) => kernel % 2 === 1, 'must be odd');

/** ` k5` where a block says the side of its kernels. */
export function kernelLabel({ kernel }: { readonly kernel?: number }): string {
  return kernel === undefined ? '' : ` k${kernel}`;
}

/** ` /2` where a block has a stride. */
export function strideLabel({ stride }: Pick<BlockDescription, 'stride'>): string {
  return stride === 1 ? '' : ` /${stride}`;
}

/** `32×32`, or `32×32 → 16×16` with the output map where that is another. */
export function mapLine(
  { inHeight, inWidth }: Pick<BlockDescription, 'inHeight' | 'inWidth'>,
  outHeight: number,
  outWidth: number,
): string {
  const before = `${inHeight}×${inWidth}`;
  return inHeight === outHeight && inWidth === outWidth ? before : `${before} → ${outHeight}×${outWidth}`;
}

/** What is wrong with a block that must have a family and has none. */
export function problemOfFamily({ kind, family }: BlockDescription): string | null {
  const article = /^[aeiou]/.test(kind) ? 'an' : 'a';
  return family === undefined ? `${article} ${kind} block needs a family` : null;
}

/** The family of a block that must have one. */
export function familyOfBlock({ name, family }: BlockDescription): string {
  if (family === undefined) throw new Error(`block ${name} names no operator family`);
  return family;
}
