/**
 * @file The cost model written a second time, as plainly as the published description states it: tilings by trial of
 * every integer, access counts literally with their E/H and F/W ratios, no term shared, no tiling skipped. Slow; the
 * oracle of the fast search.
 */
import type { LoopNest, Tiling } from './accesses.js';
import type { ArrayLimits, UnitPrices } from './machine.js';

/** One valid tiling with its price. */
export interface OracleTiling {
  readonly tiling: Tiling;
  readonly energyPj: number;
  readonly cycles: number;
}

/** All valid tilings of a small layer, in no particular order. */
export function allTilings(
  nest: LoopNest,
  limits: ArrayLimits,
  prices: UnitPrices,
  allowSingleRow: boolean,
): OracleTiling[] {
  const { N, C, R, M, E, F, stride } = nest;
  const found: OracleTiling[] = [];
  for (let N0 = 1; N0 <= N; N0++)
    for (let M0 = 1; M0 <= M; M0++)
      for (let M1 = 1; M1 <= M; M1++)
        for (let M2 = 1; M2 <= M; M2++)
          for (let C0 = 1; C0 <= C; C0++)
            for (let C1 = 1; C1 <= C; C1++)
              for (let E1 = 1; E1 <= E; E1++) {
                const N3 = N / N0;
                const M3 = M / (M0 * M1 * M2);
                const C2 = C / (C0 * C1);
                const E3 = E / E1;
                if (![N3, M3, C2, E3].every(Number.isInteger)) continue;
                if (M1 * C1 * E1 * R > limits.maxProcessingElements) continue;
                if (C0 * R > limits.maxInputWords || M0 * C0 * R > limits.maxWeightWords) continue;
                if (M0 > limits.maxPartialSumWords) continue;
                const inputTile = N0 * C1 * C0 * ((E1 - 1) * stride + R) * ((F - 1) * stride + R);
                if (inputTile + N0 * M2 * M1 * M0 * E1 * F > limits.maxGlobalBufferWords) continue;
                if (E1 === 1 && !nest.isMatrixProduct && !allowSingleRow) continue;
                const tiling = { N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3 };
                found.push({ tiling, ...literalPrice(nest, tiling, prices) });
              }
  return found;
}

/** Energy in pJ and cycles of one tiling, from the formulas as they are printed. */
export function literalPrice(
  { N, H, W, C, R, M, E, F }: LoopNest,
  { N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3 }: Tiling,
  prices: UnitPrices,
): { energyPj: number; cycles: number } {
  const S = R;
  const I = N * H * W * C;
  const Wt = R * S * C * M;
  const O = N * E * F * M;
  const terms = [
    N * E * F * M * R * S * C * prices.computePj,
    M3 * I * prices.inputDramPj,
    N3 * E3 * Wt * prices.weightDramPj,
    O * prices.outputDramPj,
    M3 * M2 * I * prices.inputGlobalBufferPj,
    Math.max(2 * (C2 - 1), 1) * O * prices.outputGlobalBufferPj,
    M3 * M2 * M1 * R * (E / H) * I * prices.inputNocPj,
    N3 * E3 * E1 * Wt * prices.weightNocPj,
    Math.max(C2 * (C1 * R - 1), 1) * O * prices.outputNocPj,
    M3 * M2 * M1 * R * (E / H) * M0 * S * (F / W) * I * prices.inputRegisterFilePj,
    N3 * E3 * E1 * F * N0 * Wt * prices.weightRegisterFilePj,
    Math.max(C2 * C1 * R * (C0 * S - 1) * 2, 1) * O * prices.outputRegisterFilePj,
  ];
  return {
    energyPj: terms.reduce((sum, term) => sum + term, 0),
    cycles: N3 * N0 * M3 * M2 * M0 * C2 * C0 * E3 * F * S,
  };
}
