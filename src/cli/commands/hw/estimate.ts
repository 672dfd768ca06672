/**
 * @file `shiftaddnas hw estimate`: what layers and networks cost, printed, as CSV, as JSON and as a page.
 */
import { Option, type Command } from 'commander';
import { OptionError, UserError } from '../../../base/errors.js';
import { writeFileAtomic } from '../../../base/files.js';
import { costsCsv } from '../../../hardware/csv.js';
import { networkCost } from '../../../hardware/estimate.js';
import {
  estimate,
  estimateCsv,
  estimateLayer,
  loadProfile,
  withWordBits,
  type AcceleratorProfile,
  type CsvEstimate,
  type LayerDescription,
  type NetworkCost,
} from '../../../hardware/index.js';
import { operationOf } from '../../../hardware/measured/operation.js';
import { PredictorKind, predictorKinds } from '../../../hardware/measured/predictor.js';
import { loadLatencies, machineText } from '../../../pipeline/latency/latency-table.js';
import { operationsOf, type NamedOperation } from '../../../spaces/operations.js';
import { familyNamed } from '../../../operators/registry.js';
import { renderCostPage } from '../../../report/cost-page.js';
import { significant } from '../../format.js';
import { examples, list, wholeNumber } from '../../options.js';
import { latencyTable, layerTable, operandTable, profilesTable } from '../../tables.js';
import {
  addInputSizeOption,
  architectureLayers,
  InputKind,
  isSameFile,
  kindOfInput,
  onnxLayers,
  readTable,
  unpricedTexts,
} from './inputs.js';

interface EstimateFlags {
  readonly layers?: string;
  readonly architecture?: string;
  readonly onnx?: string;
  readonly input: readonly string[];
  readonly profile: readonly string[];
  readonly wordBits?: number;
  readonly latencyTable?: string;
  readonly predictor?: PredictorKind;
  readonly foreignTable?: boolean;
  readonly csv?: string;
  readonly report?: string;
  readonly json?: boolean;
}

const brokenRowsExitCode = 2;

export function addEstimateCommand(hw: Command): void {
  const command = hw
    .command('estimate')
    .description(
      'Price a table of layers, an architecture or an ONNX file under one or several cost profiles.',
    )
    .argument('[file]', 'a .csv, an .onnx, an architecture.json, or the folder of a run or model with one')
    .option('--layers <file.csv>', 'columns type, N, H, W, C, R, M, E, F, stride (and groups, copies, block)')
    .option('--architecture <path>', 'an architecture.json, or the folder of a run or model with one')
    .option('--onnx <file.onnx>', 'a network of any origin; convolutions and matrix products are priced');
  addInputSizeOption(command)
    .option('--profile <names|files>', 'cost profiles: built-in names, .json or .yaml files', list, ['fair'])
    .option('--word-bits <bits>', 'word width, for profiles that know several (paper: 32, 8)', wholeNumber(1))
    .option(
      '--latency-table <file.json>',
      'add latencies that hw measure timed, or predictions from them (to the CSV but for a table of layers)',
    )
    .addOption(
      new Option(
        '--predictor <kind>',
        `how latencies that are not in the table are predicted (default ${PredictorKind.Linear})`,
      ).choices(predictorKinds),
    )
    .option('--foreign-table', 'accept a latency table of another machine')
    .option('--csv <file>', 'write the priced layers, with every split and the tiling, as CSV')
    .option('--report <file.html>', 'write a page with the energy of each layer as bars')
    .option('--json', 'print the figures as one JSON object, or an array for several profiles')
    .addHelpText(
      'after',
      `\nRows and layers that cannot be priced are named on stderr; the others are priced, and the exit code is 2.\n${examples(
        'shiftaddnas hw estimate layers.csv --profile paper-cv-168 --csv priced.csv',
        'shiftaddnas hw estimate runs/NAME --profile fair,fair-int8 --report cost.html',
        'shiftaddnas hw estimate model.onnx --input pixels=1x3x224x224',
        'shiftaddnas hw estimate runs/NAME --latency-table latency-table.json',
      )}`,
    )
    .action((file: string | undefined, flags: EstimateFlags) => runEstimate(file, flags));
}

function runEstimate(file: string | undefined, flags: EstimateFlags): void {
  const { kind, path } = chosenInput(file, flags);
  const profiles = flags.profile
    .map(loadProfile)
    .map((profile) => (flags.wordBits === undefined ? profile : withWordBits(profile, flags.wordBits)));
  for (const out of [flags.csv, flags.report])
    for (const input of [
      path,
      ...flags.profile,
      ...(flags.latencyTable === undefined ? [] : [flags.latencyTable]),
    ])
      if (out !== undefined && isSameFile(out, input))
        throw new OptionError(
          `${out === flags.csv ? '--csv' : '--report'} ${out} would overwrite its input ${input}; name another file`,
        );
  if (flags.input.length > 0 && kind !== InputKind.Onnx)
    throw new OptionError('--input goes with an ONNX file');
  if (kind === InputKind.Table) return estimateTable(path, profiles, flags);
  const found =
    kind === InputKind.Onnx ? fromOnnx(path, profiles, flags) : fromArchitecture(path, profiles, flags);
  print(found, onMachine(found, flags), flags);
}

function chosenInput(file: string | undefined, flags: EstimateFlags): { kind: InputKind; path: string } {
  const given = [
    ...(file === undefined ? [] : [{ kind: kindOfInput(file), path: file }]),
    ...(flags.layers === undefined ? [] : [{ kind: InputKind.Table, path: flags.layers }]),
    ...(flags.architecture === undefined ? [] : [{ kind: InputKind.Architecture, path: flags.architecture }]),
    ...(flags.onnx === undefined ? [] : [{ kind: InputKind.Onnx, path: flags.onnx }]),
  ];
  if (given.length !== 1)
    throw new OptionError(
      'hw estimate needs one input: a file, or either --layers FILE.csv, --architecture PATH or --onnx FILE',
    );
  return given[0]!;
}

/** A layer's latency on this machine. */
export interface MachineLatency {
  readonly name: string;
  readonly latencyMs: number;
  /** Not in the table, but predicted from it. */
  readonly predicted: boolean;
}

/** The latencies of layers on this machine, and the words for which one. */
interface OnMachine {
  readonly machine: string;
  readonly layers: readonly MachineLatency[];
  /** Joins of blocks and pooling, of an architecture. */
  readonly others: readonly MachineLatency[];
}

/** What was priced, and what is worth saying besides. */
interface Priced {
  readonly title: string;
  readonly layers: readonly LayerDescription[];
  /** What runs besides the layers. */
  readonly others: readonly NamedOperation[];
  readonly costs: readonly NetworkCost[];
  readonly notes: readonly string[];
  /** Further fields of the JSON output. */
  readonly details: object;
  readonly errors: readonly string[];
  /** How many layers the totals lack, by profile; none when absent. */
  readonly missing: readonly number[];
}

function fromArchitecture(
  given: string,
  profiles: readonly AcceleratorProfile[],
  flags: EstimateFlags,
): Priced {
  const { path, layers, architecture, conversion } = architectureLayers(given);
  if (conversion !== undefined && flags.latencyTable !== undefined)
    throw new OptionError(`${path}: --latency-table has no times of converted layers; leave it out`);
  const otherOperations = operationsOf(architecture, familyNamed).slice(layers.length);
  const costs = profiles.map((profile) => estimate(layers, profile));
  return {
    title: path,
    layers,
    others: otherOperations,
    costs,
    notes:
      conversion === undefined
        ? []
        : [`converted by ${conversion.method}: ${conversion.layers.length} layers as they are stored`],
    details: conversion === undefined ? {} : { conversion: conversion.method },
    errors: [],
    missing: [],
  };
}

function fromOnnx(path: string, profiles: readonly AcceleratorProfile[], flags: EstimateFlags): Priced {
  const { layers, unpriced, free } = onnxLayers(path, flags.input);
  const lacking = unpricedTexts(path, unpriced).errors;
  const errors = [...lacking];
  let unfit = 0;
  // Every profile prices the same layers: those that fit all of them.
  const fitting = layers.filter((layer) => {
    const fits = profiles.every((profile) => {
      try {
        estimateLayer(layer, profile);
        return true;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        errors.push(`${path}: ${error.message}`);
        return false;
      }
    });
    if (!fits) unfit++;
    return fits;
  });
  const notes = [
    ...unpriced
      .filter(({ multiplies }) => !multiplies)
      .map(({ name, opType, reason }) => `not priced: ${opType} '${name}' (${reason})`),
    ...(free.size === 0
      ? []
      : [`free under every profile: ${[...free].map(([opType, count]) => `${count} ${opType}`).join(', ')}`]),
  ];
  const costs = profiles.map((profile) => estimate(fitting, profile));
  return {
    title: path,
    layers: fitting,
    others: [],
    costs,
    notes,
    details: { unpriced, free: Object.fromEntries(free), errors },
    errors,
    missing: costs.map(() => lacking.length + unfit),
  };
}

function onMachine(
  { layers, others }: Pick<Priced, 'layers' | 'others'>,
  { latencyTable: path, predictor, foreignTable }: EstimateFlags,
): OnMachine | undefined {
  if (path === undefined) {
    if (foreignTable) throw new OptionError('--foreign-table goes with --latency-table FILE');
    if (predictor !== undefined) throw new OptionError('--predictor goes with --latency-table FILE');
    return undefined;
  }
  const { table, of } = loadLatencies(path, {
    predictor: predictor ?? PredictorKind.Linear,
    foreign: foreignTable === true,
  });
  return {
    machine: machineText(table),
    layers: layers.map((layer) => {
      const { latencyMs, predicted } = of(operationOf(layer));
      return { name: layer.name, latencyMs: latencyMs * (layer.copies ?? 1), predicted };
    }),
    others: others.map(({ name, operation }) => ({ name, ...of(operation) })),
  };
}

function print(
  { title, layers, costs, notes, details, errors, missing }: Priced,
  measured: OnMachine | undefined,
  flags: EstimateFlags,
): void {
  if (flags.csv !== undefined) writeFileAtomic(flags.csv, costsCsv(layers, costs, measured?.layers));
  writeReport(title, costs, [...notes, ...errors], flags);
  if (flags.json) {
    const objects = costs.map((cost) => ({ ...cost, ...details, ...(measured && { measured }) }));
    console.log(JSON.stringify(objects.length === 1 ? objects[0] : objects));
  } else {
    console.log(`${title} under ${costs.map(({ profile }) => profile).join(', ')}, one inference:`);
    printTables(costs, missing);
    if (measured !== undefined) console.log(latencyTable(measured));
    for (const out of [flags.csv, flags.report]) if (out !== undefined) console.log(`written to ${out}`);
  }
  for (const note of notes) console.error(`notice: ${title}: ${note}`);
  for (const error of errors) console.error(`error: ${error}`);
  if (errors.length > 0) process.exitCode = brokenRowsExitCode;
}

/**
 * @param missing how many layers each total lacks
 * @param common under each profile, the layers that all of them price, where that is not what `costs` has
 */
function printTables(
  costs: readonly NetworkCost[],
  missing: readonly number[],
  common: readonly NetworkCost[] = costs,
): void {
  costs.forEach((cost, at) => {
    if (costs.length > 1) console.log(`\nunder ${cost.profile}:`);
    console.log(layerTable(cost, missing[at]));
    console.log(operandTable(cost));
  });
  if (costs.length < 2) return;
  const compared = common[0]!.layers.length;
  const fewer = costs.some(({ layers }) => layers.length > compared);
  const all = Math.max(...costs.map(({ layers }, at) => layers.length + (missing[at] ?? 0)));
  console.log(
    `\n${fewer ? `the ${compared} of ${all} layers that every profile prices:\n` : ''}${profilesTable(common)}`,
  );
}

function writeReport(
  title: string,
  costs: readonly NetworkCost[],
  notes: readonly string[],
  flags: EstimateFlags,
): void {
  if (flags.report === undefined) return;
  const always = 'Batch norm, activations, pooling and residual additions have no price under any profile.';
  writeFileAtomic(flags.report, renderCostPage({ title, costs, notes: [...notes, always] }));
}

function estimateTable(path: string, profiles: readonly AcceleratorProfile[], flags: EstimateFlags): void {
  const tables = readTable(path, (text) => profiles.map((profile) => estimateCsv(text, { profile })));
  // Rows that cannot be priced are left out of both.
  const measured = onMachine({ layers: tables[0]!.rows.map(({ layer }) => layer), others: [] }, flags);
  // One header; the profile's name stands in every row.
  const csv = tables.map((table, at) =>
    at === 0 ? table.csv : table.csv.slice(table.csv.indexOf('\n') + 1),
  );
  if (flags.csv !== undefined) writeFileAtomic(flags.csv, csv.join(''));
  const costs = costsOfRows(tables, profiles);
  // Totals over different rows are not comparable.
  const isCommon = (line: number): boolean =>
    tables.every(({ rows }) => rows.some((row) => row.line === line));
  const commonLines = new Set(tables[0]!.rows.map(({ line }) => line).filter(isCommon));
  const common = costsOfRows(tables, profiles, commonLines);
  const badRows = tables.flatMap((table) => table.badRows);
  writeReport(
    path,
    common,
    badRows.map(({ line, message }) => `line ${line}: ${message}`),
    flags,
  );
  if (flags.json) {
    const objects = tables.map((table, at) => ({
      ...tableJson(table, costs[at]!),
      ...(tables.length > 1 && { comparable: comparableJson(commonLines, common[at]!) }),
      ...(measured && { measured }),
    }));
    console.log(JSON.stringify(objects.length === 1 ? objects[0] : objects));
  } else if (flags.csv === undefined) {
    console.log(`${path} under ${profiles.map(({ name }) => name).join(', ')}:`);
    printTables(
      costs,
      tables.map((table) => table.badRows.length),
      common,
    );
  } else
    for (const cost of costs)
      console.log(
        `${cost.layers.length} layers under ${cost.profile}: energy ${significant(cost.energyMj)} mJ, ` +
          `latency ${significant(cost.latencyMs)} ms; written to ${flags.csv}`,
      );
  if (measured !== undefined && !flags.json) console.log(latencyTable(measured));
  for (const { message, lines } of tables.flatMap(({ notices }) => notices))
    console.error(`notice: ${path}: ${message}; ${linesText(lines)}`);
  const messages = new Set(badRows.map(({ line, message }) => `error: ${path}:${line}: ${message}`));
  for (const message of messages) console.error(message);
  if (messages.size > 0) process.exitCode = brokenRowsExitCode;
}

/** The priced rows of each table, or those of them that stand on the lines given, as networks. */
function costsOfRows(
  tables: readonly CsvEstimate[],
  profiles: readonly AcceleratorProfile[],
  lines?: ReadonlySet<number>,
): readonly NetworkCost[] {
  return tables.map(({ rows }, at) =>
    networkCost(
      profiles[at]!.name,
      rows.filter(({ line }) => lines?.has(line) ?? true).map(({ cost }) => cost),
    ),
  );
}

function comparableJson(lines: ReadonlySet<number>, { energyMj, latencyMs }: NetworkCost): object {
  return { lines: [...lines], energyMj, latencyMs };
}

function tableJson(table: CsvEstimate, cost: NetworkCost): object {
  const { profile, operations, energyMj, latencyMs, byOperand, byLevel } = cost;
  return {
    ...{ profile, operations, energyMj, latencyMs, byOperand, byLevel },
    rows: table.rows.map(({ line, cost: priced }) => ({ line, ...priced })),
    badRows: table.badRows,
    notices: table.notices,
  };
}

const linesNamed = 5;

function linesText(lines: readonly number[]): string {
  const named = lines.slice(0, linesNamed).join(', ');
  return `line${lines.length > 1 ? 's' : ''} ${named}${lines.length > linesNamed ? ` and ${lines.length - linesNamed} more` : ''}`;
}
