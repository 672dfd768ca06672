/**
 * @file Reading `architecture.json`: the schema, and every consistency rule a builder of tensors relies on.
 */
import { z } from 'zod';
import { FileError } from '../base/errors.js';
import { type Architecture, type BlockDescription, BlockKind } from './architecture.js';
import { classifierName, stemName } from './layers.js';

const count = z.int().min(1);
const stride = z.int().min(1).max(4);

const blockSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, 'must consist of letters, digits, dots, dashes and underscores'),
  stage: z.int().min(0),
  kind: z.enum(BlockKind),
  family: z.string().min(1).optional(),
  inHeight: count,
  inWidth: count,
  inChannels: count,
  midChannels: count,
  outChannels: count,
  stride,
});

const architectureSchema = z.strictObject({
  format: z.literal('shiftaddnas-architecture'),
  version: z.literal(1),
  space: z.string(),
  genome: z.array(z.int().min(0)).nullable(),
  input: z.strictObject({ height: count, width: count, channels: count }),
  classes: z.int().min(2),
  stem: z.strictObject({ channels: count, stride }),
  blocks: z.array(blockSchema).min(1),
});

/**
 * Checks parsed JSON and returns it as an architecture. `where` (usually the path) begins the message.
 * Whether the families are registered is for the caller to check.
 * @throws FileError when a field is missing or wrong, when maps or channels do not chain, or when a skip is illegal.
 */
export function parseArchitecture(json: unknown, where: string): Architecture {
  const parsed = architectureSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const field = issue.path.join('.');
    throw new FileError(
      field === '' || field === 'format'
        ? `${where}: not an architecture file of shiftaddnas (${field || 'root'}: ${issue.message})`
        : `${where}: ${field}: ${issue.message}; write the file anew with this version or mend the field`,
    );
  }
  const { blocks, ...rest } = parsed.data;
  const architecture: Architecture = {
    ...rest,
    blocks: blocks.map(({ family, ...block }): BlockDescription =>
      family === undefined ? block : { ...block, family },
    ),
  };
  const problem = firstInconsistency(architecture);
  if (problem !== null)
    throw new FileError(`${where}: ${problem}; the file was changed by hand or is damaged`);
  return architecture;
}

function firstInconsistency({ input, stem, blocks }: Architecture): string | null {
  const names = new Set([stemName, classifierName]);
  let height = Math.ceil(input.height / stem.stride);
  let width = Math.ceil(input.width / stem.stride);
  let channels = stem.channels;
  let previous: BlockDescription | null = null;
  for (const block of blocks) {
    const at = `block ${block.name}`;
    if (names.has(block.name)) return `${at}: the name is taken`;
    names.add(block.name);
    const firstStage = previous?.stage ?? 0;
    if (block.stage !== firstStage && !(previous !== null && block.stage === firstStage + 1))
      return `${at}: stage ${block.stage} does not follow stage ${firstStage}`;
    if (previous?.stage === block.stage && previous.outChannels !== block.outChannels)
      return `${at}: outChannels ${block.outChannels} differs from the ${previous.outChannels} of its stage`;
    if (block.inChannels !== channels)
      return `${at}: inChannels is ${block.inChannels} but the layer before gives ${channels}`;
    if (block.inHeight !== height || block.inWidth !== width)
      return `${at}: input map is ${block.inHeight}x${block.inWidth} but the layer before gives ${height}x${width}`;
    const problem = block.kind === BlockKind.Skip ? skipProblem(block) : residualProblem(block);
    if (problem !== null) return `${at}: ${problem}`;
    height = Math.ceil(height / block.stride);
    width = Math.ceil(width / block.stride);
    channels = block.outChannels;
    previous = block;
  }
  return null;
}

function skipProblem(block: BlockDescription): string | null {
  if (block.family !== undefined) return 'a skip has no family';
  if (block.stride !== 1) return 'a skip cannot have a stride';
  if (block.inChannels !== block.outChannels) return 'a skip cannot change the channels';
  if (block.midChannels !== block.outChannels) return 'midChannels of a skip must equal outChannels';
  return null;
}

function residualProblem(block: BlockDescription): string | null {
  return block.family === undefined ? 'a residual block needs a family' : null;
}
