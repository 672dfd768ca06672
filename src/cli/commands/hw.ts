/**
 * @file `shiftaddnas hw`: the cost models, without any data or training.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { FileError, OptionError, isSystemError, messageOf } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import {
  builtInProfileNames,
  compareWithGolden,
  estimate,
  estimateCsv,
  loadProfile,
  profileSummary,
  type AcceleratorProfile,
  type LayerCost,
} from '../../hardware/index.js';
import { familyNamed } from '../../operators/registry.js';
import { layersOf } from '../../spaces/layers.js';
import { parseArchitecture } from '../../spaces/parse.js';
import { significant } from '../format.js';
import { examples } from '../options.js';
import { layerTable } from '../tables.js';

interface EstimateFlags {
  readonly layers?: string;
  readonly architecture?: string;
  readonly profile: string;
  readonly csv?: string;
  readonly json?: boolean;
}

const brokenRowsExitCode = 2;

export function addHardwareCommands(program: Command): void {
  const hw = program
    .command('hw')
    .description('What layers and networks cost on an accelerator.')
    .addHelpText(
      'after',
      examples(
        'shiftaddnas hw estimate --architecture runs/NAME',
        'shiftaddnas hw estimate --layers layers.csv --csv priced.csv',
        'shiftaddnas hw profiles',
        'shiftaddnas hw golden',
      ),
    );
  hw.command('estimate')
    .description('Price a table of layers or an architecture under a cost profile.')
    .option('--layers <file.csv>', 'columns type, N, H, W, C, R, M, E, F, stride (and groups)')
    .option(
      '--architecture <path>',
      'instead: an architecture.json, or the folder of a run or model with one',
    )
    .option('--profile <name|file>', 'cost profile: a built-in name or a .json or .yaml file', 'fair')
    .option('--csv <file>', 'write the priced layers as CSV (with --layers)')
    .option('--json', 'print the figures as one JSON object')
    .addHelpText(
      'after',
      `\nRows that cannot be priced are named by line on stderr; the others are priced, and the exit code is 2.\n${examples(
        'shiftaddnas hw estimate --layers layers.csv --profile paper-cv-168 --csv priced.csv',
        'shiftaddnas hw estimate --architecture runs/NAME --profile fair --json',
      )}`,
    )
    .action((flags: EstimateFlags) => runEstimate(flags));
  hw.command('profiles')
    .description('List the built-in cost profiles.')
    .option('--json', 'print the profiles as one JSON array')
    .addHelpText(
      'after',
      examples('shiftaddnas hw profiles', 'shiftaddnas hw profiles --json > profiles.json'),
    )
    .action(({ json }: { readonly json?: boolean }) => {
      const profiles = builtInProfileNames.map(loadProfile);
      console.log(json ? JSON.stringify(profiles) : profiles.map(profileSummary).join('\n\n'));
    });
  hw.command('golden')
    .description('Compare the paper profiles with the published cost model, layer by layer.')
    .option('--json', 'print the comparison as one JSON object')
    .addHelpText('after', examples('shiftaddnas hw golden'))
    .action(({ json }: { readonly json?: boolean }) => {
      const golden = compareWithGolden();
      const at =
        golden.largestAt === undefined
          ? ''
          : ` (${golden.largestAt.column} of line ${golden.largestAt.line})`;
      console.log(
        json
          ? JSON.stringify(golden)
          : `${golden.matched} of ${golden.rows} published layers matched within ${golden.tolerance} relative, ` +
              `${golden.sameTiling} with the same tiling\nlargest deviation ${golden.largestDeviation.toExponential(2)}${at}`,
      );
      if (golden.matched < golden.rows) process.exitCode = 1;
    });
}

function runEstimate(flags: EstimateFlags): void {
  const { layers, architecture, json, csv } = flags;
  if (architecture !== undefined && layers === undefined) {
    if (csv !== undefined) throw new OptionError('--csv goes with --layers; for an architecture use --json');
    return estimateArchitecture(architecture, loadProfile(flags.profile), json === true);
  }
  if (layers === undefined || architecture !== undefined)
    throw new OptionError('hw estimate needs either --layers FILE.csv or --architecture PATH');
  estimateLayers(layers, loadProfile(flags.profile), flags);
}

function estimateArchitecture(given: string, profile: AcceleratorProfile, json: boolean): void {
  const path = existsSync(given) && statSync(given).isDirectory() ? join(given, 'architecture.json') : given;
  const cost = estimate(layersOf(parseArchitecture(readJson(path), path), familyNamed), profile);
  console.log(
    json ? JSON.stringify(cost) : `${path} under ${cost.profile}, one inference:\n${layerTable(cost)}`,
  );
}

function estimateLayers(path: string, profile: AcceleratorProfile, flags: EstimateFlags): void {
  const text = readText(path);
  for (const input of [path, flags.profile])
    if (flags.csv !== undefined && isSameFile(flags.csv, input))
      throw new OptionError(`--csv ${flags.csv} would overwrite its input ${input}; name another file`);
  const priced = estimateCsv(text, { profile });
  if (flags.csv !== undefined) writeFileAtomic(flags.csv, priced.csv);
  const layers = priced.rows.map(({ cost }) => cost);
  const total = totalOf(layers);
  if (flags.json) {
    const rows = priced.rows.map(({ line, cost }) => ({ line, ...cost }));
    console.log(
      JSON.stringify({
        profile: profile.name,
        ...total,
        rows,
        badRows: priced.badRows,
        notices: priced.notices,
      }),
    );
  } else if (flags.csv === undefined)
    console.log(`${path} under ${profile.name}:\n${layerTable({ layers, ...total })}`);
  else
    console.log(
      `${layers.length} layers under ${profile.name}: energy ${significant(total.energyMj)} mJ, ` +
        `latency ${significant(total.latencyMs)} ms; written to ${flags.csv}`,
    );
  for (const { message, lines } of priced.notices)
    console.error(`notice: ${path}: ${message}; ${linesText(lines)}`);
  for (const { line, message } of priced.badRows) console.error(`error: ${path}:${line}: ${message}`);
  if (priced.badRows.length > 0) process.exitCode = brokenRowsExitCode;
}

function totalOf(
  layers: readonly LayerCost[],
): Omit<LayerCost, 'name' | 'primitive' | 'byOperand' | 'tiling'> {
  const sum = (of: (cost: LayerCost) => number): number =>
    layers.reduce((total, cost) => total + of(cost), 0);
  return {
    operations: sum((cost) => cost.operations),
    energyMj: sum((cost) => cost.energyMj),
    latencyMs: sum((cost) => cost.latencyMs),
    byLevel: {
      computeMj: sum(({ byLevel }) => byLevel.computeMj),
      dramMj: sum(({ byLevel }) => byLevel.dramMj),
      globalBufferMj: sum(({ byLevel }) => byLevel.globalBufferMj),
      nocMj: sum(({ byLevel }) => byLevel.nocMj),
      registerFileMj: sum(({ byLevel }) => byLevel.registerFileMj),
    },
  };
}

const linesNamed = 5;

function linesText(lines: readonly number[]): string {
  const named = lines.slice(0, linesNamed).join(', ');
  return `line${lines.length > 1 ? 's' : ''} ${named}${lines.length > linesNamed ? ` and ${lines.length - linesNamed} more` : ''}`;
}

/** Whether two paths lead to one file that exists, be it through links. */
function isSameFile(a: string, b: string): boolean {
  // Paths that cannot even be looked at (below a file, in a closed folder) do not exist either.
  if (!existsSync(a) || !existsSync(b)) return false;
  const [first, second] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
  return first.dev === second.dev && first.ino === second.ino;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such file`);
    if (isSystemError(error, 'EISDIR'))
      throw new FileError(`${path}: a folder; give the CSV file with the layers`);
    throw new FileError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
}
