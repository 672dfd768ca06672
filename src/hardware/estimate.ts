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
import { LayerRole, Primitive, operationCount, type LayerDescription, type OperandBits } from './layer.js';
import { arrayLimits, chargedBits, unitPrices, type UnitPrices } from './machine.js';
import { GroupPricing, SingleRowTiling, type AcceleratorProfile } from './profile-schema.js';
import { loadProfile, withWordBits } from './profile.js';
import { tilingMemo, type TilingMemo } from './tiling-memo.js';
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

/** How {@link estimate} goes about it. */
export interface EstimateOptions {
  /** Word width in bits, for profiles that know several (those of the paper: 32 and 8); the profile's own by default. */
  readonly wordBits?: number;
  /**
   * Whether tilings are remembered in the user's cache folder, where a network's cost is known in a millisecond the next
   * time. True by default; `SHIFTADDNAS_CACHE=off` in the environment turns it off too.
   */
  readonly remember?: boolean;
  /** Told when that memory was found damaged; by default a line on stderr. */
  readonly onNotice?: (message: string) => void;
}

/**
 * Prices layers that run one after the other, per inference of the batch they state.
 * @param profile a profile, the name of a built-in one, or the path of a profile file (see {@link loadProfile}); it must
 *   not be changed afterwards (prices are remembered per profile object).
 * @throws LayerError for an impossible size, MappingError or SingleRowError when a layer does not fit the accelerator.
 */
export function estimate(
  layers: readonly LayerDescription[],
  profile: AcceleratorProfile | string,
  options: EstimateOptions = {},
): NetworkCost {
  const machine = machineFor(profile, options);
  try {
    return networkCost(
      machine.profile.name,
      layers.map((layer) => priceOf(layer, machine)),
    );
  } finally {
    machine.memo?.flush();
  }
}

/** Prices one layer. @throws as {@link estimate}. */
export function estimateLayer(
  layer: LayerDescription,
  profile: AcceleratorProfile | string,
  options: EstimateOptions = {},
): LayerCost {
  const machine = machineFor(profile, options);
  try {
    return priceOf(layer, machine);
  } finally {
    machine.memo?.flush();
  }
}

/** Sums priced layers. */
export function networkCost(profileName: string, layers: readonly LayerCost[]): NetworkCost {
  const sum = (of: (cost: LayerCost) => number): number =>
    layers.reduce((total, cost) => total + of(cost), 0);
  return {
    profile: profileName,
    layers,
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

type Price = Omit<LayerCost, 'name' | 'primitive'>;

/** A profile at work: the prices it has come to, and the tilings remembered on disk. */
interface Machine {
  readonly profile: AcceleratorProfile;
  readonly prices: Map<string, Price>;
  readonly memo: TilingMemo | undefined;
}

const rememberedLayers = 8192;
const remembered = new WeakMap<AcceleratorProfile, Map<string, Price>>();
/** Profiles at another word width than their own, so that their prices are remembered too. */
const atOtherWidths = new WeakMap<AcceleratorProfile, Map<number, AcceleratorProfile>>();

function machineFor(given: AcceleratorProfile | string, options: EstimateOptions): Machine {
  const { wordBits, remember = true, onNotice = (message) => console.error(`notice: ${message}`) } = options;
  const own = typeof given === 'string' ? loadProfile(given) : given;
  const profile = wordBits === undefined ? own : atWidth(own, wordBits);
  let prices = remembered.get(profile);
  if (!prices) remembered.set(profile, (prices = new Map()));
  return { profile, prices, memo: remember ? tilingMemo(profile, onNotice) : undefined };
}

function atWidth(profile: AcceleratorProfile, wordBits: number): AcceleratorProfile {
  let widths = atOtherWidths.get(profile);
  if (!widths) atOtherWidths.set(profile, (widths = new Map()));
  let other = widths.get(wordBits);
  if (!other) widths.set(wordBits, (other = withWordBits(profile, wordBits)));
  return other;
}

function priceOf(layer: LayerDescription, machine: Machine): LayerCost {
  checkLayer(layer);
  const bits = chargedBits(machine.profile, layer);
  const key =
    `${layer.primitive},${layer.role},${layer.fullyConnected},${layer.batch},${layer.inHeight},${layer.inWidth},` +
    `${layer.inChannels},${layer.kernel},${layer.outHeight},${layer.outWidth},${layer.outChannels},${layer.stride},` +
    `${layer.groups},${layer.copies},${bits.weight},${bits.activation},${bits.partialSum}`;
  const { prices } = machine;
  let price = prices.get(key);
  if (price) {
    prices.delete(key);
  } else {
    price = freshPrice(layer, bits, machine);
    if (prices.size >= rememberedLayers) prices.delete(prices.keys().next().value!);
  }
  prices.set(key, price);
  return { name: layer.name, primitive: layer.primitive, ...price };
}

function freshPrice(layer: LayerDescription, bits: OperandBits, { profile, memo }: Machine): Price {
  const { times, nest } = nestsOf(layer, profile.groups);
  const prices = unitPrices(profile, layer, bits);
  let tiling = memo?.find(nest, layer, bits);
  if (tiling === undefined) {
    tiling = chooseTiling(layer.name, nest, prices, profile);
    memo?.add(nest, layer, bits, tiling);
  }
  const counts = countAccesses(nest, tiling);
  const { energyMj, latencyMs, byOperand, byLevel } = priceAccesses(counts, prices);
  return Object.freeze({
    operations: counts.operations * times,
    energyMj: energyMj * times,
    latencyMs: latencyMs * times,
    byOperand: Object.freeze({
      inputMj: byOperand.inputMj * times,
      weightMj: byOperand.weightMj * times,
      outputMj: byOperand.outputMj * times,
    }),
    byLevel: Object.freeze({
      computeMj: byLevel.computeMj * times,
      dramMj: byLevel.dramMj * times,
      globalBufferMj: byLevel.globalBufferMj * times,
      nocMj: byLevel.nocMj * times,
      registerFileMj: byLevel.registerFileMj * times,
    }),
    tiling: Object.freeze(tiling),
  });
}

function chooseTiling(name: string, nest: LoopNest, prices: UnitPrices, profile: AcceleratorProfile): Tiling {
  const limits = arrayLimits(profile);
  const fallback = profile.singleRowTiling === SingleRowTiling.Fallback;
  const found =
    searchTiling(nest, limits, prices, false) ??
    (fallback ? searchTiling(nest, limits, prices, true) : undefined);
  if (found) return found.tiling;
  if (!fallback && nest.E === 1 && !nest.isMatrixProduct) throw new SingleRowError(name, profile.name);
  throw new MappingError(name, profile.name, refusedLimits(nest, limits, fallback));
}

/**
 * The loops that are priced and how many times over: one group and one copy where both are honoured; else all groups
 * in one dense nest, and copies in its batch, as the published model has the heads of attention products.
 */
export function nestsOf(
  layer: LayerDescription,
  pricing: GroupPricing,
): { readonly times: number; readonly nest: LoopNest } {
  const copies = layer.copies ?? 1;
  return pricing === GroupPricing.Honoured
    ? { times: layer.groups * copies, nest: loopNest(layer, layer.groups) }
    : { times: 1, nest: { ...loopNest(layer, 1), N: layer.batch * copies } };
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
  'copies',
] as const;
const bitKeys = ['weight', 'activation', 'partialSum'] as const;
const largestSize = 2 ** 31 - 1;
const widestOperandBits = 64;
const knownPrimitives = new Set<string>(Object.values(Primitive));
const knownRoles = new Set<string>(Object.values(LayerRole));

function checkLayer(layer: LayerDescription): void {
  const refuse = (key: string, problem: string): never => {
    throw new LayerError(layer.name, key, problem);
  };
  if (!knownPrimitives.has(layer.primitive))
    refuse(
      'primitive',
      `must be one of ${Object.values(Primitive).join(', ')}, got ${String(layer.primitive)}`,
    );
  if (layer.role !== undefined && !knownRoles.has(layer.role))
    refuse('role', `must be one of ${[...knownRoles].join(', ')}, got ${String(layer.role)}`);
  for (const key of sizeKeys) {
    const size = key === 'copies' ? (layer.copies ?? 1) : layer[key];
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
  const inputsPerFilter =
    (layer.copies ?? 1) * layer.batch * layer.inWidth * layer.inChannels * layer.outChannels;
  const largestCount = Math.max(
    2 * operations,
    inputsPerFilter * Math.max(layer.inHeight, layer.kernel * layer.outHeight),
  );
  if (largestCount > Number.MAX_SAFE_INTEGER) {
    const sizeOf = (key: (typeof sizeKeys)[number]): number => layer[key] ?? 1;
    const largest = sizeKeys.reduce((a, b) => (sizeOf(b) > sizeOf(a) ? b : a));
    refuse(
      largest,
      `(${sizeOf(largest)}) makes the layer too large: its access counts exceed 2^53; check the sizes or split the layer`,
    );
  }
}
