/**
 * @file Refuses layer descriptions that no accelerator could run or no number could count. Every priced layer passes
 * through here, so there are no loops over keys.
 */
import { LayerError } from './errors.js';
import { LayerRole, Primitive, stepCount, visitCount, type LayerDescription } from './layer.js';

const largestSize = 2 ** 31 - 1;
/** Widest word of an operand that a description may state. */
export const widestOperandBits = 64;
const primitives = new Set<string>(Object.values(Primitive));
const roles = new Set<string>(Object.values(LayerRole));

/** @throws LayerError naming the layer and what of it is missing, no positive integer, contradictory or too large. */
export function checkLayer(layer: LayerDescription): void {
  if (!primitives.has(layer.primitive)) refuse(layer, 'primitive', oneOf(primitives, layer.primitive));
  if (layer.role !== undefined && !roles.has(layer.role)) refuse(layer, 'role', oneOf(roles, layer.role));
  checkSize(layer, 'batch', layer.batch);
  checkSize(layer, 'inHeight', layer.inHeight);
  checkSize(layer, 'inWidth', layer.inWidth);
  checkSize(layer, 'inChannels', layer.inChannels);
  checkSize(layer, 'kernel', layer.kernel);
  checkSize(layer, 'outHeight', layer.outHeight);
  checkSize(layer, 'outWidth', layer.outWidth);
  checkSize(layer, 'outChannels', layer.outChannels);
  checkSize(layer, 'stride', layer.stride);
  checkSize(layer, 'groups', layer.groups);
  checkSize(layer, 'copies', layer.copies ?? 1);
  const bits = layer.operandBits as LayerDescription['operandBits'] | undefined;
  checkWidth(layer, 'weight', bits?.weight, layer.steps !== undefined);
  checkSteps(layer);
  checkWidth(layer, 'activation', bits?.activation);
  checkWidth(layer, 'partialSum', bits?.partialSum);
  checkDivisible(layer, 'inChannels', layer.inChannels);
  checkDivisible(layer, 'outChannels', layer.outChannels);
  if (layer.fullyConnected) checkFullyConnected(layer);
  if (layer.primitive === Primitive.Move) checkMove(layer);
  checkReach(layer, 'inHeight', layer.inHeight, 'outHeight', layer.outHeight);
  checkReach(layer, 'inWidth', layer.inWidth, 'outWidth', layer.outWidth);
  checkCounts(layer);
}

function refuse(layer: LayerDescription, key: string, problem: string): never {
  throw new LayerError(layer.name, key, problem);
}

function oneOf(known: ReadonlySet<string>, given: unknown): string {
  return `must be one of ${[...known].join(', ')}, got ${String(given)}`;
}

function checkSize(layer: LayerDescription, key: string, size: number): void {
  if (!Number.isInteger(size) || size < 1 || size > largestSize)
    refuse(layer, key, `must be an integer from 1 to ${largestSize}, got ${String(size)}`);
}

function checkSteps(layer: LayerDescription): void {
  const { steps, primitive } = layer;
  if (steps === undefined) return;
  if (primitive !== Primitive.Shift)
    refuse(layer, 'steps', `are those of a shift layer, not of one that is ${primitive}`);
  for (const [key, value] of Object.entries(steps))
    if (!(value >= 0 && value <= widestOperandBits))
      refuse(layer, `steps.${key}`, `must be a number from 0 to ${widestOperandBits}, got ${String(value)}`);
  if (!(stepCount(layer.steps) > 0)) refuse(layer, 'steps', 'must be more than none');
}

function checkWidth(
  layer: LayerDescription,
  operand: string,
  bits: number | undefined,
  isMean = false,
): void {
  if (bits === undefined || !(isMean || Number.isInteger(bits)) || !(bits >= 1 && bits <= widestOperandBits))
    refuse(
      layer,
      `operandBits.${operand}`,
      `must be an integer from 1 to ${widestOperandBits}, got ${String(bits)}`,
    );
}

function checkDivisible(layer: LayerDescription, key: string, channels: number): void {
  if (channels % layer.groups !== 0)
    refuse(layer, key, `must be a multiple of groups (${layer.groups}), got ${channels}`);
}

function checkFullyConnected(layer: LayerDescription): void {
  for (const key of ['inHeight', 'inWidth', 'outHeight', 'outWidth', 'kernel'] as const)
    if (layer[key] !== 1) refuse(layer, key, `must be 1 in a fully connected layer, got ${layer[key]}`);
}

/** An output channel of moves is one input channel at one place. */
function checkMove(layer: LayerDescription): void {
  const { inChannels, outChannels, groups } = layer;
  if (layer.kernel !== 1) refuse(layer, 'kernel', `must be 1 in a layer of moves, got ${layer.kernel}`);
  if (inChannels !== groups || outChannels !== groups)
    refuse(
      layer,
      'groups',
      `must be the channels, in and out, of a layer of moves, got ${groups} for ${inChannels} -> ${outChannels}`,
    );
}

/** Padding beyond kernel - 1 on a side would only make outputs that see no input at all. */
function checkReach(
  layer: LayerDescription,
  inKey: string,
  inSize: number,
  outKey: string,
  outSize: number,
): void {
  const { kernel, stride } = layer;
  const reach = (outSize - 1) * stride + kernel;
  const padded = inSize + 2 * (kernel - 1);
  if (reach > padded)
    refuse(
      layer,
      outKey,
      `(${outSize}) is larger than any padding could make it: kernel ${kernel} at stride ${stride} would ` +
        `reach over ${reach} inputs, ${inKey} ${inSize} has at most ${padded} with kernel - 1 padded on each side`,
    );
}

/** Counts beyond 2^53 would be rounded silently; these are the largest that any tiling can reach. */
function checkCounts(layer: LayerDescription): void {
  const inputsPerFilter =
    (layer.copies ?? 1) * layer.batch * layer.inWidth * layer.inChannels * layer.outChannels;
  const largestCount = Math.max(
    2 * stepCount(layer.steps) * visitCount(layer) * layer.groups,
    inputsPerFilter * Math.max(layer.inHeight, layer.kernel * layer.outHeight),
  );
  if (largestCount <= Number.MAX_SAFE_INTEGER) return;
  const sizes = {
    ...{ batch: layer.batch, inHeight: layer.inHeight, inWidth: layer.inWidth, inChannels: layer.inChannels },
    ...{ kernel: layer.kernel, outHeight: layer.outHeight, outWidth: layer.outWidth },
    ...{ outChannels: layer.outChannels, copies: layer.copies ?? 1 },
  };
  const [key, size] = Object.entries(sizes).reduce((a, b) => (b[1] > a[1] ? b : a));
  refuse(
    layer,
    key,
    `(${size}) makes the layer too large: its access counts exceed 2^53; check the sizes or split the layer`,
  );
}
