/**
 * @file `shiftaddnas hw map`, `hw chunks`, `hw machines`: the loop-nest model from the command line.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { OptionError, UserError } from '../../../base/errors.js';
import { writeFileAtomic } from '../../../base/files.js';
import { builtInGateProfile, loadGateProfile } from '../../../hardware/area/profile.js';
import { formatCsvLine } from '../../../hardware/csv-text.js';
import { divideChunks, type ChunkDivision } from '../../../hardware/loopnest/chunks.js';
import { evaluateMapping, type MappingCost } from '../../../hardware/loopnest/evaluate.js';
import { Stationary, withDataflow } from '../../../hardware/loopnest/dataflow.js';
import {
  builtInMachineNames,
  loadMachine,
  machineSummary,
  type Machine,
} from '../../../hardware/loopnest/machine.js';
import { parseMapping } from '../../../hardware/loopnest/mapping.js';
import {
  Objective,
  defaultTries,
  searchMapping,
  type MappingSearch,
} from '../../../hardware/loopnest/search.js';
import { count, significant } from '../../format.js';
import { examples, positiveNumber, wholeNumber } from '../../options.js';
import { textTable, totalName } from '../../tables.js';
import { isSameFile } from './inputs.js';
import { addLayerOptions, gatherLayers, type LayerFlags } from './layers.js';

interface SearchFlags extends LayerFlags {
  readonly machine: string;
  readonly dataflow?: Stationary;
  readonly objective: Objective;
  readonly tries: number;
  readonly json?: boolean;
}

interface MapFlags extends SearchFlags {
  readonly mapping?: string;
  readonly csv?: string;
  readonly inputZeros?: number;
}

interface ChunkFlags extends SearchFlags {
  readonly area: number;
  readonly gates?: string;
}

const refusedLayersExitCode = 2;
const chunkTries = 3000;

export function addMapCommands(hw: Command): void {
  const map = addSearchOptions(
    addLayerOptions(
      hw.command('map').description('Find loops for layers on a machine, and print what they cost.'),
      true,
      wholeNumber(1),
    ),
    defaultTries,
  )
    .option(
      '--mapping <text>',
      'with --layer: evaluate these loops instead of searching, as printed by a search',
    )
    .option(
      '--input-zeros <share>',
      'share of zeros among the inputs, for machines that skip them (0 to 1)',
      share,
    )
    .option('--csv <file>', 'write the mapped layers, with the energy of every level and the loops, as CSV')
    .option('--json', 'print the figures as one JSON object');
  map
    .addHelpText(
      'after',
      `\nLoops are a dimension and a count, outermost first: N batch, G groups, M and C output and input channels, P x Q\noutput rows x columns, R x S kernel rows x columns; X and Y mark loops over columns and rows of an array.\nCounts are of the loops as they stand, padding included. A layer that does not fit is named on stderr with the\nbuffer or fan-out that refuses it, and the exit code is 2.\n${examples(
        'shiftaddnas hw map --layer type=Conv,C=64,H=56,M=64,R=3',
        'shiftaddnas hw map --machine eyeriss-chip --layer C=256,H=13,M=384,R=3,N=4 --bits 16 --objective energy',
        "shiftaddnas hw map --machine timeloop-eyeriss-like --layer C=3,H=224,M=32,R=3,stride=2 --mapping 'DRAM: P8 Q2 M4 | shared_glb: P14 Q4 | inter_PE_column_spatial: Q14X | inter_PE_spatial: C3Y S3Y | weights_spad: R3 | psum_spad: M8'",
        'shiftaddnas hw map --architecture runs/NAME --dataflow output --json',
        'shiftaddnas hw map --onnx model.onnx --input pixels=1x3x224x224 --bits 8',
      )}`,
    )
    .action(runMap);
  addSearchOptions(
    addLayerOptions(
      hw
        .command('chunks')
        .description(
          'Divide an area among elements that multiply, shift and add, so that a hybrid network keeps all busy.',
        ),
      false,
      wholeNumber(1),
    ),
    chunkTries,
  )
    .requiredOption('--area <mm2>', 'area of all elements with their registers', positiveNumber)
    .option(
      '--gates <name|file>',
      `take the areas of the units from this gate profile (integer elements, see hw area), as in ${builtInGateProfile}, instead of from the machine`,
    )
    .option('--json', 'print the figures as one JSON object')
    .addHelpText(
      'after',
      `\nEach kind of layer runs on its own array; the arrays work at the same time, on one image each.\n${examples(
        'shiftaddnas hw chunks --architecture runs/NAME --area 2',
        'shiftaddnas hw chunks --layers layers.csv --machine my-machine.yaml --area 0.5 --bits 8 --json',
      )}`,
    )
    .action(runChunks);
  hw.command('machines')
    .description('List the built-in machines of the loop-nest model.')
    .option('--json', 'print the machines as one JSON array')
    .addHelpText(
      'after',
      examples('shiftaddnas hw machines', 'shiftaddnas hw machines --json > machines.json'),
    )
    .action(({ json }: { readonly json?: boolean }) => {
      const machines = builtInMachineNames.map(loadMachine);
      console.log(json ? JSON.stringify(machines) : machines.map(machineSummary).join('\n\n'));
    });
}

function addSearchOptions(command: Command, tries: number): Command {
  return command
    .option(
      '--machine <name|file>',
      'a built-in name (hw machines lists them) or a .json or .yaml file',
      'edge-row-stationary',
    )
    .addOption(
      new Option('--dataflow <kind>', 'replace the machine’s dataflow: what stays put').choices(
        Object.values(Stationary),
      ),
    )
    .addOption(
      new Option('--objective <what>', 'what to make small')
        .choices(Object.values(Objective))
        .default(Objective.EnergyDelay),
    )
    .option('--tries <number>', 'mappings to try per layer at most', wholeNumber(1), tries);
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('Give a number from 0 to 1.');
  return value;
}

function machineOf({ machine, dataflow }: SearchFlags): Machine {
  const loaded = loadMachine(machine);
  return dataflow === undefined ? loaded : withDataflow(loaded, dataflow);
}

function runMap(flags: MapFlags): void {
  const machine = machineOf(flags);
  for (const input of [flags.layers, flags.architecture, flags.onnx, flags.machine])
    if (flags.csv !== undefined && input !== undefined && isSameFile(flags.csv, input))
      throw new OptionError(`--csv ${flags.csv} would overwrite its input ${input}; name another file`);
  const { title, layers, places, badRows, notes } = gatherLayers(flags, 'hw map', true);
  const write = (costs: readonly MappingCost[]): void => {
    if (flags.csv !== undefined) writeFileAtomic(flags.csv, mappingsCsv(costs));
  };
  const options = {
    objective: flags.objective,
    tries: flags.tries,
    ...(flags.inputZeros === undefined ? {} : { inputZeros: flags.inputZeros }),
  };
  if (flags.mapping !== undefined) {
    if (flags.layer === undefined) throw new OptionError('--mapping goes with --layer');
    const cost = evaluateMapping(layers[0]!, machine, parseMapping(flags.mapping, machine), options);
    write([cost]);
    console.log(flags.json ? JSON.stringify(cost) : costText(cost));
    return;
  }
  if (flags.layer !== undefined) {
    const search = searchMapping(layers[0]!, machine, options);
    write([search.cost]);
    console.log(flags.json ? JSON.stringify(search) : `${costText(search.cost)}\n${searchText(search)}`);
    return;
  }
  const refused = [...badRows];
  const found: MappingSearch[] = [];
  layers.forEach((layer, at) => {
    try {
      found.push(searchMapping(layer, machine, options));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.push(`${places[at]}${error.message}`);
    }
  });
  const costs = found.map(({ cost }) => cost);
  write(costs);
  const total = totalsOf(costs);
  if (flags.json) console.log(JSON.stringify({ machine: machine.name, ...total, layers: found, refused }));
  else
    console.log(
      `${title} on ${machine.name}, one layer after the other:\n${networkTable(costs, total, refused.length)}`,
    );
  for (const note of notes) console.error(`notice: left out: ${note}`);
  for (const message of refused) console.error(`error: ${message}`);
  if (refused.length > 0) process.exitCode = refusedLayersExitCode;
}

function runChunks(flags: ChunkFlags): void {
  const machine = machineOf(flags);
  const { title, layers, badRows, notes } = gatherLayers(flags, 'hw chunks', false);
  if (badRows[0] !== undefined) throw new OptionError(badRows[0]);
  for (const note of notes) console.error(`notice: left out: ${note}`);
  const division = divideChunks(layers, machine, {
    areaMm2: flags.area,
    objective: flags.objective,
    tries: flags.tries,
    ...(flags.gates === undefined ? {} : { gates: loadGateProfile(flags.gates) }),
  });
  console.log(
    flags.json ? JSON.stringify(division) : `${title} on chunks of ${machine.name}:\n${chunkText(division)}`,
  );
}

function totalsOf(costs: readonly MappingCost[]): {
  operations: number;
  energyMj: number;
  latencyMs: number;
} {
  const sum = (of: (cost: MappingCost) => number): number =>
    costs.reduce((total, cost) => total + of(cost), 0);
  return {
    operations: sum(({ operations }) => operations),
    energyMj: sum(({ energyPj }) => energyPj) / 1e9,
    latencyMs: sum(({ latencyMs }) => latencyMs),
  };
}

function networkTable(
  costs: readonly MappingCost[],
  total: ReturnType<typeof totalsOf>,
  missing: number,
): string {
  return textTable(
    ['layer', 'operations', 'energy mJ', 'latency ms', 'utilisation', 'bound by', 'loops'],
    [
      ...costs.map((cost) => [
        cost.layer,
        count(cost.operations),
        significant(cost.energyPj / 1e9),
        significant(cost.latencyMs),
        percentOf(cost.utilisation),
        cost.boundBy,
        cost.mappingText,
      ]),
      [
        totalName(missing),
        count(total.operations),
        significant(total.energyMj),
        significant(total.latencyMs),
        '',
        '',
        '',
      ],
    ],
  );
}

/** One line a layer; arithmetic, levels and what leaks everywhere make up its energy. */
function mappingsCsv(costs: readonly MappingCost[]): string {
  const levels = costs[0]?.levels.map(({ name }) => `${name}_mJ`) ?? [];
  const header = [
    ...['name', 'operations', 'energy_mJ', 'latency_ms', 'cycles', 'utilisation', 'bound_by'],
    ...['arithmetic_mJ', ...levels, 'static_mJ', 'loops', 'machine'],
  ];
  const milli = (pj: number): number => Number((pj / 1e9).toPrecision(10));
  const rows = costs.map((cost) => [
    ...[cost.layer, cost.operations, milli(cost.energyPj), Number(cost.latencyMs.toPrecision(10))],
    ...[cost.cycles.total, Number(cost.utilisation.toPrecision(10)), cost.boundBy, milli(cost.arithmeticPj)],
    ...cost.levels.map(({ energyPj }) => milli(energyPj)),
    ...[milli(cost.staticPj), cost.mappingText, cost.machine],
  ]);
  return [header, ...rows].map((cells) => `${formatCsvLine(cells)}\n`).join('');
}

/** One mapped layer in full. */
function costText(cost: MappingCost): string {
  const { cycles } = cost;
  const rows = cost.levels.flatMap((level) => {
    const room = level.words === undefined ? '' : `${words(level.wordsUsed)}/${words(level.words)}`;
    const first = [level.name, `${level.instancesUsed}/${level.instances}`, room];
    const accesses = level.tensors.map((tensor, index) => [
      ...(index === 0 ? first : ['', '', '']),
      tensor.tensor,
      ...[tensor.tileWords, tensor.reads, tensor.fills, tensor.updates, tensor.drains].map(words),
      significant(tensor.energyPj / 1e6),
    ]);
    const extra = (name: string, pj: number): string[][] =>
      pj === 0
        ? []
        : [
            [
              ...(accesses.length === 0 ? first : ['', '', '']),
              name,
              '',
              '',
              '',
              '',
              '',
              significant(pj / 1e6),
            ],
          ];
    return [...accesses, ...extra('network', level.networkPj), ...extra('leakage', level.leakagePj)];
  });
  rows.push([
    'arithmetic',
    `${cost.unitsUsed}/${cost.units}`,
    '',
    '',
    '',
    '',
    '',
    '',
    '',
    significant(cost.arithmeticPj / 1e6),
  ]);
  const perOperation =
    cost.operations === 0 ? '' : `${significant(cost.energyPj / cost.operations)} pJ per operation, `;
  if (cost.staticPj > 0)
    rows.push(['static', '', '', '', '', '', '', '', '', significant(cost.staticPj / 1e6)]);
  return [
    `${cost.layer} on ${cost.machine}:`,
    ...cost.mappingText.split(' | ').map((part) => `  ${part}`),
    textTable(
      ['level', 'instances', 'words', 'tensor', 'tile', 'reads', 'fills', 'updates', 'drains', 'energy uJ'],
      rows,
    ),
    `energy ${significant(cost.energyPj / 1e6)} uJ, ${perOperation}${count(cost.operations)} operations`,
    `latency ${significant(cost.latencyMs)} ms: ${words(cycles.total)} cycles = fill ${words(cycles.fill)} + steady ${words(cycles.steady)} + drain ${words(cycles.drain)}; ` +
      `array ${words(cycles.compute)}${cycles.exchange > 0 ? `, waits for tiles ${words(cycles.exchange)}` : ''}; bound by ${cost.boundBy}`,
    `utilisation ${percentOf(cost.utilisation)} of ${cost.units} units; ${significant(cost.activeUnits)} active in a step`,
  ].join('\n');
}

function searchText({ examined, refused, spatialChoices, climbs, objective }: MappingSearch): string {
  return `least ${objective} of ${examined} mappings examined: ${refused} refused for lack of room before counting, ${spatialChoices} spatial choices enumerated, ${climbs} climbs`;
}

function chunkText(division: ChunkDivision): string {
  const { chunks, intervalMs } = division;
  return [
    textTable(
      ['chunk', 'elements', 'area mm2', 'layers', 'operations', 'busy ms', 'idle', 'energy mJ'],
      chunks.map((chunk) => [
        chunk.primitive,
        `${chunk.columns}x${chunk.rows}`,
        significant(chunk.areaMm2),
        String(chunk.layers.length),
        count(chunk.operations),
        significant(chunk.busyMs),
        percentOf(1 - chunk.busyMs / intervalMs),
        significant(chunk.energyMj),
      ]),
    ),
    `an image every ${significant(intervalMs)} ms (${significant(1000 / intervalMs)} a second); one image takes ${significant(division.latencyMs)} ms and ${significant(division.energyMj)} mJ`,
    `elements in proportion to operations: every ${significant(division.coarseIntervalMs)} ms; all elements always busy: every ${significant(division.idealIntervalMs)} ms; ${division.divisions} divisions tried`,
    `area ${significant(division.areaMm2)} mm2 of elements with their registers; buffers above the arrays come on top`,
  ].join('\n');
}

function words(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

function percentOf(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
