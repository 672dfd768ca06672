/**
 * @file Closed-form access counts of a tiled layer, and what they cost (the published ShiftAddNAS model).
 *
 * The loops are N, M, C, E tiled over four levels (0 register file, 1 side by side on the array, 2 global buffer,
 * 3 DRAM) and R, S, F untiled. Every count is an integer. Two identities hold for any tiling: inputs and weights are
 * each read from a register file exactly once per operation.
 */
import type { UnitPrices } from './machine.js';

/** The loop bounds of one dense layer in the literature's letters; the kernel is R x R. */
export interface LoopNest {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly C: number;
  readonly R: number;
  readonly M: number;
  readonly E: number;
  readonly F: number;
  readonly stride: number;
  /** A matrix product: its single output row needs no partner on the array. */
  readonly isMatrixProduct: boolean;
}

/** How the loops are split: N = N0 N3, M = M0 M1 M2 M3, C = C0 C1 C2, E = E1 E3. */
export interface Tiling {
  readonly N0: number;
  readonly N3: number;
  readonly M0: number;
  readonly M1: number;
  readonly M2: number;
  readonly M3: number;
  readonly C0: number;
  readonly C1: number;
  readonly C2: number;
  readonly E1: number;
  readonly E3: number;
}

/** Word accesses per operand and level, and the operations they serve. */
export interface AccessCounts {
  readonly operations: number;
  readonly input: {
    readonly dram: number;
    readonly globalBuffer: number;
    readonly noc: number;
    readonly registerFile: number;
  };
  readonly weight: { readonly dram: number; readonly noc: number; readonly registerFile: number };
  readonly output: {
    readonly dram: number;
    readonly globalBuffer: number;
    readonly noc: number;
    readonly registerFile: number;
  };
  readonly cycles: number;
}

/** Energy by memory level, in mJ. */
export interface LevelEnergy {
  readonly computeMj: number;
  readonly dramMj: number;
  readonly globalBufferMj: number;
  readonly nocMj: number;
  readonly registerFileMj: number;
}

/** Memory energy by operand, in mJ; with the compute energy these make up the total. */
export interface OperandEnergy {
  readonly inputMj: number;
  readonly weightMj: number;
  readonly outputMj: number;
}

/** Energy and latency of one tiled loop nest. */
export interface NestCost {
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly byOperand: OperandEnergy;
  readonly byLevel: LevelEnergy;
}

/** Sizes that any tiling shares. */
export function nestSizes({ N, H, W, C, R, M, E, F }: LoopNest): {
  readonly operations: number;
  readonly inputs: number;
  readonly weights: number;
  readonly outputs: number;
} {
  return {
    operations: N * E * F * M * R * R * C,
    inputs: N * H * W * C,
    weights: R * R * C * M,
    outputs: N * E * F * M,
  };
}

/** Accesses of the partial sums above the register file's own additions, per output; at least the one final write. */
export function outputAccessesPerOutput(
  R: number,
  C0: number,
  C1: number,
  C2: number,
): {
  readonly globalBuffer: number;
  readonly noc: number;
  readonly registerFile: number;
} {
  return {
    globalBuffer: Math.max(2 * (C2 - 1), 1),
    noc: Math.max(C2 * (C1 * R - 1), 1),
    registerFile: Math.max(2 * C2 * C1 * R * (C0 * R - 1), 1),
  };
}

/** Counts the accesses of a tiling, valid or not. */
export function countAccesses(nest: LoopNest, tiling: Tiling): AccessCounts {
  const { N, W, C, R, M, E, F } = nest;
  const { N0, N3, M0, M2, M3, C0, C1, C2, E3 } = tiling;
  const { operations, inputs, weights, outputs } = nestSizes(nest);
  const perOutput = outputAccessesPerOutput(R, C0, C1, C2);
  return {
    operations,
    input: {
      dram: M3 * inputs,
      globalBuffer: M3 * M2 * inputs,
      // Each PE row streams the E R input rows of its outputs, not the H rows of the map.
      noc: (M / M0) * R * E * N * W * C,
      registerFile: operations,
    },
    weight: { dram: N3 * E3 * weights, noc: N3 * E * weights, registerFile: operations },
    output: {
      dram: outputs,
      globalBuffer: perOutput.globalBuffer * outputs,
      noc: perOutput.noc * outputs,
      registerFile: perOutput.registerFile * outputs,
    },
    cycles: N0 * N3 * M3 * M2 * M0 * C2 * C0 * E3 * F * R,
  };
}

/** Prices counted accesses. Latency is compute bound: the model has no bandwidth or stall terms. */
export function priceAccesses(counts: AccessCounts, prices: UnitPrices): NestCost {
  const { input, weight, output } = counts;
  const inputDram = input.dram * prices.inputDramPj;
  const inputBuffer = input.globalBuffer * prices.inputGlobalBufferPj;
  const inputNoc = input.noc * prices.inputNocPj;
  const inputRegisters = input.registerFile * prices.inputRegisterFilePj;
  const weightDram = weight.dram * prices.weightDramPj;
  const weightNoc = weight.noc * prices.weightNocPj;
  const weightRegisters = weight.registerFile * prices.weightRegisterFilePj;
  const outputDram = output.dram * prices.outputDramPj;
  const outputBuffer = output.globalBuffer * prices.outputGlobalBufferPj;
  const outputNoc = output.noc * prices.outputNocPj;
  const outputRegisters = output.registerFile * prices.outputRegisterFilePj;
  const computeMj = counts.operations * prices.computePj * mjPerPj;
  const dramMj = (inputDram + weightDram + outputDram) * mjPerPj;
  const globalBufferMj = (inputBuffer + outputBuffer) * mjPerPj;
  const nocMj = (inputNoc + weightNoc + outputNoc) * mjPerPj;
  const registerFileMj = (inputRegisters + weightRegisters + outputRegisters) * mjPerPj;
  return {
    energyMj: computeMj + dramMj + globalBufferMj + nocMj + registerFileMj,
    latencyMs: counts.cycles * prices.cyclePeriodNs * 1e-6,
    byOperand: {
      inputMj: (inputDram + inputBuffer + inputNoc + inputRegisters) * mjPerPj,
      weightMj: (weightDram + weightNoc + weightRegisters) * mjPerPj,
      outputMj: (outputDram + outputBuffer + outputNoc + outputRegisters) * mjPerPj,
    },
    byLevel: { computeMj, dramMj, globalBufferMj, nocMj, registerFileMj },
  };
}

const mjPerPj = 1e-9;
