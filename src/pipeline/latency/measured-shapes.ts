/**
 * @file Which operations are timed: those of an architecture, all that a search space can make, and a sample of shapes
 * around them, from which predictors learn what was not timed.
 */
import { Random } from '../../base/random.js';
import {
  operationKey,
  OperationKind,
  type LayerOperation,
  type Operation,
} from '../../hardware/measured/operation.js';
import { familyNamed } from '../../operators/registry.js';
import type { Architecture } from '../../spaces/architecture.js';
import { coveringGenomes } from '../../spaces/offers.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { operationsOf } from '../../spaces/operations.js';

/** Each operation once, in order of first appearance. */
export function distinctOperations(operations: Iterable<Operation>): readonly Operation[] {
  const found = new Map<string, Operation>();
  for (const operation of operations) {
    const key = operationKey(operation);
    if (!found.has(key)) found.set(key, operation);
  }
  return [...found.values()];
}

/** The operations of one inference of an architecture, each once. */
export function architectureOperations(architecture: Architecture): readonly Operation[] {
  return distinctOperations(operationsOf(architecture, familyNamed).map(({ operation }) => operation));
}

/** Every operation of every network of the space: blocks are independent, so each option of each block once is enough. */
export function spaceOperations(space: SearchSpace): readonly Operation[] {
  const architectures = [...coveringGenomes(space)].map((genome) => space.architecture(genome));
  return distinctOperations(architectures.flatMap(architectureOperations));
}

/**
 * `count` further operations with shapes within the range of `operations` (channels in steps of 4, any side between the
 * least and the largest), in the same kinds; none that is among them. Fewer where there are not as many.
 */
export function shapesAround(
  operations: readonly Operation[],
  count: number,
  seed: number,
): readonly Operation[] {
  const layers = operations.filter(
    (operation): operation is LayerOperation =>
      operation.kind === OperationKind.Layer && !operation.fullyConnected && operation.groups === 1,
  );
  if (layers.length === 0) return [];
  const random = Random.stream(seed, 'shapes around');
  const between = (values: readonly number[], step: number): number => {
    const [least, most] = [Math.ceil(Math.min(...values) / step), Math.floor(Math.max(...values) / step)];
    return step * (least + random.integer(Math.max(1, most - least + 1)));
  };
  const wide = layers.filter(({ inChannels }) => inChannels >= 4);
  const channels = (wide.length > 0 ? wide : layers).flatMap(({ inChannels, outChannels }) => [
    inChannels,
    outChannels,
  ]);
  const seen = new Set(operations.map(operationKey));
  const found: Operation[] = [];
  for (let tries = 0; tries < 20 * count && found.length < count; tries++) {
    const { primitive, kernel, stride, batch } = random.pick(layers);
    const side = between(
      layers.map(({ inHeight }) => inHeight),
      1,
    );
    const outSide = Math.ceil(side / stride);
    const operation: Operation = {
      ...{ kind: OperationKind.Layer, primitive, fullyConnected: false, batch },
      ...{ inHeight: side, inWidth: side, inChannels: between(channels, 4), kernel },
      ...{ outHeight: outSide, outWidth: outSide, outChannels: between(channels, 4), stride, groups: 1 },
    };
    const key = operationKey(operation);
    if (seen.has(key)) continue;
    seen.add(key);
    found.push(operation);
  }
  return found;
}
