/**
 * @file The exhaustive tiling search of the published model, arranged to be fast and still exhaustive.
 *
 * Among the valid tilings of a layer the model takes the one that minimises
 * (energy - min) / max + (latency - min) / max, the first on ties, loops nested N, M, C, E (innermost).
 * Two properties of the access counts make the full enumeration cheap. Energy is a sum of a term of M's factors, a
 * term of C's and a term of N's and E's, so each is computed once per factorisation, not per tiling. And latency
 * depends only on how many tiles are side by side, M1 C1 E1, which is at most the number of processing elements:
 * keeping the cheapest tiling per such product is enough, and no list of tilings is stored.
 * All demands on the array grow with every inner factor, so a layer has a valid tiling exactly if its smallest tile
 * fits; that tile therefore names the refusing limits.
 */
import { nestSizes, outputAccessesPerOutput, type LoopNest, type Tiling } from './accesses.js';
import type { RefusedLimit } from './errors.js';
import { factorisations, primeFactors } from './factors.js';
import type { ArrayLimits, UnitPrices } from './machine.js';

/** What the chosen tiling was chosen from. */
export interface TilingSearch {
  readonly tiling: Tiling;
  /** Number of valid tilings. */
  readonly validTilings: number;
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
  const { inputs, weights, outputs } = nestSizes(nest);
  // No layer has more tiles than its own factors; the arrays below need no place for others.
  const maxTiles = Math.min(Math.floor(limits.maxProcessingElements / R), M * C * E);
  const singleRow = allowSingleRow || nest.isMatrixProduct;
  const columns = (F - 1) * stride + R;

  const nTilings = factorisations(N, 2);
  const mTilings = thinned(factorisations(M, 4), limits.thinnedAboveM0).filter(
    ([M0, M1]) => M0! <= limits.maxPartialSumWords && M1! <= maxTiles,
  );
  const cTilings = factorisations(C, 3).filter(
    ([C0, C1]) => C0! * R <= limits.maxInputWords && C1! <= maxTiles,
  );
  const eTilings = factorisations(E, 2).filter(([E1]) => E1! <= maxTiles && (singleRow || E1 !== 1));

  const mEnergies = mTilings.map(
    ([M0, , M2, M3]) =>
      (M3! * prices.inputDramPj + M3! * M2! * prices.inputGlobalBufferPj) * inputs +
      (M / M0!) * R * E * N * W * C * prices.inputNocPj,
  );
  const cEnergies = cTilings.map(([C0, C1, C2]) => {
    const perOutput = outputAccessesPerOutput(R, C0!, C1!, C2!);
    return (
      (perOutput.globalBuffer * prices.outputGlobalBufferPj +
        perOutput.noc * prices.outputNocPj +
        perOutput.registerFile * prices.outputRegisterFilePj) *
      outputs
    );
  });
  const constantEnergy =
    nestSizes(nest).operations *
      (prices.computePj + prices.inputRegisterFilePj + prices.weightRegisterFilePj) +
    outputs * prices.outputDramPj;

  // Flat copies: the inner loops run up to a million times.
  const c0 = Float64Array.from(cTilings, ([C0]) => C0!);
  const c1 = Float64Array.from(cTilings, ([, C1]) => C1!);
  const e1 = Float64Array.from(eTilings, ([E1]) => E1!);
  const e3 = Float64Array.from(eTilings, ([, E3]) => E3!);
  const tileArea = Float64Array.from(eTilings, ([E1]) => ((E1! - 1) * stride + R) * columns);
  const smallestE1 = e1.length > 0 ? Math.min(...e1) : Infinity;

  const cheapest = new Float64Array(maxTiles + 1).fill(Infinity);
  const ordinal = new Float64Array(maxTiles + 1);
  const place = new Int32Array(4 * (maxTiles + 1));
  let maxEnergy = -Infinity;
  let validTilings = 0;

  for (let n = 0; n < nTilings.length; n++) {
    const N0 = nTilings[n]![0]!;
    const N3 = nTilings[n]![1]!;
    for (let m = 0; m < mTilings.length; m++) {
      const [M0, M1, M2] = mTilings[m]! as [number, number, number, number];
      const outputTile = N0 * M2 * M1 * M0 * F;
      if (outputTile * smallestE1 > limits.maxGlobalBufferWords) continue;
      const mEnergy = constantEnergy + mEnergies[m]!;
      for (let c = 0; c < c0.length; c++) {
        const sideBySide = M1 * c1[c]!;
        if (sideBySide * smallestE1 > maxTiles || M0 * c0[c]! * R > limits.maxWeightWords) continue;
        const inputChannels = N0 * c1[c]! * c0[c]!;
        const mcEnergy = mEnergy + cEnergies[c]!;
        for (let e = 0; e < e1.length; e++) {
          const tiles = sideBySide * e1[e]!;
          if (tiles > maxTiles) continue;
          if (inputChannels * tileArea[e]! + outputTile * e1[e]! > limits.maxGlobalBufferWords) continue;
          const energy = mcEnergy + (e3[e]! * prices.weightDramPj + E * prices.weightNocPj) * (N3 * weights);
          if (energy > maxEnergy) maxEnergy = energy;
          if (energy < cheapest[tiles]!) {
            cheapest[tiles] = energy;
            ordinal[tiles] = validTilings;
            place.set([n, m, c, e], 4 * tiles);
          }
          validTilings++;
        }
      }
    }
  }
  if (validTilings === 0) return undefined;

  const tiles = pickTiles(cheapest, ordinal, maxEnergy);
  const [n, m, c, e] = place.subarray(4 * tiles, 4 * tiles + 4) as unknown as [
    number,
    number,
    number,
    number,
  ];
  const [N0, N3] = nTilings[n] as [number, number];
  const [M0, M1, M2, M3] = mTilings[m] as [number, number, number, number];
  const [C0, C1, C2] = cTilings[c] as [number, number, number];
  const [E1, E3] = eTilings[e] as [number, number];
  return { tiling: { N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3 }, validTilings };
}

/** Strikes factorisations whose first factor exceeds `above`, but never the one behind a struck one. */
function thinned(
  tilings: readonly (readonly number[])[],
  above: number | undefined,
): readonly (readonly number[])[] {
  if (above === undefined) return tilings;
  let spared = false;
  return tilings.filter(([first]) => {
    const struck = !spared && first! > above;
    spared = struck;
    return !struck;
  });
}

/** The number of tiles side by side whose cheapest tiling has the least score; latency is proportional to 1 / tiles. */
function pickTiles(cheapest: Float64Array, ordinal: Float64Array, maxEnergy: number): number {
  const used = [...cheapest.keys()].filter((tiles) => cheapest[tiles]! < Infinity);
  const minEnergy = Math.min(...used.map((tiles) => cheapest[tiles]!));
  const fewest = used[0]!;
  const most = used.at(-1)!;
  const score = (tiles: number): number =>
    (cheapest[tiles]! - minEnergy) / maxEnergy + (fewest / tiles - fewest / most);
  return used.reduce((best, tiles) => {
    const difference = score(tiles) - score(best);
    return difference < 0 || (difference === 0 && ordinal[tiles]! < ordinal[best]!) ? tiles : best;
  });
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
