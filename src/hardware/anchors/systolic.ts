/**
 * @file SCALE-Sim v2's own regression runs: cycles without stalls, exact.
 */
import { Primitive, type LayerDescription } from '../layer.js';
import { SystolicDataflow, systolicCycles, systolicProduct } from '../systolic/systolic.js';
import type { Anchor } from './anchor.js';

const alexNetConv1: LayerDescription = {
  name: 'AlexNet conv1',
  primitive: Primitive.Multiply,
  fullyConnected: false,
  batch: 1,
  inHeight: 227,
  inWidth: 227,
  inChannels: 3,
  kernel: 11,
  outHeight: 55,
  outWidth: 55,
  outChannels: 96,
  stride: 4,
  groups: 1,
  operandBits: { weight: 8, activation: 8, partialSum: 8 },
};
const array = { rows: 32, columns: 32 };
/** Largest relative deviation of a figure printed in full. */
const exact = 0;

/** The golden traces of SCALE-Sim v2 on a 32 x 32 array. */
export function systolicAnchors(): readonly Anchor[] {
  const conv = systolicCycles(alexNetConv1, array, SystolicDataflow.Weights);
  const source = 'SCALE-Sim v2, test/golden_trace';
  const name = 'SCALE-Sim AlexNet conv1, 32x32 weight stationary';
  const anchors: Anchor[] = [
    { name: `${name}: cycles`, source, ours: conv.cycles, published: 112283, unit: 'cycles', bound: exact },
    {
      name: `${name}: utilisation`,
      source,
      ours: 100 * conv.utilisation,
      published: 91.68309650614964,
      unit: '%',
      bound: 1e-4,
    },
    {
      name: `${name}: input reads`,
      source,
      ours: conv.inputReads,
      published: 3294225,
      unit: 'words',
      bound: exact,
    },
    {
      name: `${name}: weight reads`,
      source,
      ours: conv.weightReads,
      published: 34848,
      unit: 'words',
      bound: exact,
    },
    {
      name: `${name}: output writes`,
      source,
      ours: conv.outputWrites,
      published: 3484800,
      unit: 'words',
      bound: exact,
    },
  ];
  const product = { rows: 256, depth: 256, columns: 128, groups: 1 };
  // Total minus stall cycles of each report.
  for (const [dataflow, published] of [
    [SystolicDataflow.Outputs, 52447 - 42272],
    [SystolicDataflow.Weights, 52447 - 41248],
    [SystolicDataflow.Inputs, 19984 - 5777],
  ] as const)
    anchors.push({
      name: `SCALE-Sim 256x256x128 product, 32x32 ${dataflow} stationary: cycles`,
      source: 'SCALE-Sim v2, test/general/golden_trace_user_{os,ws,is}: total minus stall cycles',
      ours: systolicProduct(product, array, dataflow).cycles,
      published,
      unit: 'cycles',
      bound: exact,
    });
  return anchors;
}
