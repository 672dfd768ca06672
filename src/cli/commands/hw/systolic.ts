/**
 * @file `shiftaddnas hw systolic`: cycles and buffer accesses on a systolic array, in closed form.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { UserError } from '../../../base/errors.js';
import {
  SystolicDataflow,
  systolicCycles,
  type SystolicArray,
  type SystolicCost,
} from '../../../hardware/systolic/systolic.js';
import { count, percent } from '../../format.js';
import { examples } from '../../options.js';
import { textTable, totalName } from '../../tables.js';
import { addSourceOptions, gatherLayers, type LayerFlags } from './layers.js';

interface SystolicFlags extends LayerFlags {
  readonly array: SystolicArray;
  readonly dataflow: SystolicDataflow;
  readonly json?: boolean;
}

type LayerCycles = SystolicCost & { readonly layer: string };

const refusedLayersExitCode = 2;

export function addSystolicCommand(hw: Command): void {
  addSourceOptions(
    hw
      .command('systolic')
      .description('Count the cycles and buffer accesses of layers on a systolic array, in closed form.'),
    true,
  )
    .option('--array <rowsxcolumns>', 'elements, as in 32x32', arraySize, { rows: 32, columns: 32 })
    .addOption(
      new Option('--dataflow <kind>', 'what stays in the elements')
        .choices(Object.values(SystolicDataflow))
        .default(SystolicDataflow.Weights),
    )
    .option('--json', 'print the figures as one JSON object')
    .addHelpText(
      'after',
      `\nCycles are those of SCALE-Sim v2 without stalls, its last cycle counted from 0; a total of several layers adds
the one that this leaves out of each. Accesses are words of the input, weight and output buffers, whatever the width.
The elements are taken to do what the layer needs: to multiply, shift or add. A layer that has no count is named on
stderr, and the exit code is 2.\n${examples(
        'shiftaddnas hw systolic --layer C=3,M=96,R=11,stride=4,H=227,E=55,F=55',
        'shiftaddnas hw systolic --architecture runs/NAME --array 16x16 --dataflow outputs',
        'shiftaddnas hw systolic --onnx model.onnx --input pixels=1x3x224x224 --json',
      )}`,
    )
    .action(runSystolic);
}

/** For `32x32`. */
function arraySize(text: string): SystolicArray {
  const [, rows, columns] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text) ?? [];
  if (rows === undefined || columns === undefined)
    throw new InvalidArgumentError('Give ROWSxCOLUMNS, as in 32x32.');
  return { rows: Number(rows), columns: Number(columns) };
}

function runSystolic(flags: SystolicFlags): void {
  const { array, dataflow } = flags;
  const { title, layers, places, badRows, notes } = gatherLayers(flags, 'hw systolic', true);
  const refused = [...badRows];
  const costs = layers.flatMap((layer, at): LayerCycles[] => {
    try {
      return [{ layer: layer.name, ...systolicCycles(layer, array, dataflow) }];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.push(`${places[at]}${error.message}`);
      return [];
    }
  });
  const total = totalOf(costs, array);
  const name = `${array.rows}x${array.columns} systolic array, ${dataflow} stay`;
  if (flags.json) console.log(JSON.stringify({ array, dataflow, ...total, layers: costs, refused }));
  else console.log(`${title} on a ${name}:\n${cyclesTable(costs, total, refused.length)}`);
  for (const note of notes) console.error(`notice: left out: ${note}`);
  for (const message of refused) console.error(`error: ${message}`);
  if (refused.length > 0) process.exitCode = refusedLayersExitCode;
}

type Total = Omit<SystolicCost, 'folds' | 'cyclesPerFold'>;

/** Layers one after the other. */
function totalOf(costs: readonly LayerCycles[], { rows, columns }: SystolicArray): Total {
  const sum = (of: (cost: LayerCycles) => number): number =>
    costs.reduce((total, cost) => total + of(cost), 0);
  const operations = sum((cost) => cost.operations);
  // The last cycle counted from 0 is one less than their number, for each layer and for all.
  const clocks = sum(({ cycles }) => cycles + 1);
  return {
    cycles: Math.max(clocks - 1, 0),
    operations,
    utilisation: clocks === 0 ? 0 : operations / (clocks * rows * columns),
    inputReads: sum(({ inputReads }) => inputReads),
    weightReads: sum(({ weightReads }) => weightReads),
    outputWrites: sum(({ outputWrites }) => outputWrites),
  };
}

function cyclesTable(costs: readonly LayerCycles[], total: Total, missing: number): string {
  const cells = (name: string, folds: string, cost: Total): string[] => [
    ...[name, count(cost.operations), folds, String(cost.cycles), percent(cost.utilisation, 1)],
    ...[cost.inputReads, cost.weightReads, cost.outputWrites].map(String),
  ];
  return textTable(
    [
      ...['layer', 'operations', 'folds', 'cycles', 'utilisation'],
      ...['input\nreads', 'weight\nreads', 'output\nwrites'],
    ],
    [
      ...costs.map((cost) => cells(cost.layer, String(cost.folds), cost)),
      cells(totalName(missing), '', total),
    ],
  );
}
