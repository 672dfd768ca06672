/**
 * @file `shiftaddnas reproduce`: a published table, trained again and set beside our figures.
 *
 * Every network is an ordinary training in a folder of its own below `--out`; a reproduction that is stopped or killed
 * goes on when the command is given again.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { OptionError } from '../../base/errors.js';
import { checkWritable, readJson, writeFileAtomic } from '../../base/files.js';
import { datasetUsages } from '../../data/load-dataset.js';
import { checkConfig } from '../../pipeline/config/config.js';
import type { ConvertResult } from '../../pipeline/jobs/convert-job.js';
import {
  configOf,
  fullPlan,
  readPlan,
  requireSamePlan,
  scaledPlan,
  shortenings,
  writePlan,
  type Plan,
} from '../../pipeline/reproduce/plan.js';
import { chosenEntries, fullEpochs, type Recipe, type RecipeEntry } from '../../pipeline/reproduce/recipe.js';
import { listRecipes, recipeNamed } from '../../pipeline/reproduce/registry.js';
import { outcomeOf, type ReproduceResult, type Trained } from '../../pipeline/reproduce/outcome.js';
import { finishedTraining, type TrainResult } from '../../pipeline/jobs/train-job.js';
import { requestFile, trainConfigSchema, type TrainConfig } from '../../pipeline/jobs/train-request.js';
import { count, duration, percent, significant } from '../format.js';
import { superviseJob } from '../job.js';
import { examples, list, positiveNumber, quoted, typedCommand, wholeNumber } from '../options.js';
import { createProgressView } from '../progress.js';
import { textTable } from '../tables.js';

interface ReproduceFlags {
  readonly list?: boolean;
  readonly data?: string;
  readonly only?: readonly string[];
  readonly seeds: number;
  readonly epochs?: number;
  readonly limitTrain?: number;
  readonly budgetMinutes?: number;
  readonly out?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addReproduceCommand(program: Command): void {
  program
    .command('reproduce')
    .description('Train what a published table trained, and print its figures beside ours.')
    .argument('[name]', 'recipe; --list shows them')
    .option('--list', 'the recipes: what they train, on what, for how long')
    .option('--data <spec>', `data set: ${datasetUsages.join(', ')}`)
    .option('--only <entries>', 'some entries of the table (a teacher comes along), by name', list)
    .option('--seeds <number>', 'train every entry with so many seeds', wholeNumber(1), 1)
    .option('--epochs <number>', 'passes over the training images, instead of the recipe’s', wholeNumber(1))
    .option('--limit-train <number>', 'train on at most so many images', wholeNumber(1))
    .option(
      '--budget-minutes <number>',
      'shorten seeds, epochs and at last images to fit this time, and say so',
      positiveNumber,
    )
    .option('--out <folder>', 'folder for networks and table (default: runs/reproduce-NAME)')
    .option('--json', 'print the result as one JSON object, and nothing else, on stdout')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      `\nA reproduction that was stopped goes on when the same command is given again.\n${examples(
        'shiftaddnas reproduce --list',
        'shiftaddnas reproduce deepshift-mnist',
        'shiftaddnas reproduce cifar10-resnet20 --data cifar10:./cifar-10-batches-bin --budget-minutes 60',
        'shiftaddnas reproduce cifar10-resnet20 --data folder:./cifar10.tar.gz --only conv,add --seeds 3',
      )}`,
    )
    .action((name: string | undefined, flags: ReproduceFlags) => reproduce(name, flags));
}

async function reproduce(name: string | undefined, flags: ReproduceFlags): Promise<void> {
  if (flags.list === true) return printRecipes(flags);
  if (name === undefined)
    throw new OptionError('reproduce needs the name of a recipe; shiftaddnas reproduce --list shows them');
  const recipe = recipeNamed(name);
  const out = flags.out ?? join('runs', `reproduce-${recipe.name}`);
  const plan = await planOf(recipe, out, flags);
  const talks = flags.json !== true && flags.quiet !== true;
  if (talks) console.log(planText(recipe, plan, out));
  const trained: Trained[] = [];
  for (const seed of plan.seeds)
    for (const entry of chosenEntries(recipe, Object.keys(plan.epochs))) {
      const path = join(out, folderName(entry.name, seed));
      const result = await trainEntry(recipe, entry, plan, seed, path, flags);
      const converted = await convertEntry(entry, path, plan, flags);
      trained.push({ entry: entry.name, path, result, ...(converted && { converted }) });
      if (talks)
        console.log(
          `${entry.name}, seed ${seed}: ${percent(result.testAccuracy)} in ${duration(result.seconds)}`,
        );
    }
  const result = outcomeOf(recipe, plan, trained, typedCommand());
  const text = resultText(recipe, result);
  writeFileAtomic(join(out, 'reproduce.json'), `${JSON.stringify(result, undefined, 1)}\n`);
  writeFileAtomic(join(out, 'table.txt'), `${text}\n`);
  console.log(flags.json ? JSON.stringify(result) : `\n${text}\n\nresult  ${join(out, 'reproduce.json')}`);
}

/** The plan of the folder, or a new one that is written there. */
async function planOf(recipe: Recipe, out: string, flags: ReproduceFlags): Promise<Plan> {
  const { budgetMinutes } = flags;
  const full = fullPlan(recipe, flags);
  const held = readPlan(out);
  if (held !== undefined) {
    requireSamePlan(held, budgetMinutes === undefined ? full : { ...full, budgetMinutes }, out);
    return held;
  }
  checkWritable(join(out, 'reproduce.json'));
  const plan = budgetMinutes === undefined ? full : await shortened(recipe, full, budgetMinutes, flags);
  writePlan(out, plan);
  return plan;
}

async function shortened(
  recipe: Recipe,
  full: Plan,
  budgetMinutes: number,
  flags: ReproduceFlags,
): Promise<Plan> {
  const entries = chosenEntries(recipe, Object.keys(full.epochs)).map(({ teacher, ...entry }) => ({
    name: entry.name,
    // Nobody has trained its teacher yet.
    config: checked(recipe, entry, full, full.seeds[0] as number, ''),
    subject: entry.subject,
    ...(teacher !== undefined && { teacher }),
  }));
  const speeds = await superviseJob('probe', { entries }, createProgressView(flags), undefined);
  return scaledPlan(full, budgetMinutes, new Map(speeds.map((speed) => [speed.name, speed])));
}

function checked(recipe: Recipe, entry: RecipeEntry, plan: Plan, seed: number, out: string): TrainConfig {
  const folderOf = (name: string): string => join(out, folderName(name, seed));
  return checkConfig(trainConfigSchema, configOf(recipe, entry, plan, seed, folderOf), recipe.name);
}

function folderName(entry: string, seed: number): string {
  return `${entry}-seed${seed}`;
}

/** Trains, goes on with, or only reads one network of the plan. */
async function trainEntry(
  recipe: Recipe,
  entry: RecipeEntry,
  plan: Plan,
  seed: number,
  path: string,
  flags: ReproduceFlags,
): Promise<TrainResult> {
  const finished = finishedTraining(path);
  if (finished !== undefined) return finished;
  const request = {
    config: checked(recipe, entry, plan, seed, dirname(path)),
    subject: entry.subject,
    path,
    resume: existsSync(join(path, requestFile)),
    command: typedCommand(),
  };
  return superviseJob('train', request, createProgressView(flags), againCommand(recipe, flags));
}

/** The conversions of one trained network, or those that were made before. */
async function convertEntry(
  { conversions }: RecipeEntry,
  model: string,
  { data }: Plan,
  flags: ReproduceFlags,
): Promise<ConvertResult | undefined> {
  if (conversions === undefined) return undefined;
  const methods = conversions.map(({ to }) => to);
  const kept = join(model, 'conversions.json');
  if (existsSync(kept)) {
    const before = readJson(kept) as ConvertResult;
    if (methods.every((method) => before.rows.some((row) => row.method === method))) return before;
  }
  const request = { model, methods, data, calibrationImages: 512, profiles: ['fair', 'fair-int8'] };
  const result = await superviseJob('convert', request, createProgressView(flags), undefined);
  writeFileAtomic(kept, `${JSON.stringify(result, undefined, 1)}\n`);
  return result;
}

/** The command that goes on with this reproduction: the same once more. */
function againCommand(recipe: Recipe, flags: ReproduceFlags): string {
  const { data, only, seeds, epochs, limitTrain, budgetMinutes, out } = flags;
  const parts = [
    ...(data === undefined ? [] : ['--data', quoted(data)]),
    ...(only === undefined ? [] : ['--only', only.join(',')]),
    ...(seeds === 1 ? [] : ['--seeds', String(seeds)]),
    ...(epochs === undefined ? [] : ['--epochs', String(epochs)]),
    ...(limitTrain === undefined ? [] : ['--limit-train', String(limitTrain)]),
    ...(budgetMinutes === undefined ? [] : ['--budget-minutes', String(budgetMinutes)]),
    ...(out === undefined ? [] : ['--out', quoted(out)]),
  ];
  return ['shiftaddnas reproduce', recipe.name, ...parts].join(' ');
}

function printRecipes({ json }: ReproduceFlags): void {
  const recipes = listRecipes();
  if (json === true) return console.log(JSON.stringify(recipes));
  console.log(
    textTable(
      ['recipe', 'what', 'data', 'entries', 'epochs'],
      recipes.map((recipe) => [
        recipe.name,
        `${recipe.title}\n${recipe.entries.map(({ name }) => name).join(', ')}`,
        recipe.data ?? `${recipe.dataset} (--data)`,
        String(recipe.entries.length),
        String(Math.max(...recipe.entries.map((entry) => fullEpochs(recipe, entry)))),
      ]),
    ),
  );
}

function planText(recipe: Recipe, plan: Plan, out: string): string {
  const short = shortenings(recipe, plan);
  return [
    `${recipe.title}`,
    `${recipe.source}; data ${plan.data}, seeds ${plan.seeds.join(', ')}, networks below ${out}`,
    short.length === 0 ? 'at the full length of the recipe' : `other than the recipe: ${short.join('; ')}`,
    '',
  ].join('\n');
}

function resultText(recipe: Recipe, result: ReproduceResult): string {
  const { plan, dataset, entries, pairs, machine } = result;
  const points = (value: number | null): string =>
    value === null ? '' : `${value < 0 ? '-' : '+'}${Math.abs(100 * value).toFixed(2)}`;
  const [profile] = Object.keys(entries[0]!.energyMj) as [string];
  const facts = [...new Set(entries.flatMap((entry) => Object.keys(entry.facts)))];
  const table = textTable(
    [
      'entry',
      'paper %\n(epochs)',
      'ours %\n(epochs)',
      'ours\n- paper',
      `gap to ${result.baseline}:\npaper`,
      'ours',
      'training',
      `energy mJ\n${profile}`,
      'operations',
      ...facts.map((name) => words(name)),
    ],
    entries.map((entry) => [
      entry.title,
      entry.published === undefined
        ? ''
        : `${(100 * entry.published.accuracy).toFixed(2)}${entry.published.epochs === undefined ? '' : ` (${entry.published.epochs})`}`,
      `${(100 * entry.testAccuracy).toFixed(2)}${entry.standardDeviation === null ? '' : ` ± ${(100 * entry.standardDeviation).toFixed(2)}`} (${entry.epochs})`,
      points(entry.difference),
      entry.name === result.baseline ? '' : points(entry.publishedGap),
      entry.name === result.baseline ? '' : points(entry.gap),
      duration(entry.seeds.reduce((total, { seconds }) => total + seconds, 0)),
      significant(entry.energyMj[profile] as number),
      entry.keptMacs === undefined ? count(entry.macs) : `${count(entry.keptMacs)} of ${count(entry.macs)}`,
      ...facts.map((name) => entry.facts[name]?.toFixed(2) ?? ''),
    ]),
  );
  const short = shortenings(recipe, plan);
  return [
    `${recipe.title} - ${recipe.source}`,
    table,
    ...conversionText(result, points),
    `${dataset.name}: ${dataset.trainImages} training images, ${dataset.testImages} test images read once per network; ` +
      `${plan.seeds.length === 1 ? `seed ${plan.seeds[0]}` : `seeds ${plan.seeds.join(', ')}, mean ± deviation`}; ` +
      `so many test images leave ±${(100 * result.testInterval).toFixed(2)} points`,
    short.length === 0
      ? 'schedule: the full length of the recipe'
      : `other than the recipe: ${short.join('; ')}`,
    ...(pairs.total === 0
      ? []
      : [`${pairs.agreeing} of ${pairs.total} pairs of published entries stand in the paper's order`]),
    `claim: ${recipe.claim}`,
    `trained in ${duration(result.seconds)} on ${machine.cpu}, ${machine.threads} threads`,
  ].join('\n');
}

/** The trained networks in other arithmetic, where the recipe asks for it. */
function conversionText(
  { entries }: ReproduceResult,
  points: (value: number | null) => string,
): readonly string[] {
  if (entries.every(({ conversions }) => conversions.length === 0)) return [];
  const rows = entries.flatMap(({ name, testAccuracy, conversions }) =>
    conversions.map((conversion) => [
      `${name} -> ${conversion.to}`,
      conversion.bitsPerWeight.toFixed(2),
      `${(100 * testAccuracy).toFixed(2)}`,
      `${(100 * conversion.testAccuracy).toFixed(2)}`,
      points(conversion.difference),
      points(conversion.published?.difference ?? null),
      ...Object.values(conversion.energyMj).map(significant),
    ]),
  );
  const profiles = Object.keys(entries.flatMap(({ conversions }) => conversions)[0]!.energyMj);
  return [
    textTable(
      [
        ...['conversion', 'bits per\nweight', 'trained %', 'converted %', 'difference', 'paper'],
        ...profiles.map((name) => `energy mJ\n${name}`),
      ],
      rows,
    ),
  ];
}

/** `digitsPerWeight` as `digits per weight`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
