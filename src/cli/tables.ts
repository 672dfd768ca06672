/**
 * @file Tables and the picture of an architecture on the terminal. Every figure stands beside its unit and profile.
 */
import Table from 'cli-table3';
import type { NetworkCost } from '../hardware/index.js';
import { familyNamed } from '../operators/registry.js';
import type { NetworkResult, RunResult } from '../pipeline/run/result.js';
import { standInNotes } from '../pipeline/search/stand-ins.js';
import { Quantity } from '../search/costs.js';
import type {
  Architecture,
  BlockDescription,
  ClassifierDescription,
  StemDescription,
} from '../spaces/architecture.js';
import { strideLabel } from '../spaces/blocks/contract.js';
import { fixedFamily } from '../spaces/blocks/ends.js';
import { ruleOf } from '../spaces/blocks/registry.js';
import { tilingText } from '../report/cost-page.js';
import { bytes, count, percent, significant } from './format.js';

/** A table of right-aligned figures behind a left-aligned first column. */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  // Names come from files, and a control character would move the cursor of the terminal.
  for (const row of rows) table.push(row.map((cell) => cell.replace(/(?!\n)\p{Cc}/gu, '\ufffd')));
  return table.toString();
}

/** All networks of a run, each trained under the same schedule; under it where a baseline is not what its name says. */
export function comparisonTable(result: RunResult): string {
  return [networksTable(result), ...standInNotes(result)].join('\n');
}

function networksTable(result: RunResult): string {
  const { networks, profile, profiles } = result;
  const withArea = result.budget.some(({ quantity }) => quantity === Quantity.Area);
  const withMemory = networks.every(({ sramBytes }) => sramBytes !== undefined);
  return textTable(
    [
      'network',
      networks.some(({ seeds }) => seeds !== undefined) ? 'test accuracy\nmean ± sd' : 'test\naccuracy',
      ...profiles.map((name) => `energy mJ\n${name}`),
      `latency ms\n${profile}`,
      ...(result.latencyTable === undefined ? [] : ['latency ms\nmeasured']),
      'operations',
      'parameters',
      ...(withArea ? ['area mm2'] : []),
      ...(withMemory ? ['SRAM', 'flash'] : []),
      'in\nbudget',
    ],
    networks.map((network) => [
      network.name,
      accuracyText(network),
      ...profiles.map((name) => significant(network.energyMj[name] as number)),
      significant(network.latencyMs[profile] as number),
      ...(result.latencyTable === undefined ? [] : [significant(network.tableLatencyMs as number)]),
      count(network.macs),
      count(network.params),
      ...(withArea ? [significant(network.areaMm2 ?? Number.NaN)] : []),
      ...(withMemory ? [bytes(network.sramBytes as number), bytes(network.flashBytes as number)] : []),
      network.withinBudget ? 'yes' : 'no',
    ]),
  );
}

/** `91.20 %`; with several seeds their mean and standard deviation, `91.05 ± 0.21 %`. */
export function accuracyText({
  testAccuracy,
  meanTestAccuracy,
  testAccuracyDeviation,
}: Pick<NetworkResult, 'testAccuracy' | 'meanTestAccuracy' | 'testAccuracyDeviation'>): string {
  if (meanTestAccuracy === undefined || testAccuracyDeviation === undefined) return percent(testAccuracy);
  return `${(100 * meanTestAccuracy).toFixed(2)} ± ${(100 * testAccuracyDeviation).toFixed(2)} %`;
}

/** One line per stage: `stage 1   32 channels, 7x7   [conv 32] [add 16]`. */
export function architecturePicture(architecture: Architecture): string {
  const { input, stem, blocks, classes, classifier } = architecture;
  const stages = new Map<number, BlockDescription[]>();
  for (const block of blocks) stages.set(block.stage, [...(stages.get(block.stage) ?? []), block]);
  const lines = [
    ['input', `${input.height}x${input.width}x${input.channels}`, ''],
    ...(stem === null ? [] : [['stem', `${stem.channels} channels`, stemPicture(stem)] as const]),
    ...[...stages].map(([stage, members]) => [
      `stage ${stage}`,
      `${members[0]?.outChannels ?? 0} channels`,
      members.map(blockPicture).join(' '),
    ]),
    ['classifier', `${classes} classes`, classifierPicture(classifier)],
  ] as const;
  return lines
    .map(([name, size, picture]) => `${name.padEnd(11)} ${size.padEnd(13)} ${picture}`.trimEnd())
    .join('\n');
}

function stemPicture({ stride, family = fixedFamily }: StemDescription): string {
  return `[${familyNamed(family).shortName}${strideLabel({ stride })}]`;
}

function classifierPicture({ family }: ClassifierDescription = {}): string {
  return family === undefined || family === fixedFamily ? '[linear]' : `[${familyNamed(family).shortName}]`;
}

function blockPicture(block: BlockDescription): string {
  if (block.family === undefined) return `[${block.kind}]`;
  return `[${[familyNamed(block.family).shortName, ruleOf(block).label(block)].join(' ').trimEnd()}]`;
}

/** Layer by layer, with the energy by memory level, and the totals below. */
export function layerTable(
  cost: Pick<NetworkCost, 'layers' | 'operations' | 'energyMj' | 'latencyMs' | 'byLevel'>,
  missing = 0,
): string {
  const row = (
    name: string,
    primitive: string,
    { operations, energyMj, latencyMs, byLevel }: Omit<typeof cost, 'layers'>,
  ): string[] => [
    name,
    primitive,
    count(operations),
    significant(energyMj),
    significant(latencyMs),
    ...[byLevel.computeMj, byLevel.dramMj, byLevel.globalBufferMj, byLevel.nocMj, byLevel.registerFileMj].map(
      significant,
    ),
  ];
  return textTable(
    [
      'layer',
      'primitive',
      'operations',
      'energy mJ',
      'latency ms',
      'compute',
      'DRAM',
      'buffer',
      'NoC',
      'registers',
    ],
    [
      ...cost.layers.map((layer) => row(layer.name, layer.primitive, layer)),
      row(totalName(missing), '', cost),
    ],
  );
}

/** What stands before a total that lacks layers. */
export function totalName(missing: number): string {
  return missing === 0 ? 'total' : `total without ${missing} layer${missing === 1 ? '' : 's'}`;
}

/** Layer by layer, the memory energy by operand and the tiling, and the totals below. */
export function operandTable(cost: Pick<NetworkCost, 'layers' | 'byOperand'>): string {
  const split = ({ byOperand }: Pick<NetworkCost, 'byOperand'>): string[] =>
    [byOperand.inputMj, byOperand.weightMj, byOperand.outputMj].map(significant);
  return textTable(
    ['memory mJ by operand', 'inputs', 'weights', 'outputs', 'tiling'],
    [
      ...cost.layers.map((layer) => [layer.name, ...split(layer), tilingText(layer.tiling)]),
      ['total', ...split(cost), ''],
    ],
  );
}

/** The same network under several profiles, one line each. */
export function profilesTable(costs: readonly NetworkCost[]): string {
  return textTable(
    ['profile', 'operations', 'energy mJ', 'latency ms'],
    costs.map(({ profile, operations, energyMj, latencyMs }) => [
      ...[profile, count(operations), significant(energyMj), significant(latencyMs)],
    ]),
  );
}

/** Energy and latency of one network under each profile. */
export function costLines(costs: {
  readonly energyMj: Readonly<Record<string, number>>;
  readonly latencyMs: Readonly<Record<string, number>>;
  readonly macs: number;
  readonly params: number;
}): string {
  return [
    `operations ${count(costs.macs)}, parameters ${count(costs.params)}`,
    ...Object.entries(costs.energyMj).map(
      ([profile, energyMj]) =>
        `under ${profile}: energy ${significant(energyMj)} mJ, latency ${significant(costs.latencyMs[profile] as number)} ms`,
    ),
  ].join('\n');
}

/** Layer by layer what a machine needs, predicted latencies marked, and the sums. */
export function latencyTable(measured: {
  readonly machine: string;
  readonly layers: readonly {
    readonly name: string;
    readonly latencyMs: number;
    readonly predicted: boolean;
  }[];
  readonly others: readonly { readonly latencyMs: number; readonly predicted: boolean }[];
}): string {
  const { machine, layers, others } = measured;
  const sum = (of: readonly { readonly latencyMs: number }[]): number =>
    of.reduce((total, { latencyMs }) => total + latencyMs, 0);
  const predictions = [...layers, ...others].filter(({ predicted }) => predicted).length;
  return [
    textTable(
      ['on this machine', 'latency ms', ''],
      [
        ...layers.map(({ name, latencyMs, predicted }) => [
          ...[name, significant(latencyMs), predicted ? 'predicted' : 'measured'],
        ]),
        ...(others.length === 0 ? [] : [['joins and pooling', significant(sum(others)), '']]),
        ['total', significant(sum(layers) + sum(others)), `${predictions} predicted`],
      ],
    ),
    `measured on ${machine}`,
  ].join('\n');
}
