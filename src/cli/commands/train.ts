/**
 * @file `shiftaddnas train`: one architecture from scratch.
 */
import { Option, type Command } from 'commander';
import { OptionError } from '../../base/errors.js';
import { fileOrInside, readJson } from '../../base/files.js';
import { datasetUsages } from '../../data/load-dataset.js';
import { familyNamed, listFamilies, quantisedNames } from '../../operators/registry.js';
import { checkConfig } from '../../pipeline/config/config.js';
import type { TrainResult } from '../../pipeline/jobs/train-job.js';
import {
  readTrainRequest,
  trainConfigSchema,
  type ModelSubject,
  type TrainConfig,
  type TrainSubject,
} from '../../pipeline/jobs/train-request.js';
import { residualActivations, type ResidualActivation } from '../../spaces/blocks/residual.js';
import { familiesOf } from '../../spaces/models/contract.js';
import { listModels, modelNamed } from '../../spaces/models/registry.js';
import { parseArchitecture } from '../../spaces/parse.js';
import { duration, percent } from '../format.js';
import { superviseJob } from '../job.js';
import {
  addConfigOptions,
  examples,
  freshFolder,
  gatherConfig,
  positiveNumber,
  quoted,
  sourceOf,
  typedCommand,
  wholeNumber,
  type ConfigFlags,
} from '../options.js';
import { createProgressView } from '../progress.js';
import { architecturePicture, costLines } from '../tables.js';

interface TrainFlags extends ConfigFlags {
  readonly architecture?: string;
  readonly family?: string;
  readonly model?: string;
  readonly op?: string;
  readonly ends?: string;
  readonly activation?: ResidualActivation;
  readonly selfShortcut?: boolean;
  readonly epochs?: number;
  readonly limitTrain?: number;
  readonly batchSize?: number;
  readonly learningRate?: number;
  readonly optimiser?: string;
  readonly schedule?: string;
  readonly distill?: string;
  readonly ema?: number;
  readonly mixup?: number;
  readonly cutmix?: number;
  readonly out?: string;
  readonly resume?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Where neither flags nor a file say otherwise. */
const defaultSchedule = { epochs: 10, batchSize: 128 };

export function addTrainCommand(program: Command): void {
  const command = program
    .command('train')
    .description('Train one architecture from scratch and write the model.')
    .option('--architecture <path>', 'architecture.json of a run or of your own, or the folder that holds it')
    .option('--family <name>', 'instead: the macro-architecture of the space in one operator family')
    .option('--model <name>', 'instead: a published model, see below')
    .option(
      '--op <families>',
      'operator family of the model, or one for each stage: conv,pot.q,add (default conv)',
    )
    .addOption(
      new Option('--ends <what>', 'first layer and classifier of the model (default: as published)').choices([
        'conv',
        'op',
      ]),
    )
    .addOption(
      new Option(
        '--activation <kind>',
        'of the residual blocks of a model (default relu); relu instead of k winners',
      ).choices(residualActivations),
    )
    .option('--self-shortcut', 'a shortcut around each layer of residual blocks instead of around two');
  addConfigOptions(command, datasetUsages)
    .option('--epochs <number>', 'passes over the training images (default 10)', wholeNumber(1))
    .option('--limit-train <number>', 'train on at most so many images', wholeNumber(1))
    .option('--batch-size <number>', 'images per step (default 128)', wholeNumber(2))
    .option(
      '--learning-rate <number>',
      'peak learning rate (default 0.1; adamw and radam 0.001)',
      positiveNumber,
    )
    .option('--optimiser <name>', 'sgd (default), adamw or radam')
    .option('--schedule <name>', 'of the learning rate: cosine (default), step, onecycle, linear or constant')
    .option('--distill <model>', 'learn from this teacher too: the folder of a model, or an ONNX file')
    .option(
      '--ema <decay>',
      'average the weights over the steps by this decay, 0.999 for example',
      positiveNumber,
    )
    .option('--mixup <alpha>', 'blend images, in proportions drawn from Beta(alpha, alpha)', positiveNumber)
    .option('--cutmix <alpha>', 'paste boxes of other images, sized by Beta(alpha, alpha)', positiveNumber)
    .option('--out <folder>', 'folder for the model (default: below runs, by data set and time)')
    .option('--resume <folder>', 'go on with a training that was stopped or killed')
    .option('--json', 'print the result as one JSON object, and nothing else, on stdout')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `\nThe configuration file is that of a search; its section 'retrain' is the schedule,\n'techniques' what training does beside it (examples/cifar10.yaml lists every key).\n\n${modelLines()}\n${examples(
        'shiftaddnas train --family add --data mnist --epochs 5 --out models/all-add',
        'shiftaddnas train --model resnet20 --op add --data cifar10',
        'shiftaddnas train --model lenet5-bn --op conv,add,add,pot.q --data mnist --epochs 5',
        'shiftaddnas train --architecture runs/NAME/architecture.json --data mnist --seed 7',
        'shiftaddnas train --family add --data mnist --distill models/all-conv --ema 0.999',
        'shiftaddnas train --resume models/all-add',
      )}`,
    )
    .action((flags: TrainFlags) => train(flags));
}

async function train(flags: TrainFlags): Promise<void> {
  const resume = flags.resume !== undefined;
  const { config, subject } =
    flags.resume === undefined ? requestOf(flags) : resumedRequest(flags, flags.resume);
  const path = flags.resume ?? flags.out ?? freshFolder(config.out, config.data, 'train-');
  const view = createProgressView(flags);
  const request = { config, subject, path, resume, command: typedCommand() };
  const result = await superviseJob('train', request, view, `shiftaddnas train --resume ${quoted(path)}`);
  console.log(flags.json ? JSON.stringify(result) : summary(result, path));
}

function requestOf(flags: TrainFlags): { readonly config: TrainConfig; readonly subject: TrainSubject } {
  const { architecture, family, model } = flags;
  if ([architecture, family, model].filter((given) => given !== undefined).length !== 1)
    throw new OptionError(
      'train needs one of --architecture PATH (an architecture.json or its folder), --family NAME (for example --family conv) ' +
        'and --model NAME (for example --model resnet20)',
    );
  for (const [option, name] of modelOptions)
    if (model === undefined && flags[option] !== undefined)
      throw new OptionError(`--${name} goes with --model; for example --model resnet20 --op add`);
  const { epochs, limitTrain, batchSize, learningRate: peakLearningRate, optimiser, schedule } = flags;
  const given = gatherConfig(flags, techniquesOf(flags), { split: { limitTrain } });
  if (given['data'] === undefined)
    throw new OptionError(
      'train needs data: give --data SPEC, for example --data mnist, or a file by --config',
    );
  const values = {
    ...given,
    retrain: merged(defaultSchedule, given['retrain'], {
      epochs,
      batchSize,
      peakLearningRate,
      optimiser,
      schedule,
    }),
  };
  const config = checkConfig(trainConfigSchema, values, sourceOf(flags));
  if (architecture !== undefined) {
    const where = fileOrInside(architecture, 'architecture.json');
    return { config, subject: { architecture: parseArchitecture(readJson(where), where), where } };
  }
  if (model !== undefined) return { config, subject: modelSubject(model, flags) };
  return { config, subject: { family: familyNamed(family as string).name } };
}

/** The section `techniques` as far as flags give it. */
function techniquesOf({ distill: teacher, ema: decay, mixup, cutmix }: TrainFlags): object {
  const sections = {
    ...(teacher !== undefined && { distill: { teacher } }),
    ...(decay !== undefined && { ema: { decay } }),
    ...(mixup !== undefined && { mixup: { alpha: mixup } }),
    ...(cutmix !== undefined && { cutmix: { alpha: cutmix } }),
  };
  return Object.keys(sections).length === 0 ? {} : { techniques: sections };
}

/** Flags that say more of a model. */
const modelOptions = [
  ['op', 'op'],
  ['ends', 'ends'],
  ['activation', 'activation'],
  ['selfShortcut', 'self-shortcut'],
] as const;

/** A model by its flags; names and the number of families are checked before anything is loaded. */
function modelSubject(
  name: string,
  { op = 'conv', ends, activation, selfShortcut }: TrainFlags,
): ModelSubject {
  const model = modelNamed(name);
  const families = familiesOf(
    model,
    op.split(',').map((family) => family.trim()),
  );
  return {
    model: model.name,
    families,
    ...(ends !== undefined && { convertAll: ends === 'op' }),
    ...(activation !== undefined && { activation }),
    ...(selfShortcut !== undefined && { selfShortcut }),
  };
}

/** `NAME  TITLE, STAGES stages` for each model. */
function modelLines(): string {
  const longest = Math.max(...listModels().map(({ name }) => name.length));
  return [
    `Families of --family and --op: ${listFamilies()
      .map(({ name }) => name)
      .join(', ')}, ${quantisedNames}`,
    'Models:',
    ...listModels().map(({ name, title, stages }) => `  ${name.padEnd(longest)}  ${title}, ${stages} stages`),
    '',
  ].join('\n');
}

/** Later values win; a section that is no section is left for the schema to complain about. */
function merged(first: object, second: unknown, third: object): unknown {
  if (second !== undefined && (typeof second !== 'object' || second === null)) return second;
  const given = Object.entries(third).filter(([, value]) => value !== undefined);
  return { ...first, ...second, ...Object.fromEntries(given) };
}

const allowedWithResume = ['resume', 'json', 'quiet'];

function resumedRequest(flags: TrainFlags, folder: string): ReturnType<typeof readTrainRequest> {
  const changing = Object.keys(flags).find((flag) => !allowedWithResume.includes(flag));
  if (changing !== undefined)
    throw new OptionError(
      `--resume goes on with the training's own options, so '${changing}' cannot be given with it; start a new training to change it`,
    );
  return readTrainRequest(folder);
}

function summary(result: TrainResult, path: string): string {
  const { dataset, seed, seconds, testAccuracy, searchValidationAccuracy, keptMacs } = result;
  return [
    '',
    architecturePicture(result.architecture),
    '',
    `${dataset.name}, seed ${seed}, trained in ${duration(seconds)}`,
    `test accuracy ${percent(testAccuracy)}, on search-validation ${percent(searchValidationAccuracy)}`,
    costLines(result),
    ...Object.entries(result.facts ?? {}).map(([name, value]) => `${name} ${value.toFixed(3)}`),
    ...(keptMacs === undefined
      ? []
      : [`pruned to ${keptMacs} of ${result.macs} operations (${percent(keptMacs / result.macs)})`]),
    '',
    `model  ${path}`,
  ].join('\n');
}
