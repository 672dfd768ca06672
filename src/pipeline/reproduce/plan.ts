/**
 * @file From a recipe to what is really trained: seeds, epochs and images, at full length or scaled to a time budget.
 *
 * A budget first takes seeds away, then epochs (all entries by the same factor, so that schedules stay comparable), then
 * training images. The plan is written beside the results before the first step, so a reproduction that was stopped goes
 * on with the same one however fast the machine is by then.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import { checkConfig, mergeConfig } from '../config/config.js';
import { chosenEntries, fullEpochs, type Recipe, type RecipeEntry } from './recipe.js';

/** What the user may change of a recipe. */
export interface PlanOptions {
  readonly data?: string;
  /** Of the entries; all when left out. */
  readonly only?: readonly string[];
  /** Number of seeds: 1, 2, ... */
  readonly seeds: number;
  /** Instead of the recipe's. */
  readonly epochs?: number;
  /** At most so many training images. */
  readonly limitTrain?: number;
}

export const planSchema = z.strictObject({
  format: z.literal('shiftaddnas-reproduce-plan'),
  version: z.literal(1),
  recipe: z.string(),
  data: z.string(),
  seeds: z.array(z.int().min(1)).min(1).readonly(),
  /** Entries in order, with their epochs. */
  epochs: z.record(z.string(), z.int().min(1)),
  limitTrain: z.int().min(1).optional(),
  budgetMinutes: z.number().positive().optional(),
  /** What a plan with a budget was made of. */
  asked: z
    .strictObject({
      seeds: z.int().min(1),
      epochs: z.record(z.string(), z.int().min(1)),
      limitTrain: z.int().min(1).optional(),
    })
    .optional(),
});

/** What is trained, in full. */
export type Plan = Readonly<z.output<typeof planSchema>>;

/** How long an entry takes on this machine. */
export interface Speed {
  readonly secondsPerStep: number;
  readonly batchSize: number;
  /** Images that are there to train on. */
  readonly trainImages: number;
}

/** The plan without a time budget. @throws OptionError when no data set is known, or an entry is not */
export function fullPlan(recipe: Recipe, options: PlanOptions): Plan {
  const data = options.data ?? recipe.data;
  if (data === undefined)
    throw new OptionError(
      `${recipe.name} needs ${recipe.dataset}: give it by --data, for example --data cifar10:FOLDER or --data folder:ARCHIVE`,
    );
  const limitTrain = options.limitTrain ?? recipe.config.split?.limitTrain;
  return {
    format: 'shiftaddnas-reproduce-plan',
    version: 1,
    recipe: recipe.name,
    data,
    seeds: Array.from({ length: options.seeds }, (_, i) => i + 1),
    epochs: Object.fromEntries(
      chosenEntries(recipe, options.only).map((entry) => [
        entry.name,
        options.epochs ?? fullEpochs(recipe, entry),
      ]),
    ),
    ...(limitTrain !== undefined && { limitTrain }),
  };
}

/** Seconds of one seed of the plan. */
function secondsOfSeed(plan: Plan, speeds: ReadonlyMap<string, Speed>, images = Infinity): number {
  return Object.entries(plan.epochs).reduce((total, [name, epochs]) => {
    const { secondsPerStep, batchSize, trainImages } = speeds.get(name) as Speed;
    return total + epochs * Math.floor(Math.min(trainImages, images) / batchSize) * secondsPerStep;
  }, 0);
}

/** Of the budget; the rest is for reading data, evaluating and writing. */
const trainingShare = 0.9;

/** The plan shortened to a time budget; as it is when it fits. @throws OptionError when not even one short pass fits */
export function scaledPlan(plan: Plan, budgetMinutes: number, speeds: ReadonlyMap<string, Speed>): Plan {
  const budget = 60 * budgetMinutes * trainingShare;
  const whole = secondsOfSeed(plan, speeds);
  const seeds = plan.seeds.slice(0, Math.max(1, Math.floor(budget / whole)));
  const factor = Math.min(1, budget / (whole * seeds.length));
  const epochs = Object.fromEntries(
    Object.entries(plan.epochs).map(([name, full]) => [name, Math.max(1, Math.floor(full * factor))]),
  );
  const { limitTrain } = plan;
  const asked = {
    seeds: plan.seeds.length,
    epochs: plan.epochs,
    ...(limitTrain !== undefined && { limitTrain }),
  };
  const shortened: Plan = { ...plan, seeds, epochs, budgetMinutes, asked };
  const needed = secondsOfSeed(shortened, speeds) * seeds.length;
  if (needed <= budget) return shortened;
  // One pass each is too long still: fewer images, whole batches of the largest entry.
  const all = [...speeds.values()];
  const batch = Math.max(...all.map(({ batchSize }) => batchSize));
  const available = Math.min(...all.map(({ trainImages }) => trainImages));
  const batches = Math.floor(((available / batch) * budget) / needed);
  if (batches < leastBatches)
    throw new OptionError(
      `--budget-minutes ${budgetMinutes} is too short: one pass over ${leastBatches * batch} images for each entry takes about ` +
        `${Math.ceil((secondsOfSeed(shortened, speeds, leastBatches * batch) / trainingShare / 60) * 10) / 10} minutes here; give more, or fewer entries by --only`,
    );
  return { ...shortened, limitTrain: batches * batch };
}

/** Fewer steps than these teach nothing. */
const leastBatches = 10;

/** How a plan differs from the recipe, in words; nothing when it does not. */
export function shortenings(recipe: Recipe, plan: Plan): readonly string[] {
  const entries = recipe.entries.filter(({ name }) => name in plan.epochs);
  const shorter = entries.filter((entry) => plan.epochs[entry.name] !== fullEpochs(recipe, entry));
  const first = shorter[0];
  return [
    ...(entries.length < recipe.entries.length
      ? [`${entries.length} of its ${recipe.entries.length} entries`]
      : []),
    ...(first === undefined
      ? []
      : [
          `${plan.epochs[first.name]} instead of ${fullEpochs(recipe, first)} epochs` +
            (shorter.length === 1 ? ` of ${first.name}` : ` of ${first.name}, the others alike`),
        ]),
    ...(recipe.data === undefined || recipe.data === plan.data
      ? []
      : [`data ${plan.data} in the place of ${recipe.dataset}, which the paper's figures are of`]),
    ...(plan.limitTrain === undefined || plan.limitTrain === recipe.config.split?.limitTrain
      ? []
      : [`at most ${plan.limitTrain} training images`]),
  ];
}

/** The unchecked configuration of one training of the plan; `folderOf` says where the entry's teacher stands. */
export function configOf(
  recipe: Recipe,
  entry: RecipeEntry,
  plan: Plan,
  seed: number,
  folderOf: (entry: string) => string,
): Record<string, unknown> {
  // Another optimiser has other keys: its section stands alone.
  const { retrain, ...shared } = recipe.config;
  const own = entry.config?.retrain?.optimiser !== undefined;
  return mergeConfig(
    own ? shared : { ...shared, retrain },
    entry.config ?? {},
    {
      data: plan.data,
      seed,
      retrain: { epochs: plan.epochs[entry.name] },
      ...(plan.limitTrain !== undefined && { split: { limitTrain: plan.limitTrain } }),
    },
    entry.teacher === undefined ? {} : { techniques: { distill: { teacher: folderOf(entry.teacher) } } },
  );
}

const planFile = 'plan.json';

/** The plan that a folder was begun with; undefined when it has none. @throws FileError, OptionError for a damaged one */
export function readPlan(folder: string): Plan | undefined {
  const path = join(folder, planFile);
  return existsSync(path) ? checkConfig(planSchema, readJson(path), path) : undefined;
}

/** Writes the plan that the folder's trainings follow. @throws OutputError */
export function writePlan(folder: string, plan: Plan): void {
  writeFileAtomic(join(folder, planFile), `${JSON.stringify(plan, undefined, 1)}\n`);
}

/**
 * Of a folder with a plan: that it is what is asked for now. What the time budget made of it is not compared, because
 * that depends on the machine's speed of the moment.
 * @throws OptionError
 */
export function requireSamePlan(held: Plan, asked: Plan, folder: string): void {
  const comparable = ({ recipe, data, budgetMinutes, asked, ...plan }: Plan): string =>
    JSON.stringify([
      ...[recipe, data, budgetMinutes],
      ...[asked?.seeds ?? plan.seeds.length, asked?.epochs ?? plan.epochs],
      asked === undefined ? plan.limitTrain : asked.limitTrain,
    ]);
  if (comparable(held) !== comparable(asked))
    throw new OptionError(
      `${folder} holds a reproduction with other options; give the same ones to go on with it, or another --out`,
    );
}
