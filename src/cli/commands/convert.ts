/**
 * @file `shiftaddnas convert`: a trained model in other arithmetic, without training.
 */
import { Option, type Command } from 'commander';
import { OptionError } from '../../base/errors.js';
import { methodUsages, modifierUsages, parseMethod, takesModifier } from '../../conversion/methods.js';
import { datasetUsages } from '../../data/load-dataset.js';
import type { ConvertedRow, ConvertResult } from '../../pipeline/jobs/convert-job.js';
import { bytes, count, percent, significant } from '../format.js';
import { superviseJob } from '../job.js';
import { examples, list, positiveNumber, wholeNumber } from '../options.js';
import { createProgressView } from '../progress.js';
import { textTable } from '../tables.js';

interface ConvertFlags {
  readonly to: readonly string[];
  readonly optq?: boolean;
  readonly meanBits?: number;
  readonly keep?: readonly string[];
  readonly calibrationImages: number;
  readonly data?: string;
  readonly imageSize?: number;
  readonly profile: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addConvertCommand(program: Command): void {
  const usage = (rows: readonly (readonly [string, string])[]): string =>
    rows.map(([name, text]) => `  ${name.padEnd(29)} ${text}`).join('\n');
  program
    .command('convert')
    .description(
      'Convert a trained model to powers of two, binary codes or integers, without training,\nand print what that does to its accuracy and cost.',
    )
    .argument('<model folder>', 'folder with architecture.json and model.safetensors')
    .addOption(
      new Option('--to <conversions>', 'conversions, with commas or several times; `all` for a whole table')
        .argParser((text: string, before: readonly string[] = []) => [...before, ...list(text)])
        .makeOptionMandatory(),
    )
    .option('--optq', 'add +optq to every conversion that takes it')
    .option('--mean-bits <bits>', 'add +mean<bits> to apot, bcq and int without a width', positiveNumber)
    .option(
      '--keep <layers>',
      'layers that stay as they are, none for no layer (default: the first and the last)',
      list,
    )
    .option(
      '--calibration-images <number>',
      'of the training part, for ranges and +optq',
      wholeNumber(1),
      512,
    )
    .option('--data <spec>', `data set (default: the one it was trained on): ${datasetUsages.join(', ')}`)
    .option('--image-size <pixels>', 'scale the images to this side', wholeNumber(1))
    .option('--profile <names>', 'cost profiles, names or files', list, ['fair', 'fair-int8'])
    .option('--out <folder>', 'write the converted model here; several in a folder each, by name')
    .option('--json', 'print the result as one JSON object, and nothing else, on stdout')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `\nConversions:\n${usage(methodUsages)}\nwith modifiers behind their names:\n${usage(modifierUsages)}\n${examples(
        'shiftaddnas convert runs/NAME --to all',
        'shiftaddnas convert runs/NAME --to apot2,bcq3 --optq --out converted',
        'shiftaddnas convert runs/NAME --to bcq+group64 --mean-bits 2.5 --keep none --data mnist',
        'shiftaddnas convert runs/all-add --to add.int8,add.int4+clamp --json',
      )}`,
    )
    .action((model: string, flags: ConvertFlags) => convert(model, flags));
}

async function convert(model: string, flags: ConvertFlags): Promise<void> {
  const { data, imageSize, calibrationImages, profile, out } = flags;
  const request = {
    ...{ model, data, imageSize, calibrationImages, out },
    methods: withFlags(flags),
    keep: flags.keep?.length === 1 && flags.keep[0] === 'none' ? [] : flags.keep,
    profiles: [...profile],
  };
  const result = await superviseJob('convert', request, createProgressView(flags), undefined);
  if (flags.json) return console.log(JSON.stringify(result));
  console.log(
    `${model} (trained on ${result.trainedOn}) on the ${result.testImages} test images of ${result.spec}:`,
  );
  console.log(table(result));
  const { kept } = result;
  console.log(
    [
      `kept as trained: ${kept.join(', ') || 'no layer'}`,
      `${result.calibrationImages} calibration images of the training part`,
      `test part read ${result.rows.length} times, once for each network`,
    ].join('; '),
  );
  for (const { folder } of result.rows) if (folder !== undefined) console.log(`written to ${folder}`);
}

/** The conversions asked for, with the modifiers that the flags add. @throws OptionError when a flag adds nothing */
function withFlags({ to, optq, meanBits }: ConvertFlags): readonly string[] {
  let names = to;
  for (const [flag, modifier, given] of [
    ['--mean-bits', `mean${meanBits}`, meanBits !== undefined],
    ['--optq', 'optq', optq === true],
  ] as const) {
    if (!given) continue;
    // Whether a mean is too small is for the parser to say.
    const probe = meanBits === undefined ? modifier : modifier.replace(/^mean.*/, 'mean8');
    const changed = names.map((name) => (takesModifier(name, probe) ? `${name}+${modifier}` : name));
    if (changed.every((name, i) => name === names[i]) && !names.includes('all'))
      throw new OptionError(`${flag} goes with none of ${names.join(', ')}; leave it out or see --help`);
    names = changed;
  }
  for (const name of names) if (name !== 'all') parseMethod(name);
  return names;
}

function table({ rows }: ConvertResult): string {
  const profiles = Object.keys(rows[0]!.energyMj);
  return textTable(
    [
      'conversion',
      'bits per weight\ncodes + scales',
      'test\naccuracy',
      'difference',
      ...profiles.map((name) => `energy mJ\n${name}`),
      'weights',
      'multiply',
      'shift',
      'distance',
      'sign-add',
      's',
    ],
    rows.map((row) => [
      row.method,
      bitsText(row),
      percent(row.accuracy),
      row.method === rows[0]!.method ? '' : signedPercent(row.difference),
      ...profiles.map((name) => significant(row.energyMj[name]!)),
      bytes(row.weightBytes),
      ...[row.operations.multiplications, row.operations.shifts].map(operations),
      ...[row.operations.distances, row.operations.signs].map(operations),
      significant(row.seconds),
    ]),
  );
}

function bitsText({ codeBits, bitsPerWeight }: ConvertedRow): string {
  if (codeBits === null || bitsPerWeight === null) return '';
  return `${codeBits.toFixed(2)} + ${(bitsPerWeight - codeBits).toFixed(2)}`;
}

function signedPercent(difference: number): string {
  return `${difference > 0 ? '+' : ''}${percent(difference)}`;
}

function operations(value: number): string {
  return value === 0 ? '' : count(Math.round(value));
}
