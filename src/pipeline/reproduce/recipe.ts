/**
 * @file A recipe: what a published table trained, as plain data, so that one command trains it again and puts our
 * figures beside the paper's.
 *
 * A recipe is a list of entries that share data, augmentation and schedule; an entry is a network, what it changes of
 * the schedule, and the figure that was published for it. What a recipe claims it says in words: on schedules shorter
 * than the published ones, the order of the entries and the gaps between them, never the figures themselves.
 */
import { OptionError } from '../../base/errors.js';
import type { RunConfigInput } from '../config/config.js';
import type { ModelSubject } from '../jobs/train-request.js';

/** What a recipe sets of a training's configuration; data, seed and folders are the plan's. */
export type RecipeConfig = Partial<
  Pick<RunConfigInput, 'augmentation' | 'split' | 'retrain' | 'techniques' | 'profile' | 'reportProfiles'>
>;

/** A published accuracy. */
export interface PublishedFigure {
  /** 0 to 1. */
  readonly accuracy: number;
  /** Length of the published training, in passes over its training images; absent where it is not told. */
  readonly epochs?: number;
  /** Where it stands. */
  readonly source: string;
}

export interface RecipeEntry {
  /** Names folders and flags: `conv`, `add-kd`. */
  readonly name: string;
  /** For tables. */
  readonly title: string;
  readonly subject: ModelSubject;
  /** Laid over the recipe's, section by section. */
  readonly config?: RecipeConfig;
  readonly published?: PublishedFigure;
  /** The entry whose trained network of the same seed teaches this one; it stands before it. */
  readonly teacher?: string;
  /** Post-training conversions that this entry's network is measured under, as `convert --to` names them. */
  readonly conversions?: readonly RecipeConversion[];
}

/** A conversion of a trained network, and what was published for such a one. */
export interface RecipeConversion {
  readonly to: string;
  /** Accuracy behind the conversion less that before it, 0 to 1. */
  readonly published?: { readonly difference: number; readonly source: string };
}

export interface Recipe {
  readonly name: string;
  readonly title: string;
  /** Papers, with arXiv numbers. */
  readonly source: string;
  /** What a reader may conclude from the table, and what not. */
  readonly claim: string;
  /** Data set where the user names none; absent when it must be given. */
  readonly data?: string;
  /** The published data set in words: `CIFAR-10`. */
  readonly dataset: string;
  readonly config: RecipeConfig;
  /** The entry that gaps are taken to. */
  readonly baseline: string;
  readonly entries: readonly RecipeEntry[];
}

/** Passes over the training images that an entry is to have at full length. */
export function fullEpochs(recipe: Recipe, entry: RecipeEntry): number {
  const epochs = entry.config?.retrain?.epochs ?? recipe.config.retrain?.epochs;
  if (epochs === undefined) throw new Error(`recipe ${recipe.name} gives no epochs for ${entry.name}`);
  return epochs;
}

/** The entries of these names with the teachers they need, in the recipe's order. @throws OptionError */
export function chosenEntries(recipe: Recipe, names: readonly string[] | undefined): readonly RecipeEntry[] {
  if (names === undefined) return recipe.entries;
  const wanted = new Set<string>();
  const want = (name: string): void => {
    const entry = recipe.entries.find((candidate) => candidate.name === name);
    if (entry === undefined)
      throw new OptionError(
        `'${name}' is no entry of ${recipe.name}; it has ${recipe.entries.map((each) => each.name).join(', ')}`,
      );
    wanted.add(name);
    if (entry.teacher !== undefined) want(entry.teacher);
  };
  for (const name of names) want(name);
  return recipe.entries.filter(({ name }) => wanted.has(name));
}
