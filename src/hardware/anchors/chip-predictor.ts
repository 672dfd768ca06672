/**
 * @file DNN-Chip-Predictor's Eyeriss predictor (arXiv 2002.11270): operations of NAS-Bench-201, exact.
 *
 * Its formulas are those of the ShiftAddNAS cost model, with other prices and a smaller weight scratch pad: this
 * package's tiling search under those limits must give its figures to the last digit.
 */
import { countAccesses, priceAccesses } from '../accesses.js';
import type { LoopNest } from '../accesses.js';
import type { ArrayLimits, UnitPrices } from '../machine.js';
import { searchTiling } from '../tiling.js';
import type { Anchor } from './anchor.js';

/** All bounds are "less than" there but for the partial sums. */
const limits: ArrayLimits = {
  maxProcessingElements: 14 * 12 - 1,
  processingElementsBelow: true,
  maxInputWords: 11,
  maxWeightWords: 191,
  maxPartialSumWords: 16,
  maxGlobalBufferWords: 65535,
  thinnedAboveM0: undefined,
};

/** pJ per 16-bit access; maps pay the way between DRAM and buffer on top, weights do not. */
function prices(computePj: number): UnitPrices {
  const [dram, dramToBuffer, buffer, network, registers] = [0.3, 0.5, 0.5, 2, 2];
  return {
    computePj,
    inputDramPj: dram + dramToBuffer,
    inputGlobalBufferPj: buffer,
    inputNocPj: network,
    inputRegisterFilePj: registers,
    weightDramPj: dram,
    weightNocPj: network,
    weightRegisterFilePj: registers,
    outputDramPj: dram + dramToBuffer,
    outputGlobalBufferPj: buffer,
    outputNocPj: network,
    outputRegisterFilePj: registers,
    cyclePeriodNs: 4,
  };
}

interface Row {
  readonly name: string;
  readonly channels: number;
  readonly outChannels: number;
  readonly size: number;
  readonly kernel: number;
  /** Average pooling is priced as a convolution whose operations are free. */
  readonly computePj: number;
  readonly isMatrixProduct?: boolean;
  readonly energyMj: number;
  readonly energyBound: number;
  readonly latencyMs?: number;
}

const exact = 1e-9;
const rows: readonly Row[] = [
  {
    name: 'conv3x3 16@32',
    channels: 16,
    outChannels: 16,
    size: 32,
    kernel: 3,
    computePj: 1,
    energyMj: 0.0196631296,
    energyBound: exact,
    latencyMs: 0.098304,
  },
  {
    name: 'conv3x3 32@16',
    channels: 32,
    outChannels: 32,
    size: 16,
    kernel: 3,
    computePj: 1,
    energyMj: 0.019803648,
    energyBound: exact,
  },
  {
    name: 'conv3x3 64@8',
    channels: 64,
    outChannels: 64,
    size: 8,
    kernel: 3,
    computePj: 1,
    energyMj: 0.0201023488,
    energyBound: exact,
  },
  {
    name: 'conv3x3 16@16',
    channels: 16,
    outChannels: 16,
    size: 16,
    kernel: 3,
    computePj: 1,
    energyMj: 0.0049777408,
    energyBound: exact,
    latencyMs: 0.024576,
  },
  {
    name: 'conv1x1 16@32',
    channels: 16,
    outChannels: 16,
    size: 32,
    kernel: 1,
    computePj: 1,
    energyMj: 0.0017384192,
    energyBound: exact,
    latencyMs: 0.016384,
  },
  {
    name: 'avgpool3x3 16@32',
    channels: 16,
    outChannels: 16,
    size: 32,
    kernel: 3,
    computePj: 0,
    energyMj: 0.0173038336,
    energyBound: exact,
  },
  // Five digits are recorded of this one.
  {
    name: 'FC 64x10',
    channels: 64,
    outChannels: 10,
    size: 1,
    kernel: 1,
    computePj: 1,
    isMatrixProduct: true,
    energyMj: 6.1762e-6,
    energyBound: 1e-5,
  },
];

/** Energy and latency of NAS-Bench-201 operations. */
export function chipPredictorAnchors(): readonly Anchor[] {
  return rows.flatMap((row) => {
    const { channels, outChannels, size, kernel } = row;
    const nest: LoopNest = {
      N: 1,
      H: size,
      W: size,
      C: channels,
      R: kernel,
      M: outChannels,
      E: size,
      F: size,
      stride: 1,
      isMatrixProduct: row.isMatrixProduct === true,
    };
    const unit = prices(row.computePj);
    const found = searchTiling(nest, limits, unit, false);
    if (found === undefined) throw new Error(`no tiling for ${row.name}`);
    const cost = priceAccesses(countAccesses(nest, found.tiling), unit);
    const source = 'DNN-Chip-Predictor (ICASSP 2020), predictor_eyeriss_only, as run';
    const name = `DNN-Chip-Predictor ${row.name}`;
    return [
      {
        name: `${name}: energy`,
        source,
        ours: cost.energyMj,
        published: row.energyMj,
        unit: 'mJ',
        bound: row.energyBound,
      },
      ...(row.latencyMs === undefined
        ? []
        : [
            {
              name: `${name}: latency`,
              source,
              ours: cost.latencyMs,
              published: row.latencyMs,
              unit: 'ms',
              bound: exact,
            },
          ]),
    ];
  });
}
