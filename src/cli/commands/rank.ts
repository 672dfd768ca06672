/**
 * @file `shiftaddnas rank`: does the supernet rank networks as training them alone does, and do cheaper scores?
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { FileError, OptionError } from '../../base/errors.js';
import { checkWritable, readJson, writeFileAtomic } from '../../base/files.js';
import { datasetUsages } from '../../data/load-dataset.js';
import { checkConfig, mergeConfig } from '../../pipeline/config/config.js';
import {
  rankConfigSchema,
  rankResultFile,
  readRankRequest,
  type RankConfig,
  type RankOptions,
} from '../../pipeline/rank/request.js';
import { fewestNetworks, type RankResult, type ScorerOutcome } from '../../pipeline/rank/result.js';
import type { Estimate } from '../../search/statistics/bootstrap.js';
import { count, duration, percent, significant } from '../format.js';
import { superviseJob } from '../job.js';
import {
  addConfigOptions,
  dashed,
  examples,
  freshFolder,
  gatherConfig,
  pathsOf,
  pathsOption,
  quoted,
  sharingOption,
  sourceOf,
  typedCommand,
  wholeNumber,
  type ConfigFlags,
} from '../options.js';
import { namedSpaces } from '../../spaces/registry.js';
import { createProgressView } from '../progress.js';
import { textTable } from '../tables.js';

interface RankFlags extends ConfigFlags {
  readonly run?: string;
  readonly sharing?: string;
  readonly space?: string;
  readonly networks?: number;
  readonly seeds?: number;
  readonly supernetSeed?: number;
  readonly epochs?: number;
  readonly truth?: string;
  readonly paths?: string;
  readonly workers?: number;
  readonly out?: string;
  readonly resume?: string;
  readonly json?: string;
  readonly quiet?: boolean;
}

const defaultNetworks = 30;

export function addRankCommand(program: Command): void {
  const command = program
    .command('rank')
    .description(
      'Train networks of a space alone, and say how well the supernet and zero-cost scores foretell their order.',
    );
  addConfigOptions(command, datasetUsages)
    .option('--run <run folder>', 'measure the supernet of this finished run, under its configuration')
    .addOption(sharingOption())
    .option(
      '--space <name|file>',
      `the networks' space: ${Object.keys(namedSpaces).join(', ')}, or one's own (examples/space.yaml); default mini`,
    )
    .option(
      '--networks <number>',
      `networks that are trained alone (default ${defaultNetworks})`,
      wholeNumber(2),
    )
    .option('--seeds <number>', 'trainings of each network (default 1)', wholeNumber(1))
    .option(
      '--supernet-seed <number>',
      'train the supernet with this seed, and all else with --seed: how much is chance of the supernet?',
      wholeNumber(0),
    )
    .option('--epochs <number>', 'of each stand-alone training, instead of retrain.epochs', wholeNumber(1))
    .option(
      '--truth <folder>',
      'take stand-alone networks of another measurement where data, schedule, network and seed are the same',
    )
    .addOption(pathsOption())
    .option('--workers <number>', 'processes that train at the same time (default 1)', wholeNumber(1))
    .option('--out <folder>', 'folder of the measurement (default: below runs, by data set and time)')
    .option('--resume <folder>', 'go on with a measurement that was stopped or killed')
    .option('--json <file>', 'write the result here too')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `
The networks are drawn by the seed: the energies of many random networks, from the cheapest to the dearest, are cut into
ten strips of equal width, and the strips take turns. So cheap and dear networks are measured as often as those of the
middle; look at the figures inside energy bins for what is left when energy alone decides nothing. All are trained by the
schedule of the section 'retrain' and judged on search-validation, never on the test part. The supernet judges as a
search does: inherited weights, recalibrated batch norms. Every stand-alone network stays in the folder.

tau is Kendall's tau-b, regret the accuracy that is lost by training only the k networks that a score puts first;
brackets hold 95 % intervals (bootstrap over networks). With --seeds 2 or more, the agreement between seeds says how
good a score could be.
${examples(
  'shiftaddnas rank --preset mnist-quick',
  'shiftaddnas rank --config examples/cifar10.yaml --data cifar10:./cifar-10-batches-bin --networks 30 --seeds 2',
  'shiftaddnas rank --config examples/cifar10.yaml --data cifar10:./cifar-10-batches-bin --space hytra-cifar',
  'shiftaddnas rank --run runs/NAME --epochs 5 --json rank.json',
  'shiftaddnas rank --config same.yaml --paths sandwich --truth runs/rank-first --out runs/rank-second',
  'shiftaddnas rank --config examples/cifar10.yaml --sharing none --truth runs/rank-first --out runs/rank-none',
  'shiftaddnas rank --resume runs/rank-first',
)}`,
    )
    .action((flags: RankFlags) => rank(flags));
}

async function rank(flags: RankFlags): Promise<void> {
  const resume = flags.resume !== undefined;
  const { config, options } = flags.resume === undefined ? requestOf(flags) : resumed(flags, flags.resume);
  const path = flags.resume ?? flags.out ?? freshFolder(config.out, config.data, 'rank-');
  if (flags.json !== undefined) checkWritable(flags.json);
  const request = { config, options, path, resume, command: typedCommand() };
  const again = `shiftaddnas rank --resume ${quoted(path)}${flags.json === undefined ? '' : ` --json ${quoted(flags.json)}`}`;
  const result = await superviseJob('rank', request, createProgressView({ ...flags, json: false }), again);
  const { renderRankPage } = await import('../../report/rank-page.js');
  const page = join(path, 'rank.html');
  writeFileAtomic(page, renderRankPage(result));
  if (flags.json !== undefined) writeFileAtomic(flags.json, `${JSON.stringify(result, undefined, 1)}\n`);
  const text = rankText(result);
  writeFileAtomic(join(path, 'table.txt'), `${text}\n`);
  console.log(`\n${text}\n\npicture       ${page}\nall figures   ${join(path, rankResultFile)}`);
}

function requestOf(flags: RankFlags): { readonly config: RankConfig; readonly options: RankOptions } {
  const { run, space, epochs, networks = defaultNetworks, seeds = 1, truth, sharing, workers } = flags;
  const { supernetSeed } = flags;
  const options = {
    networks,
    seeds,
    ...(run !== undefined && { run }),
    ...(truth !== undefined && { truth }),
    ...(supernetSeed !== undefined && { supernetSeed }),
    ...(workers !== undefined && { workers }),
  };
  for (const [flag, folder] of Object.entries({ run, truth }))
    if (folder !== undefined && !existsSync(folder))
      throw new FileError(`--${flag} ${folder}: no such folder`);
  const retrain = epochs === undefined ? {} : { retrain: { epochs } };
  if (run !== undefined) {
    const own = [
      'preset',
      'config',
      'data',
      'imageSize',
      'seed',
      'supernetSeed',
      'space',
      'paths',
      'sharing',
    ] as const;
    const given = own.find((flag) => flags[flag] !== undefined);
    if (given !== undefined)
      throw new OptionError(
        `--run measures under the run's own configuration, so --${dashed(given)} cannot be given with it`,
      );
    const path = join(run, 'config.json');
    if (!existsSync(path))
      throw new FileError(`${run}: not the folder of a run (no config.json); name one such as runs/NAME`);
    const values = mergeConfig(readJson(path) as object, retrain);
    return { config: checkConfig(rankConfigSchema, values, path), options };
  }
  if (flags.preset === undefined && flags.config === undefined)
    throw new OptionError(
      'rank needs to know what to measure: give --config FILE.yaml, --preset mnist-quick, or --run runs/NAME',
    );
  const values = gatherConfig(flags, { sharing: { map: sharing } }, retrain, { space }, pathsOf(flags));
  return { config: checkConfig(rankConfigSchema, values, sourceOf(flags)), options };
}

// More or fewer processes give the same results.
const allowedWithResume = ['resume', 'json', 'quiet', 'workers'];

function resumed(
  flags: RankFlags,
  folder: string,
): { readonly config: RankConfig; readonly options: RankOptions } {
  const changing = Object.keys(flags).find((flag) => !allowedWithResume.includes(flag));
  if (changing !== undefined)
    throw new OptionError(
      `--resume goes on with the measurement as it was begun, so --${dashed(changing)} cannot be given with it; begin a new one to change it`,
    );
  const { config, options } = readRankRequest(folder);
  const { workers = options.workers } = flags;
  return { config, options: { ...options, ...(workers !== undefined && { workers }) } };
}

/** `0.61 [0.42, 0.75]`; a dash where it is not defined. */
function estimate({ value, low, high }: Estimate, factor = 1): string {
  if (!isNumber(value)) return '-';
  // Without the sign of a zero.
  const figure = (each: number): string => (factor * each).toFixed(2).replace(/^-(?=[0.]+$)/, '');
  return isNumber(low) && isNumber(high)
    ? `${figure(value)} [${figure(low)}, ${figure(high)}]`
    : figure(value);
}

/** NaN is null when it has been through JSON. */
function isNumber(value: number | null): value is number {
  return value !== null && Number.isFinite(value);
}

/** The tables and lines that people read. */
export function rankText(result: RankResult): string {
  const { dataset, seeds, networks, scorers, profile, space, supernet, measured, schedule } = result;
  const outcomes = Object.entries(scorers);
  const bins = outcomes[0]![1].fidelity.energyBins;
  const diverged = measured.length - networks;
  return [
    `${networks} networks of ${space.name} (${space.size}; ${space.families.join(', ')}) on ${dataset.name} ` +
      `${dataset.height}x${dataset.width}, ${dataset.trainImages} training images, ${String(schedule['epochs'])} epochs each, ` +
      `${seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${seeds.join(', ')}`}; ${duration(result.seconds)} in all`,
    `supernet of ${count(supernet.weights)} weights (sharing: ${supernet.map}, distribution: ${supernet.distribution}) ` +
      `${supernet.run === null ? `trained here with seed ${supernet.seed}` : `of ${supernet.run}`}, ` +
      `paths ${String(supernet.training['paths'])}, ${count(supernet.steps)} steps, ${count(supernet.passes)} passes; ` +
      `accuracies on ${dataset.searchValidationImages} search-validation images, ` +
      `alone ${accuracyRange(result)}; energy under ${profile}`,
    `excess kurtosis of the supernet's weights (Gaussian 0, Laplacian 3): ` +
      supernet.families
        .map(({ family, excessKurtosis }) => `${family} ${excessKurtosis.toFixed(2)}`)
        .join(', '),
    '',
    textTable(
      [
        'scorer',
        'tau',
        'tau,\nbest third',
        'tau inside\nenergy bins',
        'Spearman',
        'supernet\nahead by (tau)',
      ],
      outcomes.map(([name, { fidelity, supernetAhead }]) => [
        name,
        estimate(fidelity.overall.kendallTau),
        estimate(fidelity.bestThird.kendallTau),
        estimate(fidelity.kendallTauInsideBins),
        estimate(fidelity.overall.spearman),
        supernetAhead === undefined ? '' : estimate(supernetAhead.overall),
      ]),
    ),
    '',
    textTable(
      [
        'regret, points',
        ...outcomes[0]![1].fidelity.overall.topRegret.map(({ k }) => `top ${k}`),
        ...bins.map(
          ({ fromMj, toMj, networks: inBin }) =>
            `tau, ${inBin} networks\n${significant(fromMj)}-${significant(toMj)} mJ`,
        ),
      ],
      outcomes.map(([name, { fidelity }]) => [name, ...regrets(fidelity), ...binTaus(fidelity)]),
    ),
    ...fewText(outcomes[0]![1].fidelity),
    ...(result.seedAgreement === null
      ? []
      : [`agreement between seeds: tau ${result.seedAgreement.toFixed(2)}`]),
    ...(diverged === 0 ? [] : [`${diverged} more diverged and are not ranked`]),
  ].join('\n');
}

/** Why some figures are dashes, where some are. */
function fewText({ overall, bestThird, energyBins }: ScorerOutcome['fidelity']): readonly string[] {
  const few = [
    ...(overall.networks < fewestNetworks ? [`there are ${overall.networks}`] : []),
    ...(bestThird.networks < fewestNetworks ? [`${bestThird.networks} in the best third`] : []),
    ...(energyBins.some(({ networks }) => networks < fewestNetworks)
      ? [`${energyBins.map(({ networks }) => networks).join(', ')} in the energy bins`]
      : []),
  ];
  return few.length === 0
    ? []
    : [
        `-: fewer than ${fewestNetworks} networks say nothing of ranks (${few.join('; ')}); ask for more by --networks`,
      ];
}

function accuracyRange({ measured }: RankResult): string {
  const accuracies = measured.flatMap(({ accuracy }) => accuracy ?? []);
  return `${percent(Math.min(...accuracies))} to ${percent(Math.max(...accuracies))}`;
}

function regrets({ overall }: ScorerOutcome['fidelity']): readonly string[] {
  return overall.topRegret.map(({ regret }) => estimate(regret, 100));
}

function binTaus({ energyBins }: ScorerOutcome['fidelity']): readonly string[] {
  return energyBins.map(({ kendallTau }) => estimate(kendallTau));
}
