/**
 * @file The energy study of Eyeriss (ISCA 2016, Fig. 10): AlexNet, batch 16, energy by level in multiplications.
 *
 * The published bars can be read to a digit or two; nn_dataflow's reproduction prints them in full and checks its
 * own result against them to 0.1 of 10^9. Each layer is evaluated under a schedule taken from its published DRAM
 * traffic (how often inputs and weights are fetched), written out as a mapping; the counts follow. So the DRAM figures
 * are no prediction. Energy in the buffer and in the array's network is shown without a bound, and is 6 to 11 times the
 * published sum of the two in convolutions: nn_dataflow lets a row stay in a register file that holds only a window
 * of it.
 */
import { Primitive, type LayerDescription } from '../layer.js';
import { evaluateMapping } from '../loopnest/evaluate.js';
import { loadMachine } from '../loopnest/machine.js';
import { parseMapping } from '../loopnest/mapping.js';
import { alexNetLayer } from './alexnet.js';
import type { Anchor } from './anchor.js';

interface Row {
  readonly name: string;
  readonly layer: LayerDescription;
  /** Equal halves that the layer is made of. */
  readonly halves: number;
  readonly mapping: string;
  /** 10^9 multiplications. */
  readonly alu: number;
  readonly dram: number;
  /** Published for convolutions only. */
  readonly buffer?: number;
  readonly array?: number;
  readonly registerFile: number;
  readonly total: number;
}

const batch = 16;
const fullyConnected = (
  name: string,
  inChannels: number,
  outChannels: number,
  kernel: number,
): LayerDescription => ({
  ...alexNetLayer({ name, batch, inChannels, outChannels, out: 1, kernel, stride: 1 }),
  inHeight: kernel,
  inWidth: kernel,
  primitive: Primitive.Multiply,
});

const rows: readonly Row[] = [
  {
    name: 'conv1',
    layer: alexNetLayer({
      name: 'conv1',
      batch,
      inChannels: 3,
      outChannels: 48,
      out: 55,
      kernel: 11,
      stride: 4,
    }),
    halves: 2,
    mapping: 'DRAM: N16 P4 M3 | global_buffer: M4 Q55 | array: P14X R11Y | register_file: M4 C3 S11',
    alu: 1.687,
    dram: 2.456,
    buffer: 0.074,
    array: 0.193,
    registerFile: 6.747,
    total: 11.156,
  },
  {
    name: 'conv2',
    layer: alexNetLayer({
      name: 'conv2',
      batch,
      inChannels: 48,
      outChannels: 128,
      out: 27,
      kernel: 5,
      stride: 1,
    }),
    halves: 2,
    mapping: 'DRAM: N8 M4 C8 | global_buffer: C2 M4 N2 Q27 | array: P9X P3Y R5Y | register_file: M8 C3 S5',
    alu: 3.583,
    dram: 2.27,
    buffer: 0.068,
    array: 0.214,
    registerFile: 14.333,
    total: 20.468,
  },
  {
    name: 'conv3',
    layer: alexNetLayer({
      name: 'conv3',
      batch,
      inChannels: 256,
      outChannels: 192,
      out: 13,
      kernel: 3,
      stride: 1,
    }),
    halves: 2,
    mapping:
      'DRAM: N4 M3 C32 | global_buffer: M2 N4 Q13 | array: P13X M2Y C2Y R3Y | register_file: M16 C4 S3',
    alu: 2.392,
    dram: 2.021,
    buffer: 0.061,
    array: 0.242,
    registerFile: 9.569,
    total: 14.286,
  },
  {
    name: 'conv4',
    layer: alexNetLayer({
      name: 'conv4',
      batch,
      inChannels: 192,
      outChannels: 192,
      out: 13,
      kernel: 3,
      stride: 1,
    }),
    halves: 2,
    mapping: 'DRAM: N4 M3 C16 | global_buffer: M4 N4 Q13 | array: P13X M2Y C2Y R3Y | register_file: M8 C6 S3',
    alu: 1.794,
    dram: 1.568,
    buffer: 0.047,
    array: 0.183,
    registerFile: 7.177,
    total: 10.769,
  },
  {
    name: 'conv5',
    layer: alexNetLayer({
      name: 'conv5',
      batch,
      inChannels: 192,
      outChannels: 128,
      out: 13,
      kernel: 3,
      stride: 1,
    }),
    halves: 2,
    mapping: 'DRAM: N4 M2 C16 | global_buffer: M4 N4 Q13 | array: P13X M2Y C2Y R3Y | register_file: M8 C6 S3',
    alu: 1.196,
    dram: 1.045,
    buffer: 0.031,
    array: 0.122,
    registerFile: 4.785,
    total: 7.18,
  },
  {
    name: 'fc1',
    layer: fullyConnected('fc1', 256, 4096, 6),
    halves: 1,
    mapping: 'DRAM: M8 C128 | global_buffer: M8 | array: M16X C2Y R6Y | register_file: N16 M4 S6',
    alu: 0.604,
    dram: 7.799,
    registerFile: 2.416,
    total: 11.504,
  },
  {
    name: 'fc2',
    layer: fullyConnected('fc2', 4096, 4096, 1),
    halves: 1,
    mapping: 'DRAM: M2 C1024 | global_buffer: C4 | array: M16X M16Y | register_file: M8 N16',
    alu: 0.268,
    dram: 3.395,
    registerFile: 1.074,
    total: 4.94,
  },
  {
    name: 'fc3',
    layer: fullyConnected('fc3', 4096, 1000, 1),
    halves: 1,
    mapping: 'DRAM: C512 | global_buffer: C8 | array: M10X M10Y | register_file: M10 N16',
    alu: 0.066,
    dram: 0.836,
    registerFile: 0.262,
    total: 1.213,
  },
];

const source = 'Eyeriss (ISCA 2016) Fig. 10 as printed by nn_dataflow (stanford-mast/nn_dataflow)';
/** Allowed distance in 10^9 multiplications, and as a share of small figures. */
const allowed = 0.1;
const unlike = 'buffer and array are counted differently there';

/** Energy of arithmetic and of every level of each layer, and the sum. */
export function eyerissEnergyAnchors(): readonly Anchor[] {
  const machine = loadMachine('eyeriss-isca16');
  return rows.flatMap((row) => {
    const cost = evaluateMapping(row.layer, machine, parseMapping(row.mapping, machine));
    const giga = (energy: number): number => (energy * row.halves) / 1e9;
    const level = (name: string): number => cost.levels.find((known) => known.name === name)!.energyPj;
    const name = `Eyeriss Fig. 10 ${row.name}`;
    const bounded = (part: string, ours: number, published: number): Anchor => ({
      name: `${name}: ${part}`,
      source,
      ours: giga(ours),
      published,
      unit: '1e9 op',
      bound: Math.min(allowed, allowed / published),
    });
    const shown = (part: string, ours: number, published: number | undefined): readonly Anchor[] =>
      published === undefined
        ? []
        : [{ name: `${name}: ${part}`, source, ours: giga(ours), published, unit: '1e9 op', note: unlike }];
    return [
      bounded('ALU', cost.arithmeticPj, row.alu),
      bounded('DRAM', level('DRAM'), row.dram),
      ...shown('buffer', level('global_buffer'), row.buffer),
      ...shown('array', level('array'), row.array),
      bounded('RF', level('register_file'), row.registerFile),
      ...shown('sum', cost.energyPj, row.total),
    ];
  });
}
