/**
 * @file `shiftaddnas hw measure`: times layers with our own kernels on this machine, and says how well the latencies of
 * others can be predicted from them.
 */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { OptionError } from '../../../base/errors.js';
import { readJson } from '../../../base/files.js';
import { median } from '../../../base/statistics.js';
import { fitLinear, heldOutErrors, predictorKinds } from '../../../hardware/measured/predictor.js';
import {
  emptyTable,
  machineDifferences,
  readLatencyTable,
  spreadOfRow,
  latencyOfRow,
  writeLatencyTable,
  type LatencyTable,
} from '../../../hardware/measured/table.js';
import type { PredictionErrors } from '../../../hardware/measured/statistics.js';
import { operationKey, OperationKind } from '../../../hardware/measured/operation.js';
import { familyNamed } from '../../../operators/registry.js';
import {
  checkConfig,
  mergeConfig,
  presetNamed,
  readConfigFile,
  runConfigSchema,
} from '../../../pipeline/config/config.js';
import { loadLatencies, machineText, predictorFit } from '../../../pipeline/latency/latency-table.js';
import {
  measuredMachine,
  measureNetworks,
  measureOperations,
} from '../../../pipeline/latency/measure-latency.js';
import {
  architectureOperations,
  distinctOperations,
  shapesAround,
  spaceOperations,
} from '../../../pipeline/latency/measured-shapes.js';
import { withSpaceFile } from '../../../pipeline/config/space-files.js';
import { checkSpace, spaceOf } from '../../../pipeline/config/space-settings.js';
import type { Architecture } from '../../../spaces/architecture.js';
import { uniformGenome } from '../../../spaces/landmarks.js';
import { operationsOf } from '../../../spaces/operations.js';
import { parseArchitecture } from '../../../spaces/parse.js';
import { deviceNotice } from '../../../tensor/choose-device.js';
import { percent, significant } from '../../format.js';
import { Stopped } from '../../job.js';
import { examples, list, presetUsage, typedCommand, wholeNumber } from '../../options.js';
import { createProgressView } from '../../progress.js';
import { textTable } from '../../tables.js';

interface MeasureFlags {
  readonly architecture?: string;
  readonly config?: string;
  readonly preset?: string;
  readonly input: string;
  readonly classes: number;
  readonly families?: readonly string[];
  readonly sample: number;
  readonly passes: number;
  readonly rounds: number;
  readonly device?: string;
  readonly threads?: number;
  readonly seed: number;
  readonly out: string;
  readonly fresh?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addMeasureCommand(hw: Command): void {
  hw.command('measure')
    .description(
      'Time the layers of a search space or of an architecture on this machine, and predict others.',
    )
    .option('--architecture <path>', 'time the layers of this architecture instead of a search space')
    .option('--config <file.yaml>', 'the space of this configuration (default: the default space)')
    .option('--preset <name>', presetUsage)
    .option('--input <HxWxC>', 'size of the images that the space is for', '32x32x3')
    .option('--classes <number>', 'classes that the space is for', wholeNumber(2), 10)
    .option('--families <names>', 'operator families of the space, as in conv,pot.q,add', list)
    .option(
      '--sample <number>',
      'time so many further shapes of that kind, for the predictors',
      wholeNumber(0),
      200,
    )
    .option('--passes <number>', 'go through everything so many times', wholeNumber(1), 5)
    .option('--rounds <number>', 'time each operation so many times in a pass', wholeNumber(1), 60)
    .addOption(new Option('--device <name>', 'whose kernels').choices(['native', 'wasm', 'reference']))
    .option('--threads <number>', 'threads of the kernels (default: one per processor)', wholeNumber(1))
    .option('--seed <number>', 'seed of the sample, the order and the perceptron', wholeNumber(0), 1)
    .option('--out <file.json>', 'the table; what it holds already is kept', 'latency-table.json')
    .option('--fresh', 'begin anew where the table exists')
    .option('--json', 'print the figures as one JSON object')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `\nA layer is timed with its norm, at batch 1; joins of blocks and the pooling are timed too. Stopped with Ctrl-C it keeps\nwhat is timed, and the same command goes on. Errors are those on layers held out of the fit, in five parts. The check\ncompares the sum over a network's operations, timed, and predicted from other layers alone, with one inference of it.\n${examples(
        'shiftaddnas hw measure --threads 1 --out this-machine.json',
        'shiftaddnas hw measure --preset mnist-quick --input 28x28x1 --out mnist.json',
        'shiftaddnas hw measure --architecture runs/NAME --sample 0 --device wasm --out wasm.json',
        'shiftaddnas hw estimate runs/NAME --latency-table this-machine.json',
        'shiftaddnas search --preset mnist-quick --budget latency=0.2ms --latency-table mnist.json',
      )}`,
    )
    .action((flags: MeasureFlags) => runMeasure(flags));
}

async function runMeasure(flags: MeasureFlags): Promise<void> {
  const { seed, out, passes, rounds } = flags;
  // Before the first op, which chooses the device.
  if (flags.device !== undefined) process.env['SHIFTADDNAS_DEVICE'] = flags.device;
  if (flags.threads !== undefined) process.env['SHIFTADDNAS_THREADS'] = String(flags.threads);
  const { architectures, operations } = subjectsOf(flags);
  const asked = distinctOperations([...operations, ...shapesAround(operations, flags.sample, seed)]);
  const notice = deviceNotice();
  if (notice !== undefined) console.error(`notice: ${notice}`);
  const before = tableBefore(flags);
  writeLatencyTable(out, before);

  const view = createProgressView(flags);
  let stop = false;
  const onSignal = (): void => {
    stop = true;
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  let rows: LatencyTable['rows'];
  let networks: readonly number[] = [];
  const common = { rounds, interrupted: () => stop, pause: breathe };
  try {
    rows = await measureOperations(asked, seed, {
      ...common,
      passes,
      known: before.rows,
      onRows: (timed) => writeLatencyTable(out, { ...before, rows: timed }),
      onProgress: (done, total, operation) => view.show({ type: 'measuring', done, total, operation }),
    });
    if (!stop) networks = await measureNetworks(architectures, seed, { ...common, passes });
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
    view.close();
  }
  if (stop)
    throw new Stopped(`stopped, ${rows.length} operations are kept in ${out}; go on with: ${typedCommand()}`);
  report({ ...before, rows }, architectures, networks, flags);
}

/** Lets signals and the progress bar have their turn. */
function breathe(): Promise<void> {
  return new Promise((done) => setImmediate(done));
}

/** What is to be timed, and the networks that the sums are compared with. */
function subjectsOf(flags: MeasureFlags): {
  readonly architectures: readonly Architecture[];
  readonly operations: ReturnType<typeof spaceOperations>;
} {
  const { architecture: given, config, preset, families } = flags;
  if (given !== undefined) {
    const other = Object.entries({ config, preset, families }).find(([, value]) => value !== undefined);
    if (other !== undefined)
      throw new OptionError(`--${other[0]} is of a search space, which --architecture replaces`);
    const path =
      existsSync(given) && statSync(given).isDirectory() ? join(given, 'architecture.json') : given;
    if (existsSync(flags.out) && resolve(flags.out) === resolve(path))
      throw new OptionError(`--out ${flags.out} would overwrite its input; name another file`);
    const architecture = parseArchitecture(readJson(path), path);
    return { architectures: [architecture], operations: architectureOperations(architecture) };
  }
  const [, height, width, channels] =
    /^([1-9]\d{0,3})x([1-9]\d{0,3})x([1-9]\d{0,3})$/.exec(flags.input) ?? [];
  if (channels === undefined)
    throw new OptionError(`--input ${flags.input}: give HEIGHTxWIDTHxCHANNELS, as in 32x32x3`);
  const { space: written } = mergeConfig(
    preset === undefined ? {} : presetNamed(preset),
    config === undefined ? {} : readConfigFile(config),
    families === undefined ? {} : { space: { families } },
  );
  const { space: settings } = checkConfig(
    runConfigSchema.pick({ space: true }),
    withSpaceFile({ space: written ?? {} }),
    config ?? preset ?? 'options',
  );
  checkSpace(settings);
  const input = { height: Number(height), width: Number(width), channels: Number(channels) };
  const space = spaceOf(settings, { input, classes: flags.classes });
  return {
    architectures: space.families.map((family) => space.architecture(uniformGenome(space, family))),
    operations: spaceOperations(space),
  };
}

/** The rows that are there already. @throws OptionError when they are of another machine or setting */
function tableBefore({ out, fresh }: MeasureFlags): LatencyTable {
  const here = measuredMachine();
  if (fresh || !existsSync(out)) return emptyTable(here);
  const table = readLatencyTable(out);
  const differences = machineDifferences(table.machine, here);
  if (differences.length > 0)
    throw new OptionError(
      `${out}: measured elsewhere or otherwise (${differences.join('; ')}); name another file, or begin anew with --fresh`,
    );
  return table;
}

function report(
  table: LatencyTable,
  architectures: readonly Architecture[],
  networks: readonly number[],
  { out, seed, json }: MeasureFlags,
): void {
  const errors = predictorKinds.map((kind) => ({
    predictor: kind,
    errors: heldOutErrors(table.rows, predictorFit(kind, seed), seed),
  }));
  const { networkMs } = loadLatencies(out);
  const checks = architectures.map((architecture, at) => ({
    network: nameOf(architecture),
    sumMs: networkMs(architecture),
    predictedMs: predictedMs(architecture, table) ?? null,
    measuredMs: networks[at]!,
  }));
  const spread = median(table.rows.map((row) => spreadOfRow(row) / latencyOfRow(row)));
  for (const warning of sumWarnings(checks)) console.error(`warning: ${warning}`);
  if (json)
    return console.log(
      JSON.stringify({
        ...{ out, machine: table.machine, operations: table.rows.length, medianSpread: spread },
        heldOut: Object.fromEntries(errors.map(({ predictor, errors: each }) => [predictor, each ?? null])),
        networks: checks,
        rows: table.rows.map((row) => ({
          operation: operationKey(row.operation),
          latencyMs: latencyOfRow(row),
          spreadMs: spreadOfRow(row),
        })),
      }),
    );
  console.log(
    `${table.rows.length} operations timed on ${machineText(table)}; the middle half of the calls lies within ` +
      `${percent(spread, 1)} of the median`,
  );
  if (errors.some(({ errors: each }) => each === undefined))
    console.log('too few layers to judge predictors by; time more with --sample');
  else
    console.log(
      textTable(
        [
          'predictor,\non held-out layers',
          'layers',
          'mean\nerror',
          'median\nerror',
          '90 %',
          'rank\ncorrelation',
        ],
        errors.map(({ predictor, errors: each }) => [predictor, ...errorCells(each!)]),
      ),
    );
  console.log(
    textTable(
      [
        ...['network, batch 1', 'sum of its\noperations ms', 'all predicted\nms'],
        ...['one inference\nms', 'sum is off by', 'prediction\nis off by'],
      ],
      checks.map(({ network, sumMs, predictedMs: guess, measuredMs }) => [
        ...[network, significant(sumMs), guess === null ? '–' : significant(guess), significant(measuredMs)],
        ...[sumMs, guess].map((ms) => (ms === null ? '–' : signedPercent(ms / measuredMs - 1))),
      ]),
    ),
  );
  console.log(`written to ${out}`);
}

const worrying = 0.25;

/** One line for each network whose operations, timed one by one, do not make its own latency. */
export function sumWarnings(
  checks: readonly { readonly network: string; readonly sumMs: number; readonly measuredMs: number }[],
): readonly string[] {
  return checks.flatMap(({ network, sumMs, measuredMs }) =>
    Math.abs(sumMs / measuredMs - 1) <= worrying
      ? []
      : [
          `${network}: the sum of its operations is off by ${signedPercent(sumMs / measuredMs - 1)}; the machine was busy or changed its pace, time anew with --fresh`,
        ],
  );
}

function errorCells({
  count,
  meanRelative,
  medianRelative,
  p90Relative,
  rankCorrelation,
}: PredictionErrors): string[] {
  return [
    String(count),
    ...[meanRelative, medianRelative, p90Relative].map((error) => percent(error, 1)),
    rankCorrelation.toFixed(4),
  ];
}

/**
 * A network's latency, its layers predicted linearly by a fit to the rows of other layers; undefined where those are too
 * few.
 */
function predictedMs(architecture: Architecture, { rows }: LatencyTable): number | undefined {
  const operations = operationsOf(architecture, familyNamed).map(({ operation }) => operation);
  const own = new Set(operations.filter(({ kind }) => kind === OperationKind.Layer).map(operationKey));
  const predictor = fitLinear(rows.filter(({ operation }) => !own.has(operationKey(operation))));
  try {
    return operations.reduce((sum, operation) => sum + predictor.predictMs(operation), 0);
  } catch (error) {
    if (error instanceof OptionError) return undefined;
    throw error;
  }
}

function signedPercent(fraction: number): string {
  return `${fraction >= 0 ? '+' : ''}${percent(fraction, 1)}`;
}

function nameOf({ blocks }: Architecture): string {
  const families = new Set(blocks.flatMap(({ family }) => (family === undefined ? [] : [family])));
  return families.size === 1 ? `all ${[...families][0]!}` : [...families].join(' + ') || 'no blocks';
}
