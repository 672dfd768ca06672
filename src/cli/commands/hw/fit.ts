/**
 * @file `shiftaddnas hw fit`: makes a cost proxy for inner loops and prints how wrong it is.
 */
import type { Command } from 'commander';
import { FileError, OptionError } from '../../../base/errors.js';
import { writeFileAtomic } from '../../../base/files.js';
import { readLayerTable } from '../../../hardware/csv.js';
import { loadProfile, type LayerDescription } from '../../../hardware/index.js';
import { classTitle, fitProxy, typicalLayers, type ProxyErrors } from '../../../hardware/proxy.js';
import { percent } from '../../format.js';
import { examples, wholeNumber } from '../../options.js';
import { textTable } from '../../tables.js';
import { isSameFile, readTable } from './inputs.js';

interface FitFlags {
  readonly profile: string;
  readonly layers?: string;
  readonly count?: number;
  readonly seed?: number;
  readonly out?: string;
  readonly json?: boolean;
}

const defaultCount = 2400;
const defaultSeed = 1;

export function addFitCommand(hw: Command): void {
  hw.command('fit')
    .description('Fit a cost proxy (four terms per class of layers) to a profile, and print its errors.')
    .option('--profile <name|file>', 'cost profile: a built-in name or a .json or .yaml file', 'fair')
    .option('--layers <file.csv>', 'fit to these layers instead of a sample of typical ones')
    .option('--count <number>', `layers of the sample (default ${defaultCount})`, wholeNumber(1))
    .option('--seed <number>', `seed of the sample (default ${defaultSeed})`, wholeNumber(0))
    .option('--out <file.json>', 'write the proxy, for `parseProxy` of shiftaddnas/hardware')
    .option('--json', 'print the proxy as one JSON object')
    .addHelpText(
      'after',
      `\nErrors are those on layers left out of the fit: each half of the layers is tested on the fit to the other.\n${examples(
        'shiftaddnas hw fit --profile fair-int8 --out fair-int8.proxy.json',
        'shiftaddnas hw fit --profile fair --layers layers.csv',
      )}`,
    )
    .action((flags: FitFlags) => runFit(flags));
}

function runFit(flags: FitFlags): void {
  const profile = loadProfile(flags.profile);
  if (flags.layers !== undefined && (flags.count !== undefined || flags.seed !== undefined))
    throw new OptionError('--count and --seed are of the sample, which --layers replaces');
  for (const input of [flags.layers, flags.profile])
    if (flags.out !== undefined && input !== undefined && isSameFile(flags.out, input))
      throw new OptionError(`--out ${flags.out} would overwrite its input ${input}; name another file`);
  const layers =
    flags.layers === undefined
      ? typicalLayers({ seed: flags.seed ?? defaultSeed, count: flags.count ?? defaultCount })
      : tableLayers(flags.layers);
  const { file } = fitProxy(layers, profile);
  if (flags.out !== undefined) writeFileAtomic(flags.out, `${JSON.stringify(file, undefined, 1)}\n`);
  if (flags.json) return console.log(JSON.stringify(file));
  const errors = ({ median, p90, max }: ProxyErrors): string[] =>
    [median, p90, max].map((error) => percent(error, 1));
  console.log(`proxy of ${profile.name}, errors on layers left out of the fit:`);
  console.log(
    textTable(
      [
        ...['class', 'layers', 'energy\nmedian', 'energy\n90 %', 'energy\nworst'],
        ...['latency\nmedian', 'latency\n90 %', 'latency\nworst'],
      ],
      file.classes.map((each) => [
        classTitle(each),
        String(each.layers),
        ...errors(each.energyError),
        ...errors(each.latencyError),
      ]),
    ),
  );
  if (flags.out !== undefined) console.log(`written to ${flags.out}`);
}

function tableLayers(path: string): readonly LayerDescription[] {
  const { rows, badRows } = readTable(path, (text) => readLayerTable(text));
  const [bad] = badRows;
  if (bad !== undefined) throw new FileError(`${path}:${bad.line}: ${bad.message}`);
  return rows.map(({ layer }) => layer);
}
