/**
 * @file Whether a training step can fit into memory at all: said before it is tried, when the system would end the process
 * without a word.
 */
import { OptionError } from '../../base/errors.js';
import { gigabytes, memoryLimit } from '../../base/memory.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { nodesOf } from '../../spaces/expand.js';
import { uniformGenome } from '../../spaces/landmarks.js';
import { inputName, NodeKind } from '../../spaces/nodes.js';
import type { Schedule } from '../../training/schedule.js';
import type { RunConfig } from '../config/config.js';

/**
 * Bytes that the gradients of one image need at least: what every layer has read, or, where blocks are computed again, what
 * every block has. A step takes two to four times as much.
 */
export function leastBytesPerImage(architecture: Architecture, recomputeBlocks = false): number {
  const nodes = nodesOf(architecture);
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const { height, width, channels } = architecture.input;
  const held = new Set(
    nodes
      .filter(({ kind, block }) => kind === NodeKind.Layer && !(recomputeBlocks && block !== null))
      .flatMap(({ inputs }) => inputs),
  );
  if (recomputeBlocks)
    for (const { inputs, block } of nodes)
      for (const input of inputs) if (block !== null && byName.get(input)?.block !== block) held.add(input);
  let floats = 0;
  for (const name of held) {
    const node = byName.get(name);
    if (node !== undefined) floats += node.outHeight * node.outWidth * node.outChannels;
    else if (name === inputName) floats += height * width * channels;
  }
  return 4 * floats;
}

/** @throws OptionError naming `section` when a step of its schedule needs more than `limit` bytes */
export function requireMemory(
  section: string,
  architecture: Architecture,
  { batchSize, accumulate = 1 }: Pick<Schedule, 'batchSize' | 'accumulate'>,
  recomputeBlocks: boolean,
  limit = memoryLimit(),
): void {
  const images = Math.ceil(batchSize / accumulate);
  const bytes = images * leastBytesPerImage(architecture, recomputeBlocks);
  if (bytes <= limit) return;
  const { height, width, channels } = architecture.input;
  throw new OptionError(
    `'${section}.batchSize': a step over ${images} images of ${height}x${width}x${channels} keeps ${gigabytes(bytes)} at least ` +
      `(${bytes} bytes), and there are ${gigabytes(limit)}; give a smaller one, '${section}.accumulate'` +
      `${recomputeBlocks ? '' : ", 'recomputeBlocks: true'"} or smaller images`,
  );
}

/** The same of a search or a measurement of ranks, whose networks of one family are all trained. @throws OptionError */
export function requireSpaceMemory(
  { supernet, retrain, recomputeBlocks }: Pick<RunConfig, 'supernet' | 'retrain' | 'recomputeBlocks'>,
  space: SearchSpace,
): void {
  const architecture = space.architecture(uniformGenome(space, space.families[0]!));
  requireMemory('supernet', architecture, supernet, recomputeBlocks);
  requireMemory('retrain', architecture, retrain, recomputeBlocks);
}
