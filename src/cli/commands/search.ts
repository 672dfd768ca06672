/**
 * @file `shiftaddnas search`: the main job.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { FileError, OptionError } from '../../base/errors.js';
import { readJson } from '../../base/files.js';
import { datasetUsages } from '../../data/load-dataset.js';
import { checkConfig, mergeConfig, runConfigSchema, type RunConfig } from '../../pipeline/config/config.js';
import { predictorKinds } from '../../hardware/measured/predictor.js';
import type { NetworkResult, RunResult } from '../../pipeline/run/result.js';
import { PrefilterKind, StrategyKind } from '../../pipeline/config/search-settings.js';
import { describeBudget } from '../../search/budget.js';
import { Objective } from '../../search/objectives.js';
import { SurrogateKind } from '../../search/surrogate/screening.js';
import { namedSpaces } from '../../spaces/registry.js';
import { duration, percent, significant } from '../format.js';
import { superviseJob } from '../job.js';
import {
  addConfigOptions,
  dashed,
  examples,
  freshFolder,
  gatherConfig,
  list,
  pathsOf,
  pathsOption,
  quoted,
  sharingOption,
  sourceOf,
  typedCommand,
  wholeNumber,
  type ConfigFlags,
} from '../options.js';
import { createProgressView } from '../progress.js';
import { architecturePicture, comparisonTable, textTable } from '../tables.js';

interface SearchFlags extends ConfigFlags {
  readonly budget?: string;
  readonly profile?: string;
  readonly name?: string;
  readonly out?: string;
  readonly space?: string;
  readonly families?: readonly string[];
  readonly sharing?: string;
  readonly strategy?: string;
  readonly paths?: string;
  readonly objectives?: readonly string[];
  readonly surrogate?: string;
  readonly prefilter?: string;
  /** False by --no-control, else true. */
  readonly control?: boolean;
  readonly workers?: number;
  readonly retrainSeeds?: number;
  readonly latencyTable?: string;
  readonly latencyPredictor?: string;
  readonly foreignLatencyTable?: boolean;
  readonly resume?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addSearchCommand(program: Command): void {
  const command = program
    .command('search')
    .description(
      'Train a supernet, search it within a budget, retrain the winner and its rivals, and compare.',
    );
  addConfigOptions(command, datasetUsages)
    .option(
      '--budget <limits>',
      'energy=0.4mJ,latency=2ms,macs=20M,params=150k,area=0.1mm2,sram=256KiB,flash=1MiB, or energy=50% of the all-conv network',
    )
    .option('--profile <name|file>', 'cost profile of the budget (default fair)')
    .option(
      '--latency-table <file.json>',
      'latencies of the budget as hw measure timed them, not by the profile',
    )
    .addOption(
      new Option('--latency-predictor <kind>', 'how those that are not in the table are predicted').choices(
        predictorKinds,
      ),
    )
    .option('--foreign-latency-table', 'accept a latency table of another machine')
    .option(
      '--space <name|file>',
      `what is searched: ${Object.keys(namedSpaces).join(', ')}, or one's own (examples/space.yaml); default mini`,
    )
    .option(
      '--families <names>',
      'operator families of the mini space, as in conv,pot.q,add or conv,conv.int4',
      list,
    )
    .addOption(pathsOption())
    .addOption(sharingOption())
    .addOption(
      new Option('--strategy <name>', 'how the space is searched (default evolution)').choices(
        Object.values(StrategyKind),
      ),
    )
    .option(
      '--objectives <names>',
      `what nsga2 minimises, and what the front is over: ${Object.values(Objective).join(', ')} (default error,energy)`,
      list,
    )
    .addOption(
      new Option(
        '--surrogate <kind>',
        'model that picks which offspring are evaluated (default none)',
      ).choices(Object.values(SurrogateKind)),
    )
    .addOption(
      new Option(
        '--prefilter <score>',
        'zero-cost score that picks the first generation out of a pool of random networks (default none)',
      ).choices(Object.values(PrefilterKind)),
    )
    .option('--no-control', 'do not hold the search against random search at equal evaluations')
    .option(
      '--workers <number>',
      'processes that judge networks at the same time, with a part of the threads each (default 1)',
      wholeNumber(1),
    )
    .option('--retrain-seeds <number>', 'retrainings of every network (default 1)', wholeNumber(1))
    .option('--name <name>', 'name of the run folder (default: the data set and the time)')
    .option('--out <folder>', 'where run folders stand (default runs)')
    .option('--resume <run folder>', 'go on with a run that was stopped or killed')
    .option('--json', 'print the result as one JSON object, and nothing else, on stdout')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `\narea= limits the area of the profile's array (processingElements) with each element one that multiplies, shifts or
adds, the kinds in proportion to the network's operations: integer elements as wide as the profile has the operands,
from the counts that hw area prints. It falls with the share of operations that shift or add, not with the size.
${examples(
  'shiftaddnas search --preset mnist-quick',
  'shiftaddnas search --preset mnist-quick --data idx:./fashion --budget energy=40%,params=100k --seed 2',
  'shiftaddnas search --preset mnist-quick --budget sram=24KiB,flash=64KiB --profile fair-int8',
  'shiftaddnas search --preset mnist-quick --budget latency=0.2ms --latency-table latency-table.json',
  'shiftaddnas search --preset mnist-quick --profile fair-int8 --budget area=60%,energy=60%',
  'shiftaddnas search --preset mnist-quick --strategy nsga2 --objectives error,energy,params',
  'shiftaddnas search --preset mnist-quick --surrogate gp',
  'shiftaddnas search --preset mnist-quick --paths sandwich',
  'shiftaddnas search --preset mnist-quick --sharing none',
  'shiftaddnas search --config examples/cifar10.yaml --data folder:./cifar10.tar.gz --name cifar',
  'shiftaddnas search --config examples/cifar10.yaml --data folder:./cifar10.tar.gz --space hytra-cifar --budget energy=85%',
  'shiftaddnas search --resume runs/cifar',
)}`,
    )
    .action((flags: SearchFlags) => search(flags));
}

async function search(flags: SearchFlags): Promise<void> {
  const resume = flags.resume !== undefined;
  const config = flags.resume === undefined ? configOf(flags) : resumedConfig(flags, flags.resume);
  const path =
    flags.resume ??
    (config.name === undefined ? freshFolder(config.out, config.data) : join(config.out, config.name));
  const view = createProgressView(flags);
  const request = { config, path, resume, command: typedCommand() };
  const resumeCommand = `shiftaddnas search --resume ${quoted(path)}`;
  const result = await superviseJob('search', request, view, resumeCommand);
  const { writeReport } = await import('../../report/write.js');
  const report = writeReport(path);
  console.log(flags.json ? JSON.stringify(result) : summary(result, path, report));
}

function configOf(flags: SearchFlags): RunConfig {
  if (flags.preset === undefined && flags.config === undefined && flags.data === undefined)
    throw new OptionError(
      'search needs to know what to work on: give --preset mnist-quick, or --config FILE.yaml, or a preset with --data SPEC and --budget LIMITS',
    );
  const { budget, profile, name, out, space, families, sharing, strategy, objectives, surrogate } = flags;
  const { prefilter, workers, retrainSeeds } = flags;
  const control = flags.control === false ? false : undefined;
  const { latencyTable, latencyPredictor, foreignLatencyTable } = flags;
  return checkConfig(
    runConfigSchema,
    gatherConfig(
      flags,
      { budget, profile, name, out, latencyTable, latencyPredictor, foreignLatencyTable, retrainSeeds },
      { space },
      families === undefined ? {} : { space: { families } },
      {
        sharing: { map: sharing },
        search: { strategy, objectives, surrogate, prefilter, control, workers },
      },
      pathsOf(flags),
    ),
    sourceOf(flags),
  );
}

// More or fewer processes give the same results. The last one is there unless it is denied.
const allowedWithResume = ['resume', 'json', 'quiet', 'workers'];

function resumedConfig(flags: SearchFlags, folder: string): RunConfig {
  const given = Object.entries(flags).filter(([flag, value]) => flag !== 'control' || value === false);
  const changing = given.map(([flag]) => flag).find((flag) => !allowedWithResume.includes(flag));
  if (changing !== undefined)
    throw new OptionError(
      `--resume goes on with the run's own configuration, so --${dashed(changing)} cannot be given with it; start a new run to change it`,
    );
  const path = join(folder, 'config.json');
  if (!existsSync(path))
    throw new FileError(`${folder}: not the folder of a run (no config.json); name one such as runs/NAME`);
  const values = mergeConfig(readJson(path) as object, { search: { workers: flags.workers } });
  return checkConfig(runConfigSchema, values, path);
}

function summary(result: RunResult, path: string, report: string): string {
  const { dataset, seed, profile, budget, seconds } = result;
  const hybrid = result.networks[0] as NetworkResult;
  const byTable =
    result.latencyTable === undefined ? '' : `, latencies measured on ${result.latencyTable.machine}`;
  const limits = describeBudget(Object.fromEntries(budget.map(({ quantity, limit }) => [quantity, limit])));
  return [
    '',
    `${dataset.name}, seed ${seed}, budget ${limits} under ${profile}${byTable}; ${duration(seconds)} in all`,
    searchLine(result),
    ...controlLines(result),
    '',
    architecturePicture(hybrid.architecture),
    '',
    comparisonTable(result),
    '',
    `report        ${report}`,
    `model         ${join(path, 'model.onnx')}, ${join(path, 'model.safetensors')}, ${join(path, 'architecture.json')}`,
    `all figures   ${join(path, 'result.json')}`,
  ].join('\n');
}

/** `search: nsga2 with gp, 192 networks judged in 40 s (4.80 a second); 9 of them on the front of error, energy; archive 0f3a...`. */
function searchLine({ search, phaseSeconds }: RunResult): string {
  const { evaluated, strategy, surrogate, objectives = [], front = [], archiveHash = '' } = search;
  const seconds = phaseSeconds['search'] ?? 0;
  const { prefilter } = search;
  const first =
    prefilter === undefined
      ? ''
      : `, begun with the best ${prefilter.kept} of ${prefilter.pool} by ${prefilter.scorer}`;
  const guide = surrogate === undefined || surrogate === SurrogateKind.None ? '' : ` with ${surrogate}`;
  return (
    `search: ${strategy}${guide}${first}, ${evaluated} networks judged in ${duration(seconds)} ` +
    `(${significant(evaluated / seconds)} a second); ` +
    `${front.length} of them on the front of ${objectives.join(', ')}; archive ${archiveHash.slice(0, 16)}`
  );
}

/** The search beside random search after equally many evaluations; nothing where there is no control. */
function controlLines({ search: { control, strategy } }: RunResult): readonly string[] {
  if (control === undefined) return [];
  const row = (name: string, side: typeof control.search): string[] => [
    name,
    String(side.evaluations),
    percent(side.bestAccuracy),
    significant(side.hypervolume),
  ];
  return [
    textTable(
      ['', 'judged', 'best on\nsearch-validation', `hypervolume\n${control.objectives.join(', ')}`],
      [row(`this search (${strategy})`, control.search), row('plain random search', control.random)],
    ),
  ];
}
