/**
 * @file Prices layers and networks: checks the description, finds the tiling, counts, multiplies.
 *
 * A layer's price depends only on its shape, its widths and the profile, and a search asks for the same few shapes
 * many thousands of times, so results are remembered per profile (a bounded number of them), and on disk.
 */
import {
  countAccesses,
  priceAccesses,
  type LevelEnergy,
  type LoopNest,
  type OperandEnergy,
  type Tiling,
} from './accesses.js';
import { checkLayer } from './check-layer.js';
import { MappingError, SingleRowError } from './errors.js';
import { Primitive, stepCount, type LayerDescription } from './layer.js';
import { arrayLimits, chargedBits, unitPrices, type UnitPrices } from './machine.js';
import { GroupPricing, SingleRowTiling, type AcceleratorProfile } from './profile-schema.js';
import { loadProfile, withWordBits } from './profile.js';
import { hashOf, priceMemo, type Price, type PriceMemo } from './price-memo.js';
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
   * Whether prices are remembered in the user's cache folder, where a network's cost is known in a millisecond the next
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
  let [operations, energyMj, latencyMs] = [0, 0, 0];
  let [inputMj, weightMj, outputMj] = [0, 0, 0];
  let [computeMj, dramMj, globalBufferMj, nocMj, registerFileMj] = [0, 0, 0, 0, 0];
  for (const { operations: priced, energyMj: energy, latencyMs: latency, byOperand, byLevel } of layers) {
    operations += priced;
    energyMj += energy;
    latencyMs += latency;
    inputMj += byOperand.inputMj;
    weightMj += byOperand.weightMj;
    outputMj += byOperand.outputMj;
    computeMj += byLevel.computeMj;
    dramMj += byLevel.dramMj;
    globalBufferMj += byLevel.globalBufferMj;
    nocMj += byLevel.nocMj;
    registerFileMj += byLevel.registerFileMj;
  }
  return {
    profile: profileName,
    layers,
    operations,
    energyMj,
    latencyMs,
    byOperand: { inputMj, weightMj, outputMj },
    byLevel: { computeMj, dramMj, globalBufferMj, nocMj, registerFileMj },
  };
}

/** By hash of the layer: a layer and its price. */
type Prices = Map<number, { readonly layer: LayerDescription; readonly price: Price }>;

/** A profile at work: the prices it has come to, and those remembered on disk. */
interface Machine {
  readonly profile: AcceleratorProfile;
  readonly prices: Prices;
  readonly memo: PriceMemo | undefined;
}

const rememberedLayers = 8192;
const remembered = new WeakMap<AcceleratorProfile, Prices>();
/** Profiles at another word width than their own, so that their prices are remembered too. */
const atOtherWidths = new WeakMap<AcceleratorProfile, Map<number, AcceleratorProfile>>();

function machineFor(given: AcceleratorProfile | string, options: EstimateOptions): Machine {
  const { wordBits, remember = true, onNotice = (message) => console.error(`notice: ${message}`) } = options;
  const own = typeof given === 'string' ? loadProfile(given) : given;
  const profile = wordBits === undefined ? own : atWidth(own, wordBits);
  let prices = remembered.get(profile);
  if (!prices) remembered.set(profile, (prices = new Map()));
  return { profile, prices, memo: remember ? priceMemo(profile, onNotice) : undefined };
}

function atWidth(profile: AcceleratorProfile, wordBits: number): AcceleratorProfile {
  let widths = atOtherWidths.get(profile);
  if (!widths) atOtherWidths.set(profile, (widths = new Map()));
  let other = widths.get(wordBits);
  if (!other) widths.set(wordBits, (other = withWordBits(profile, wordBits)));
  return other;
}

function priceOf(layer: LayerDescription, { profile, prices, memo }: Machine): LayerCost {
  // Only layers that passed the checks are remembered, and what equals one of them passes too.
  if (typeof layer.operandBits !== 'object') checkLayer(layer);
  const hash = hashOf(layer);
  let known = prices.get(hash);
  // Two layers of one hash push each other out, which costs time and nothing else.
  if (known !== undefined && isSameLayer(known.layer, layer)) {
    prices.delete(hash);
  } else {
    // What is kept on disk has no place for steps.
    const kept = layer.steps === undefined ? memo : undefined;
    let price = kept?.find(layer, hash);
    if (price === undefined) {
      checkLayer(layer);
      price = freshPrice(layer, profile);
      kept?.add(layer, hash, price);
    }
    // A copy: the caller may go on to use its object for another layer.
    known = {
      layer: {
        ...layer,
        operandBits: { ...layer.operandBits },
        ...(layer.steps && { steps: { ...layer.steps } }),
      },
      price,
    };
    if (prices.size >= rememberedLayers) prices.delete(prices.keys().next().value!);
  }
  prices.set(hash, known);
  const { operations, energyMj, latencyMs, byOperand, byLevel, tiling } = known.price;
  const { name, primitive } = layer;
  return { name, primitive, operations, energyMj, latencyMs, byOperand, byLevel, tiling };
}

/** Whether two layers have one price. */
function isSameLayer(a: LayerDescription, b: LayerDescription): boolean {
  return (
    a.batch === b.batch &&
    a.inHeight === b.inHeight &&
    a.inWidth === b.inWidth &&
    a.inChannels === b.inChannels &&
    a.kernel === b.kernel &&
    a.outHeight === b.outHeight &&
    a.outWidth === b.outWidth &&
    a.outChannels === b.outChannels &&
    a.stride === b.stride &&
    a.groups === b.groups &&
    (a.copies ?? 1) === (b.copies ?? 1) &&
    a.primitive === b.primitive &&
    a.fullyConnected === b.fullyConnected &&
    a.role === b.role &&
    a.steps?.signs === b.steps?.signs &&
    a.steps?.shifts === b.steps?.shifts &&
    a.steps?.multiplications === b.steps?.multiplications &&
    a.operandBits.weight === b.operandBits.weight &&
    a.operandBits.activation === b.operandBits.activation &&
    a.operandBits.partialSum === b.operandBits.partialSum
  );
}

function freshPrice(layer: LayerDescription, profile: AcceleratorProfile): Price {
  const bits = chargedBits(profile, layer);
  const { times, nest } = nestsOf(layer, profile);
  const prices = unitPrices(profile, layer, bits);
  const tiling = chooseTiling(layer.name, nest, prices, profile);
  const counts = countAccesses(nest, tiling);
  const { energyMj, latencyMs, byOperand, byLevel } = priceAccesses(counts, prices);
  return {
    operations: layer.primitive === Primitive.Move ? 0 : counts.operations * times * stepCount(layer.steps),
    energyMj: energyMj * times,
    latencyMs: latencyMs * times,
    byOperand: {
      inputMj: byOperand.inputMj * times,
      weightMj: byOperand.weightMj * times,
      outputMj: byOperand.outputMj * times,
    },
    byLevel: {
      computeMj: byLevel.computeMj * times,
      dramMj: byLevel.dramMj * times,
      globalBufferMj: byLevel.globalBufferMj * times,
      nocMj: byLevel.nocMj * times,
      registerFileMj: byLevel.registerFileMj * times,
    },
    tiling,
  };
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
  profile: Pick<AcceleratorProfile, 'groups'>,
): { readonly times: number; readonly nest: LoopNest } {
  const copies = layer.copies ?? 1;
  return honoursGroups(layer, profile)
    ? { times: layer.groups * copies, nest: loopNest(layer, layer.groups) }
    : { times: 1, nest: { ...loopNest(layer, 1), N: layer.batch * copies } };
}

/** Whether groups and copies are priced one by one. A layer of moves is never a dense one: it has no sums. */
export function honoursGroups(
  { primitive }: Pick<LayerDescription, 'primitive'>,
  { groups }: Pick<AcceleratorProfile, 'groups'>,
): boolean {
  return groups === GroupPricing.Honoured || primitive === Primitive.Move;
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
