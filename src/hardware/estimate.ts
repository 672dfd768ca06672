/**
 * @file Prices layers and networks: checks the description, finds the tiling, counts, multiplies.
 *
 * A layer's price depends only on its shape, its widths and the profile, and a search asks for the same few shapes
 * many thousands of times, so results are remembered per profile (a bounded number of them).
 */
import {
  countAccesses,
  priceAccesses,
  type LevelEnergy,
  type LoopNest,
  type OperandEnergy,
  type Tiling,
} from './accesses.js';
import { LayerError, MappingError, SingleRowError } from './errors.js';
import { Primitive, operationCount, type LayerDescription } from './layer.js';
import { arrayLimits, chargedBits, unitPrices } from './machine.js';
import { GroupPricing, SingleRowTiling, loadProfile, type AcceleratorProfile } from './profile.js';
import { refusedLimits, searchTiling } from './tiling.js';

/** The price of one layer. Memory by operand plus compute, and the sum over levels, each make up `energyMj`. */
export interface LayerCost {
  readonly name: string;
  readonly primitive: Primitive;
  /** Primitive operations as priced: those of the dense layer where the profile ignores groups. */
  readonly operations: number;
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly byOperand: OperandEnergy;
  readonly byLevel: LevelEnergy;
  /** The chosen tiling; of one group where the profile prices groups one by one. */
  readonly tiling: Tiling;
}

/** The price of a network: its layers one after the other. */
export interface NetworkCost {
  /** Name of the profile, which belongs beside every figure. */
  readonly profile: string;
  readonly layers: readonly LayerCost[];
  readonly operations: number;
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly byOperand: OperandEnergy;
  readonly byLevel: LevelEnergy;
}

type Price = Omit<LayerCost, 'name' | 'primitive'>;

const rememberedLayers = 8192;
const remembered = new WeakMap<AcceleratorProfile, Map<string, Price>>();

/**
 * Prices layers that run one after the other, per inference of the batch they state.
 * @param profile a profile, the name of a built-in one, or the path of a profile file (see {@link loadProfile}).
 * @throws LayerError for an impossible size, MappingError or SingleRowError when a layer does not fit the accelerator.
 */
export function estimate(
  layers: readonly LayerDescription[],
  profile: AcceleratorProfile | string,
): NetworkCost {
  const machine = typeof profile === 'string' ? loadProfile(profile) : profile;
  const costs = layers.map((layer) => estimateLayer(layer, machine));
  const sum = (of: (cost: LayerCost) => number): number => costs.reduce((total, cost) => total + of(cost), 0);
  return {
    profile: machine.name,
    layers: costs,
    operations: sum((cost) => cost.operations),
    energyMj: sum((cost) => cost.energyMj),
    latencyMs: sum((cost) => cost.latencyMs),
    byOperand: {
      inputMj: sum((cost) => cost.byOperand.inputMj),
      weightMj: sum((cost) => cost.byOperand.weightMj),
      outputMj: sum((cost) => cost.byOperand.outputMj),
    },
    byLevel: {
      computeMj: sum((cost) => cost.byLevel.computeMj),
      dramMj: sum((cost) => cost.byLevel.dramMj),
      globalBufferMj: sum((cost) => cost.byLevel.globalBufferMj),
      nocMj: sum((cost) => cost.byLevel.nocMj),
      registerFileMj: sum((cost) => cost.byLevel.registerFileMj),
    },
  };
}

/**
 * Prices one layer under a profile, which must not be changed afterwards (prices are remembered per profile object).
 * @throws as {@link estimate}.
 */
export function estimateLayer(layer: LayerDescription, profile: AcceleratorProfile): LayerCost {
  checkLayer(layer);
  const bits = chargedBits(profile, layer.primitive, layer.operandBits);
  const key = [
    layer.primitive,
    layer.fullyConnected,
    ...sizeKeys.map((size) => layer[size]),
    ...bitKeys.map((operand) => bits[operand]),
  ].join();
  let prices = remembered.get(profile);
  if (!prices) remembered.set(profile, (prices = new Map()));
  let price = prices.get(key);
  if (price) {
    prices.delete(key);
  } else {
    price = priceLayer({ ...layer, operandBits: bits }, profile);
    if (prices.size >= rememberedLayers) prices.delete(prices.keys().next().value!);
  }
  prices.set(key, price);
  return { name: layer.name, primitive: layer.primitive, ...price };
}

function priceLayer(layer: LayerDescription, profile: AcceleratorProfile): Price {
  const groups = profile.groups === GroupPricing.Honoured ? layer.groups : 1;
  const nest = loopNest(layer, groups);
  const limits = arrayLimits(profile);
  const prices = unitPrices(profile, layer.primitive, layer.operandBits);
  const fallback = profile.singleRowTiling === SingleRowTiling.Fallback;
  const found =
    searchTiling(nest, limits, prices, false) ??
    (fallback ? searchTiling(nest, limits, prices, true) : undefined);
  if (!found) {
    if (!fallback && nest.E === 1 && !nest.isMatrixProduct)
      throw new SingleRowError(layer.name, profile.name);
    throw new MappingError(layer.name, profile.name, refusedLimits(nest, limits, fallback));
  }
  const counts = countAccesses(nest, found.tiling);
  const { energyMj, latencyMs, byOperand, byLevel } = priceAccesses(counts, prices);
  return Object.freeze({
    operations: counts.operations * groups,
    energyMj: energyMj * groups,
    latencyMs: latencyMs * groups,
    byOperand: Object.freeze({
      inputMj: byOperand.inputMj * groups,
      weightMj: byOperand.weightMj * groups,
      outputMj: byOperand.outputMj * groups,
    }),
    byLevel: Object.freeze({
      computeMj: byLevel.computeMj * groups,
      dramMj: byLevel.dramMj * groups,
      globalBufferMj: byLevel.globalBufferMj * groups,
      nocMj: byLevel.nocMj * groups,
      registerFileMj: byLevel.registerFileMj * groups,
    }),
    tiling: Object.freeze(found.tiling),
  });
}

/** The loops of one group of a layer. */
export function loopNest(layer: LayerDescription, groups: number): LoopNest {
  return {
    N: layer.batch,
    H: layer.inHeight,
    W: layer.inWidth,
    C: layer.inChannels / groups,
    R: layer.kernel,
    M: layer.outChannels / groups,
    E: layer.outHeight,
    F: layer.outWidth,
    stride: layer.stride,
    isMatrixProduct:
      layer.fullyConnected ||
      (layer.inHeight === 1 && layer.inWidth === 1 && layer.outHeight === 1 && layer.outWidth === 1),
  };
}

const sizeKeys = [
  'batch',
  'inHeight',
  'inWidth',
  'inChannels',
  'kernel',
  'outHeight',
  'outWidth',
  'outChannels',
  'stride',
  'groups',
] as const;
const bitKeys = ['weight', 'activation', 'partialSum'] as const;
const largestSize = 2 ** 31 - 1;
const widestOperandBits = 64;

function checkLayer(layer: LayerDescription): void {
  const refuse = (key: string, problem: string): never => {
    throw new LayerError(layer.name, key, problem);
  };
  if (!Object.values(Primitive).includes(layer.primitive))
    refuse(
      'primitive',
      `must be one of ${Object.values(Primitive).join(', ')}, got ${String(layer.primitive)}`,
    );
  for (const key of sizeKeys) {
    const size = layer[key];
    if (!Number.isInteger(size) || size < 1 || size > largestSize)
      refuse(key, `must be an integer from 1 to ${largestSize}, got ${String(size)}`);
  }
  for (const key of bitKeys) {
    const bits = layer.operandBits?.[key];
    if (!Number.isInteger(bits) || bits < 1 || bits > widestOperandBits)
      refuse(`operandBits.${key}`, `must be an integer from 1 to ${widestOperandBits}, got ${String(bits)}`);
  }
  for (const key of ['inChannels', 'outChannels'] as const)
    if (layer[key] % layer.groups !== 0)
      refuse(key, `must be a multiple of groups (${layer.groups}), got ${layer[key]}`);
  if (layer.fullyConnected)
    for (const key of ['inHeight', 'inWidth', 'outHeight', 'outWidth', 'kernel'] as const)
      if (layer[key] !== 1) refuse(key, `must be 1 in a fully connected layer, got ${layer[key]}`);
  // Padding beyond kernel - 1 on a side would only make outputs that see no input at all.
  for (const [inKey, outKey] of [
    ['inHeight', 'outHeight'],
    ['inWidth', 'outWidth'],
  ] as const) {
    const reach = (layer[outKey] - 1) * layer.stride + layer.kernel;
    const padded = layer[inKey] + 2 * (layer.kernel - 1);
    if (reach > padded)
      refuse(
        outKey,
        `(${layer[outKey]}) is larger than any padding could make it: kernel ${layer.kernel} at stride ${layer.stride} would ` +
          `reach over ${reach} inputs, ${inKey} ${layer[inKey]} has at most ${padded} with kernel - 1 padded on each side`,
      );
  }
  // Counts beyond 2^53 would be rounded silently; these are the largest that any tiling can reach.
  const operations = operationCount({ ...layer, groups: 1 });
  const inputsPerFilter = layer.batch * layer.inWidth * layer.inChannels * layer.outChannels;
  const largestCount = Math.max(
    2 * operations,
    inputsPerFilter * Math.max(layer.inHeight, layer.kernel * layer.outHeight),
  );
  if (largestCount > Number.MAX_SAFE_INTEGER) {
    const largest = sizeKeys.reduce((a, b) => (layer[b] > layer[a] ? b : a));
    refuse(
      largest,
      `(${layer[largest]}) makes the layer too large: its access counts exceed 2^53; check the sizes or split the layer`,
    );
  }
}
