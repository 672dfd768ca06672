/**
 * @file Reading `architecture.json`: the schema, and every consistency rule a builder of tensors relies on.
 */
import { z } from 'zod';
import { FileError } from '../base/errors.js';
import { type Architecture, type BlockDescription, Features } from './architecture.js';
import { classifierName, expandStem, stemName } from './blocks/ends.js';
import { listRules, ruleOf } from './blocks/registry.js';
import { inputName, NodeList } from './nodes.js';

const count = z.int().min(1);

const [firstSchema, ...otherSchemas] = listRules().map(({ schema }) => schema);
const blockSchema = z.discriminatedUnion('kind', [firstSchema!, ...otherSchemas]);

const architectureSchema = z.strictObject({
  format: z.literal('shiftaddnas-architecture'),
  version: z.literal(1),
  space: z.string(),
  genome: z.array(z.int().min(0)).nullable(),
  input: z.strictObject({ height: count, width: count, channels: count }),
  classes: z.int().min(2),
  stem: z
    .strictObject({
      channels: count,
      stride: z.int().min(1).max(4),
      family: z.string().min(1).optional(),
      kernel: z.int().min(1).max(15).optional(),
      pool: z.boolean().optional(),
    })
    .nullable(),
  blocks: z.array(blockSchema).min(1),
  classifier: z
    .strictObject({
      family: z.string().min(1).optional(),
      features: z.enum(Features).optional(),
      norm: z.boolean().optional(),
      layerNorm: z.boolean().optional(),
      heads: z.union([z.literal(1), z.literal(2)]).optional(),
    })
    .optional(),
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
  // Of the optional keys that are not there the schema says `undefined` and the type nothing; JSON has no `undefined`.
  const architecture = parsed.data as unknown as Architecture;
  const problem = firstInconsistency(architecture);
  if (problem !== null)
    throw new FileError(`${where}: ${problem}; the file was changed by hand or is damaged`);
  return architecture;
}

function firstInconsistency({ input, stem, blocks }: Architecture): string | null {
  const names = new Set<string>([inputName, stemName, classifierName]);
  const nodes = new NodeList(input);
  let last = inputName;
  if (stem !== null) last = expandStem(stem, nodes, inputName);
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
    const { height, width, channels } = nodes.mapOf(last);
    if (block.inChannels !== channels)
      return `${at}: inChannels is ${block.inChannels} but the layer before gives ${channels}`;
    if (block.inHeight !== height || block.inWidth !== width)
      return `${at}: input map is ${block.inHeight}x${block.inWidth} but the layer before gives ${height}x${width}`;
    const problem = ruleOf(block).problem(block);
    if (problem !== null) return `${at}: ${problem}`;
    last = ruleOf(block).expand(block, nodes, last);
    const made = nodes.mapOf(last);
    if (made.height < 1 || made.width < 1)
      return `${at}: its input map of ${height}x${width} is too small for it`;
    if (made.channels !== block.outChannels)
      return `${at}: outChannels is ${block.outChannels} but the block makes ${made.channels}`;
    previous = block;
  }
  return null;
}
