/**
 * @file Timeloop's four reference designs under their own mappings: cycles and accesses exact, energies within 1 %.
 */
import { Primitive, type LayerDescription } from '../layer.js';
import { evaluateMapping, type MappingCost } from '../loopnest/evaluate.js';
import { loadMachine, type BuiltInMachineName } from '../loopnest/machine.js';
import { parseMapping } from '../loopnest/mapping.js';
import { Tensor } from '../loopnest/problem.js';
import type { Anchor } from './anchor.js';

/** The default problem of the exercises. */
export const timeloopLayer: LayerDescription = {
  name: '3x3 stride 2, 3 to 32 channels',
  primitive: Primitive.Multiply,
  fullyConnected: false,
  batch: 1,
  inHeight: 224,
  inWidth: 224,
  inChannels: 3,
  kernel: 3,
  outHeight: 112,
  outWidth: 112,
  outChannels: 32,
  stride: 2,
  groups: 1,
  operandBits: { weight: 8, activation: 8, partialSum: 16 },
};

/** Reads, fills and updates of one tensor per instance. */
type Accesses = readonly [level: string, tensor: Tensor, reads: number, fills: number, updates: number];

interface Reference {
  readonly machine: BuiltInMachineName;
  readonly mapping: string;
  readonly cycles: number;
  readonly energyMicroJ: number;
  /** fJ per operation by level; `mac` is the arithmetic. */
  readonly energyFj: Readonly<Record<string, number>>;
  readonly accesses: readonly Accesses[];
}

const { Weights, Inputs, Outputs } = Tensor;

/** Transcribed from timeloop-mapper.map.txt and timeloop-mapper.stats.txt of each design. */
const references: readonly Reference[] = [
  {
    machine: 'timeloop-eyeriss-like',
    mapping:
      'DRAM: P8 Q2 M4 | shared_glb: P14 Q4 | inter_PE_column_spatial: Q14X | inter_PE_spatial: C3Y S3Y | weights_spad: R3 | psum_spad: M8',
    cycles: 86016,
    energyMicroJ: 59.28,
    energyFj: {
      mac: 207.69,
      psum_spad: 386.77,
      weights_spad: 1006.69,
      ifmap_spad: 112.37,
      shared_glb: 375.27,
      DRAM: 3380.86,
    },
    accesses: [
      ['psum_spad', Outputs, 57344, 0, 86016],
      ['weights_spad', Weights, 86016, 1536, 0],
      ['ifmap_spad', Inputs, 86016, 10752, 0],
      ['shared_glb', Inputs, 1354752, 157296, 0],
      ['shared_glb', Outputs, 0, 0, 401408],
      ['DRAM', Weights, 13824, 0, 0],
      ['DRAM', Inputs, 157296, 0, 0],
      ['DRAM', Outputs, 0, 0, 401408],
    ],
  },
  {
    machine: 'timeloop-simple-output-stationary',
    mapping:
      'DRAM: P2 Q8 M2 | shared_glb: Q14 R3 | inter_PE_spatial: M16Y | pe_spad: C3 P4 S3 | weight_reg: P14',
    cycles: 677376,
    energyMicroJ: 118.46,
    energyFj: {
      mac: 315,
      output_activation_reg: 138.67,
      input_activation_reg: 144,
      weight_reg: 144,
      pe_spad: 2238.89,
      shared_glb: 1187.66,
      DRAM: 6761.72,
    },
    accesses: [
      ['output_activation_reg', Outputs, 652288, 652288, 677376],
      ['input_activation_reg', Inputs, 677376, 677376, 0],
      ['weight_reg', Weights, 677376, 48384, 0],
      ['pe_spad', Outputs, 652288, 0, 677376],
      ['shared_glb', Weights, 774144, 13824, 0],
      ['shared_glb', Inputs, 677376, 157296, 0],
      ['DRAM', Weights, 13824, 0, 0],
      ['DRAM', Inputs, 157296, 0, 0],
      ['DRAM', Outputs, 0, 0, 401408],
    ],
  },
  {
    machine: 'timeloop-simple-weight-stationary',
    mapping:
      'DRAM: Q14 | shared_glb: S3 P2 M8 | inter_PE_spatial: M4Y C3Y | pe_spad: R3 Q2 P2 | weight_reg: P28 Q4',
    cycles: 903168,
    energyMicroJ: 151.67,
    energyFj: {
      mac: 315,
      output_activation_reg: 128,
      input_activation_reg: 144,
      weight_reg: 144,
      pe_spad: 6.22,
      shared_glb: 6712.38,
      DRAM: 6544.64,
    },
    accesses: [
      ['output_activation_reg', Outputs, 802816, 802816, 903168],
      ['input_activation_reg', Inputs, 903168, 903168, 0],
      ['weight_reg', Weights, 903168, 2016, 0],
      ['pe_spad', Weights, 2016, 2016, 0],
      ['shared_glb', Weights, 24192, 864, 0],
      ['shared_glb', Inputs, 2709504, 151875, 0],
      ['shared_glb', Outputs, 3211264, 0, 3612672],
      ['DRAM', Weights, 864, 0, 0],
      ['DRAM', Inputs, 151875, 0, 0],
      ['DRAM', Outputs, 0, 0, 401408],
    ],
  },
  {
    machine: 'timeloop-simba-like',
    mapping:
      'DRAM: Q28 | GlobalBuffer: P4 | inter_PE_spatial: C3X M4X | PEInputBuffer: Q4 | inter_distributed_buffers_spatial: M4Y | PEWeightBuffer: R3 P4 S3 | PEAccuBuffer: M2 P7',
    cycles: 225792,
    energyMicroJ: 239.15,
    energyFj: {
      mac: 315,
      PEWeightRegs: 22.78,
      PEAccuBuffer: 6264.98,
      PEWeightBuffer: 2273.35,
      PEInputBuffer: 9512.16,
      GlobalBuffer: 404.87,
      DRAM: 3272.35,
    },
    accesses: [
      ['PEWeightRegs', Weights, 225792, 32256, 0],
      ['PEAccuBuffer', Outputs, 200704, 50176, 225792],
      ['PEWeightBuffer', Weights, 32256, 18, 0],
      ['PEInputBuffer', Inputs, 225792, 56700, 0],
      ['GlobalBuffer', Inputs, 170100, 151875, 0],
      ['GlobalBuffer', Outputs, 802816, 0, 1204224],
      ['DRAM', Weights, 864, 0, 0],
      ['DRAM', Inputs, 151875, 0, 0],
      ['DRAM', Outputs, 0, 0, 401408],
    ],
  },
];

const source = 'Timeloop/Accelergy exercises, example_designs/*/ref_outputs/default_problem';

/** Each design's cycles, its accesses, its energy and that of every level. */
export function timeloopAnchors(): readonly Anchor[] {
  return references.flatMap((reference) => {
    const machine = loadMachine(reference.machine);
    const cost = evaluateMapping(timeloopLayer, machine, parseMapping(reference.mapping, machine));
    const name = `Timeloop ${reference.machine.slice('timeloop-'.length)}`;
    const perOperation = (pj: number): number => (1000 * pj) / cost.operations;
    return [
      {
        name: `${name}: cycles`,
        source,
        ours: cost.cycles.steady,
        published: reference.cycles,
        unit: 'cycles',
        bound: 0,
      },
      ...reference.accesses.flatMap((accesses) => accessAnchors(name, cost, accesses)),
      ...Object.entries(reference.energyFj).map(([level, published]) => ({
        name: `${name}: ${level}`,
        source,
        ours: perOperation(
          level === 'mac' ? cost.arithmeticPj : cost.levels.find((known) => known.name === level)!.energyPj,
        ),
        published,
        unit: 'fJ/op',
        bound: 0.01,
      })),
      {
        name: `${name}: energy`,
        source,
        ours: cost.energyPj / 1e6,
        published: reference.energyMicroJ,
        unit: 'uJ',
        bound: 0.01,
      },
    ];
  });
}

function accessAnchors(
  name: string,
  cost: MappingCost,
  [level, tensor, reads, fills, updates]: Accesses,
): Anchor[] {
  const ours = cost.levels
    .find((known) => known.name === level)!
    .tensors.find((known) => known.tensor === tensor)!;
  return Object.entries({ reads, fills, updates }).flatMap(([kind, published]) =>
    published === 0 && ours[kind as 'reads'] === 0
      ? []
      : [
          {
            name: `${name}: ${level} ${tensor} ${kind}`,
            source,
            ours: ours[kind as 'reads'],
            published,
            unit: 'words',
            bound: 0,
          },
        ],
  );
}
