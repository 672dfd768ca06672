/**
 * @file The measured Eyeriss chip: AlexNet (JSSC 2017 table V, batch 4) and VGG-16 (table VI, batch 3).
 *
 * AlexNet is evaluated under the mapping that the published active elements and buffer traffic imply; time, power
 * and traffic follow. Power is the energy on the chip over our own time, zeros among the inputs skipped; one constant of
 * it (clock network and leakage) is calibrated on CONV1, which therefore has no bound.
 *
 * VGG-16 takes 1.17 to 4.9 times the time of its operations, which analytic models of row stationary do not show. The
 * table's own buffer traffic does: divided by the processing time it is 14.8 to 15.3 bytes a cycle in all of the
 * first ten layers, whatever their width, and less in the last three and in AlexNet. Sixteen bytes are what the two
 * 64-bit buses for partial sums carry, four words in and four out. Per operation the traffic is about what it is when the array adds
 * up 1, 1, 2, 4, 8 input channels before the sums go back to the buffer (maps of 224, 112, 56, 28, 14). So wide layers
 * wait for partial sums, not for arithmetic. Even the 156 active elements of the first seven layers come from there: sums of
 * 16, 32 or 64 channels over 14 rows of 224, 112 or 56 would fill all 25 banks of the buffer and leave none for inputs; 13 rows leave
 * two. Why the chip adds up no more channels at a time at 112 and 56 is not published; our mapper finds mappings
 * of the same machine that add up eight, which the rows of processing time show. None of these rows has a bound: one side
 * follows from the traffic of the other.
 */
import type { LayerDescription } from '../layer.js';
import { loadMachine } from '../loopnest/machine.js';
import { searchMapping } from '../loopnest/search.js';
import { evaluateMapping, type MappingCost } from '../loopnest/evaluate.js';
import { parseMapping } from '../loopnest/mapping.js';
import { Tensor } from '../loopnest/problem.js';
import { alexNetLayer } from './alexnet.js';
import type { Anchor } from './anchor.js';

interface AlexNetRow {
  readonly name: string;
  readonly layer: LayerDescription;
  /** Equal halves that the layer is made of. */
  readonly halves: number;
  readonly mapping: string;
  readonly inputZeros: number;
  readonly processingMs: number;
  readonly activeElements: number;
  readonly powerMw: number;
  readonly bufferMb: number;
}

const convolution = (
  name: string,
  batch: number,
  inChannels: number,
  outChannels: number,
  out: number,
  kernel: number,
  stride = 1,
): LayerDescription => alexNetLayer({ name, batch, inChannels, outChannels, out, kernel, stride });

const alexNetRows: readonly AlexNetRow[] = [
  {
    name: 'CONV1',
    layer: convolution('CONV1', 4, 3, 96, 55, 11, 4),
    halves: 1,
    mapping:
      'DRAM: N4 P8 C3 | global_buffer: M3 Q55 | array: M2X P7X R11Y | weights_spad: S11 | psum_spad: M16',
    inputZeros: 0.0001,
    processingMs: 16.5,
    activeElements: 154,
    powerMw: 332,
    bufferMb: 18.5,
  },
  {
    name: 'CONV2',
    layer: convolution('CONV2', 4, 48, 128, 27, 5),
    halves: 2,
    mapping:
      'DRAM: M2 N4 C24 | global_buffer: M4 Q27 | array: P14X P2Y R5Y | weights_spad: C2 S5 | psum_spad: M16',
    inputZeros: 0.387,
    processingMs: 39.2,
    activeElements: 135,
    powerMw: 288,
    bufferMb: 77.6,
  },
  {
    name: 'CONV3',
    layer: convolution('CONV3', 4, 256, 384, 13, 3),
    halves: 1,
    mapping:
      'DRAM: M6 C43 | global_buffer: M2 N4 Q13 | array: P13X M2Y C2Y R3Y | weights_spad: C3 S3 | psum_spad: M16',
    inputZeros: 0.725,
    processingMs: 21.8,
    activeElements: 156,
    powerMw: 266,
    bufferMb: 50.2,
  },
  {
    name: 'CONV4',
    layer: convolution('CONV4', 4, 192, 192, 13, 3),
    halves: 2,
    mapping:
      'DRAM: M3 C32 | global_buffer: M2 N4 Q13 | array: P13X M2Y C2Y R3Y | weights_spad: C3 S3 | psum_spad: M16',
    inputZeros: 0.793,
    processingMs: 16,
    activeElements: 156,
    powerMw: 235,
    bufferMb: 37.4,
  },
  {
    name: 'CONV5',
    layer: convolution('CONV5', 4, 192, 128, 13, 3),
    halves: 2,
    mapping:
      'DRAM: M2 C32 | global_buffer: M2 N4 Q13 | array: P13X M2Y C2Y R3Y | weights_spad: C3 S3 | psum_spad: M16',
    inputZeros: 0.776,
    processingMs: 10,
    activeElements: 156,
    powerMw: 236,
    bufferMb: 24.9,
  },
];

interface VggRow {
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly size: number;
  readonly processingMs: number;
  readonly activeElements: number;
  readonly bufferMb: number;
}

const vggRows: readonly VggRow[] = (
  [
    ['CONV1-1', 3, 64, 224, 38.0, 156, 112.6],
    ['CONV1-2', 64, 64, 224, 810.6, 156, 2402.8],
    ['CONV2-1', 64, 128, 112, 405.3, 156, 1201.4],
    ['CONV2-2', 128, 128, 112, 810.8, 156, 2402.8],
    ['CONV3-1', 128, 256, 56, 204.0, 156, 607.4],
    ['CONV3-2', 256, 256, 56, 408.1, 156, 1214.8],
    ['CONV3-3', 256, 256, 56, 408.1, 156, 1214.8],
    ['CONV4-1', 256, 512, 28, 105.1, 168, 321.8],
    ['CONV4-2', 512, 512, 28, 210.0, 168, 643.7],
    ['CONV4-3', 512, 512, 28, 210.0, 168, 643.7],
    ['CONV5-1', 512, 512, 14, 48.3, 168, 90.0],
    ['CONV5-2', 512, 512, 14, 48.5, 168, 90.0],
    ['CONV5-3', 512, 512, 14, 48.5, 168, 90.0],
  ] as const
).map(([name, inChannels, outChannels, size, processingMs, activeElements, bufferMb]) => ({
  name,
  inChannels,
  outChannels,
  size,
  processingMs,
  activeElements,
  bufferMb,
}));

const clockHz = 200e6;
const bytesPerWord = 2;
/** Two buses of 64 bit for partial sums, one each way. */
const partialSumBytesPerCycle = 16;
const chipBound = 0.2;
const bufferBound = 0.05;

/** AlexNet on the chip: processing time, active elements, power, buffer traffic. */
export function eyerissAlexNetAnchors(): readonly Anchor[] {
  const machine = loadMachine('eyeriss-chip');
  const source = 'Eyeriss chip (JSSC 2017) table V, AlexNet batch 4';
  return alexNetRows.flatMap((row) => {
    const options = { inputZeros: row.inputZeros };
    const cost = evaluateMapping(row.layer, machine, parseMapping(row.mapping, machine), options);
    const found = searchMapping(row.layer, machine, options).cost;
    const seconds = cost.cycles.steady / clockHz;
    const name = `Eyeriss chip AlexNet ${row.name}`;
    const isCalibrated = row.name === 'CONV1';
    return [
      {
        name: `${name}: processing time`,
        source,
        ours: seconds * row.halves * 1e3,
        published: row.processingMs,
        unit: 'ms',
        bound: chipBound,
        note:
          found.mappingText === cost.mappingText
            ? `our mapper finds this mapping: ${cost.mappingText}`
            : `mapping ${cost.mappingText}; our mapper finds ${found.mappingText} (${((found.cycles.steady / clockHz) * row.halves * 1e3).toFixed(1)} ms)`,
      },
      {
        name: `${name}: active elements`,
        source,
        ours: cost.activeUnits,
        published: row.activeElements,
        unit: '',
        bound: chipBound,
      },
      {
        name: `${name}: power`,
        source,
        ours: (onChipPj(cost) * 1e-9) / seconds,
        published: row.powerMw,
        unit: 'mW',
        ...(isCalibrated ? { note: 'static power is calibrated on this row' } : { bound: chipBound }),
      },
      {
        name: `${name}: buffer traffic`,
        source,
        ours: bufferMb(cost) * row.halves,
        published: row.bufferMb,
        unit: 'MB',
        bound: bufferBound,
      },
    ];
  });
}

/** VGG-16 on the chip: time from the published traffic, and time under our mapper's mapping. */
export function eyerissVggAnchors(): readonly Anchor[] {
  const machine = loadMachine('eyeriss-chip');
  const source = 'Eyeriss chip (JSSC 2017) table VI, VGG-16 batch 3';
  return vggRows.flatMap((row) => {
    const layer = convolution(row.name, 3, row.inChannels, row.outChannels, row.size, 3);
    const { cost } = searchMapping(layer, machine);
    const arithmeticMs = (cost.operations / row.activeElements / clockHz) * 1e3;
    const trafficMs = ((row.bufferMb * 1e6) / partialSumBytesPerCycle / clockHz) * 1e3;
    const name = `Eyeriss chip VGG-16 ${row.name}`;
    const ratio = row.processingMs / ((cost.operations / cost.units / clockHz) * 1e3);
    return [
      {
        name: `${name}: time from its buffer traffic`,
        source,
        ours: Math.max(arithmeticMs, trafficMs),
        published: row.processingMs,
        unit: 'ms',
        note: `chip over operations on all elements ${ratio.toFixed(2)}; ${trafficMs > arithmeticMs ? 'bound by partial sums at 16 bytes a cycle' : 'bound by arithmetic'}`,
      },
      {
        name: `${name}: processing time`,
        source,
        ours: (cost.cycles.steady / clockHz) * 1e3,
        published: row.processingMs,
        unit: 'ms',
        note: `our mapper's mapping, ${bufferMb(cost).toFixed(0)} MB of buffer traffic where the chip has ${row.bufferMb}: ${cost.mappingText}`,
      },
    ];
  });
}

function onChipPj(cost: MappingCost): number {
  return cost.energyPj - cost.levels[0]!.energyPj;
}

/** Words between the buffer and the array, as the table counts them: inputs out, partial sums in and out. */
function bufferMb(cost: MappingCost): number {
  const buffer = cost.levels.find(({ name }) => name === 'global_buffer')!;
  const words = buffer.tensors.reduce(
    (sum, { tensor, reads, updates }) => sum + reads + (tensor === Tensor.Outputs ? updates : 0),
    0,
  );
  return (words * bytesPerWord) / 1e6;
}
