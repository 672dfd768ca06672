/**
 * @file The exhaustive tiling search of the published model, arranged to be fast and still exhaustive.
 *
 * Among the valid tilings of a layer the model takes the one that minimises
 * (energy - min) / max + (latency - min) / max, the first on ties, loops nested N, M, C, E (innermost).
 * Three properties of the access counts make the full enumeration cheap. Energy is a sum of a term of M's factors, a
 * term of C's and a term of N's and E's, so each is computed once per factorisation, not per tiling. With all else
 * chosen, energy only falls as M2 grows, so the largest M2 that fits the buffer stands for all (the smallest is the
 * dearest). And latency depends only on how many tiles are side by side, M1 C1 E1, which is at most the number of
 * processing elements: keeping the cheapest tiling per such product is enough, and no list of tilings is stored.
 * All demands on the array grow with every inner factor, so a layer has a valid tiling exactly if its smallest tile
 * fits; that tile therefore names the refusing limits.
 */
import { nestSizes, outputAccessesPerOutput, type LoopNest, type Tiling } from './accesses.js';
import type { RefusedLimit } from './errors.js';
import { divisors, primeFactors } from './factors.js';
import type { ArrayLimits, UnitPrices } from './machine.js';

/** What the chosen tiling was chosen from. */
export interface TilingSearch {
  readonly tiling: Tiling;
  /** Energy of the dearest valid tiling, pJ: what the energies are judged by. */
  readonly maxEnergyPj: number;
}

/**
 * Finds the tiling the model picks, or undefined when none is valid.
 * @param allowSingleRow also admits E1 = 1 for convolutions, which the published search refuses.
 */
export function searchTiling(
  nest: LoopNest,
  limits: ArrayLimits,
  prices: UnitPrices,
  allowSingleRow: boolean,
): TilingSearch | undefined {
  const { N, W, C, R, M, E, F, stride } = nest;
  const { operations, inputs, weights, outputs } = nestSizes(nest);
  const { maxGlobalBufferWords } = limits;
  // No layer has more tiles than its own factors; the arrays below need no place for others.
  const maxTiles = Math.min(Math.floor(limits.maxProcessingElements / R), M * C * E);
  const singleRow = allowSingleRow || nest.isMatrixProduct;
  const columns = (F - 1) * stride + R;
  const constantEnergy =
    operations * (prices.computePj + prices.inputRegisterFilePj + prices.weightRegisterFilePj) +
    outputs * prices.outputDramPj;

  const n = divisors(N);
  const m = outputTiles(M, limits, maxTiles, prices.inputDramPj === 0);
  const c = channelTiles(nest, limits, prices, maxTiles);
  const e1 = divisors(E).filter((E1) => E1 <= maxTiles && (singleRow || E1 !== 1));

  // By the number of tiles side by side: the least energy, and the rank of its tiling in the order of enumeration.
  const cheapest = new Float64Array(maxTiles + 1).fill(Infinity);
  const rank = new Float64Array(maxTiles + 1);
  let maxEnergy = -Infinity;
  // Energy of the inputs in a tiling: per pass over DRAM (M3), per pass over the buffer (M3 M2), per M / M0 on the network.
  const perDramPass = inputs * prices.inputDramPj;
  const perBufferPass = inputs * prices.inputGlobalBufferPj;
  const perFilterPass = R * E * N * W * C * prices.inputNocPj;

  for (let ni = 0; ni < n.length; ni++) {
    const N0 = n[ni]!;
    for (let ei = 0; ei < e1.length; ei++) {
      const E1 = e1[ei]!;
      const tileArea = N0 * ((E1 - 1) * stride + R) * columns;
      const weightEnergy = ((E / E1) * prices.weightDramPj + E * prices.weightNocPj) * ((N / N0) * weights);
      for (let ci = 0; ci < c.length; ci++) {
        const { C0, C1, energy: channelEnergy } = c[ci]!;
        const besides = C1 * E1;
        const roomForOutputs = maxGlobalBufferWords - tileArea * C0 * C1;
        if (besides > maxTiles || roomForOutputs <= 0) continue;
        const outputsFit = roomForOutputs / (N0 * F * E1);
        const roomForM0 = limits.maxWeightWords / (C0 * R);
        const fixed = constantEnergy + weightEnergy + channelEnergy;
        for (let group = 0; group < m.groups.length; group++) {
          const { M0, M1, M2, place } = m.groups[group]!;
          const tiles = M1 * besides;
          if (tiles > maxTiles) break;
          if (M0 > roomForM0) continue;
          const inside = M0 * M1;
          let last = M2.length - 1;
          while (last >= 0 && inside * M2[last]! > outputsFit) last--;
          if (last < 0) continue;
          let first = 0;
          while (inside * M2[first]! > outputsFit) first++;
          const perPass = fixed + (M / inside) * perBufferPass + (M / M0) * perFilterPass;
          const dearest = perPass + (M / (inside * M2[last]!)) * perDramPass;
          if (dearest > maxEnergy) maxEnergy = dearest;
          const energy = perPass + (M / (inside * M2[first]!)) * perDramPass;
          if (energy > cheapest[tiles]!) continue;
          const at = ((ni * m.count + place[first]!) * c.length + ci) * e1.length + ei;
          if (energy < cheapest[tiles]! || at < rank[tiles]!) {
            cheapest[tiles] = energy;
            rank[tiles] = at;
          }
        }
      }
    }
  }
  if (maxEnergy === -Infinity) return undefined;

  let at = rank[pickTiles(cheapest, rank, maxEnergy)]!;
  const take = (count: number): number => {
    const index = at % count;
    at = (at - index) / count;
    return index;
  };
  const E1 = e1[take(e1.length)]!;
  const { C0, C1 } = c[take(c.length)]!;
  const { M0, M1, M2 } = outputTileAt(m, take(m.count));
  const N0 = n[at]!;
  const tiling = {
    ...{ N0, N3: N / N0, M0, M1, M2, M3: M / (M0 * M1 * M2) },
    ...{ C0, C1, C2: C / (C0 * C1), E1, E3: E / E1 },
  };
  return { tiling, maxEnergyPj: maxEnergy };
}

/**
 * The factorisations of M that a tile could have. Those with one M0 and one M1 form a group, the cheapest first (input
 * passes over DRAM are M / (M0 M1 M2)), so that for each tile of the other loops the first that fits the global buffer
 * is the only one to look at. Groups stand by ascending M1.
 */
interface OutputTileList {
  /** Number of factorisations. */
  readonly count: number;
  readonly groups: readonly OutputTileGroup[];
}

interface OutputTileGroup {
  readonly M0: number;
  readonly M1: number;
  readonly M2: readonly number[];
  /** Place of each in the order of enumeration. */
  readonly place: readonly number[];
}

const outputTileLists = new Map<string, OutputTileList>();
const rememberedLists = 1024;

/** @param alike whether M2 does not matter to the energy, so that the first in the order of enumeration is to be taken */
function outputTiles(M: number, limits: ArrayLimits, maxTiles: number, alike: boolean): OutputTileList {
  const { maxPartialSumWords, thinnedAboveM0 = Infinity } = limits;
  const key = `${M} ${maxTiles} ${maxPartialSumWords} ${thinnedAboveM0} ${alike}`;
  const known = outputTileLists.get(key);
  if (known) return known;
  const groups: OutputTileGroup[] = [];
  let count = 0;
  let struck = false;
  for (const M0 of divisors(M)) {
    // What is struck above this bound does not matter where the register file admits none of them.
    const thinned = M0 > thinnedAboveM0 && maxPartialSumWords > thinnedAboveM0;
    if (!thinned) struck = false;
    if (!thinned && M0 > maxPartialSumWords) continue;
    for (const M1 of divisors(M / M0)) {
      if (!thinned && M1 > maxTiles) continue;
      const kept: { readonly M2: number; readonly place: number }[] = [];
      for (const M2 of divisors(M / (M0 * M1))) {
        if (thinned) {
          // Strikes a factorisation unless it stands behind a struck one.
          struck = !struck;
          if (struck || M0 > maxPartialSumWords || M1 > maxTiles) continue;
        }
        kept.push({ M2, place: count++ });
      }
      if (kept.length === 0) continue;
      if (!alike) kept.sort((a, b) => b.M2 - a.M2);
      groups.push({ M0, M1, M2: kept.map(({ M2 }) => M2), place: kept.map(({ place }) => place) });
    }
  }
  const list = { count, groups: groups.sort((a, b) => a.M1 - b.M1) };
  if (outputTileLists.size >= rememberedLists) outputTileLists.clear();
  outputTileLists.set(key, list);
  return list;
}

function outputTileAt(list: OutputTileList, place: number): { M0: number; M1: number; M2: number } {
  for (const { M0, M1, M2, place: places } of list.groups) {
    const at = places.indexOf(place);
    if (at >= 0) return { M0, M1, M2: M2[at]! };
  }
  throw new Error(`no factorisation stands at ${place}`);
}

/** A factorisation of C that a tile could have, and the share of the energy that it decides, pJ. */
interface ChannelTile {
  readonly C0: number;
  readonly C1: number;
  readonly energy: number;
}

function channelTiles(
  nest: LoopNest,
  limits: ArrayLimits,
  prices: UnitPrices,
  maxTiles: number,
): readonly ChannelTile[] {
  const { C, R } = nest;
  const { outputs } = nestSizes(nest);
  const tiles: ChannelTile[] = [];
  for (const C0 of divisors(C)) {
    if (C0 * R > limits.maxInputWords) continue;
    for (const C1 of divisors(C / C0)) {
      if (C1 > maxTiles) continue;
      const perOutput = outputAccessesPerOutput(R, C0, C1, C / (C0 * C1));
      const energy =
        (perOutput.globalBuffer * prices.outputGlobalBufferPj +
          perOutput.noc * prices.outputNocPj +
          perOutput.registerFile * prices.outputRegisterFilePj) *
        outputs;
      tiles.push({ C0, C1, energy });
    }
  }
  return tiles;
}

/** The number of tiles side by side whose cheapest tiling has the least score; latency is proportional to 1 / tiles. */
function pickTiles(cheapest: Float64Array, rank: Float64Array, maxEnergy: number): number {
  let minEnergy = Infinity;
  let fewest = 0;
  let most = 0;
  for (let tiles = 1; tiles < cheapest.length; tiles++) {
    if (cheapest[tiles] === Infinity) continue;
    if (fewest === 0) fewest = tiles;
    most = tiles;
    minEnergy = Math.min(minEnergy, cheapest[tiles]!);
  }
  const score = (tiles: number): number =>
    (cheapest[tiles]! - minEnergy) / maxEnergy + (fewest / tiles - fewest / most);
  let best = fewest;
  let bestScore = score(best);
  for (let tiles = fewest + 1; tiles <= most; tiles++) {
    if (cheapest[tiles] === Infinity) continue;
    const difference = score(tiles) - bestScore;
    if (difference < 0 || (difference === 0 && rank[tiles]! < rank[best]!)) {
      best = tiles;
      bestScore = score(tiles);
    }
  }
  return best;
}

/**
 * The limits that refuse even the smallest tile of a layer; empty exactly if the layer has a valid tiling.
 * A convolution with one output row and `allowSingleRow` false has no tile at all and is not this function's matter.
 */
export function refusedLimits(nest: LoopNest, limits: ArrayLimits, allowSingleRow: boolean): RefusedLimit[] {
  const { R, E, F, stride } = nest;
  const rows = allowSingleRow || nest.isMatrixProduct ? 1 : (primeFactors(E)[0] ?? 1);
  const demands: readonly RefusedLimit[] = [
    {
      resource: `processing elements (${rows} output rows x ${R} kernel rows)`,
      needed: rows * R,
      available: limits.maxProcessingElements,
      strict: limits.processingElementsBelow,
    },
    { resource: 'input register file words', needed: R, available: limits.maxInputWords, strict: true },
    { resource: 'weight register file words', needed: R, available: limits.maxWeightWords, strict: true },
    {
      resource: 'partial-sum register file words',
      needed: 1,
      available: limits.maxPartialSumWords,
      strict: false,
    },
    {
      resource: 'global buffer words',
      needed: ((rows - 1) * stride + R) * ((F - 1) * stride + R) + rows * F,
      available: limits.maxGlobalBufferWords,
      strict: true,
    },
  ];
  return demands.filter(({ needed, available }) => needed > available);
}
