/**
 * @file The outcome of a reproduction: per entry what was published, what we measured, and how they differ.
 */
import { mean, deviation } from 'd3-array';
import type { ConvertResult } from '../jobs/convert-job.js';
import type { TrainResult } from '../jobs/train-job.js';
import type { Plan } from './plan.js';
import { fullEpochs, type PublishedFigure, type Recipe, type RecipeConversion } from './recipe.js';

/** One trained network. */
export interface SeedOutcome {
  readonly seed: number;
  /** Its folder. */
  readonly path: string;
  readonly testAccuracy: number;
  readonly searchValidationAccuracy: number;
  readonly seconds: number;
}

export interface EntryOutcome {
  readonly name: string;
  readonly title: string;
  readonly published?: PublishedFigure;
  readonly epochs: number;
  readonly recipeEpochs: number;
  readonly seeds: readonly SeedOutcome[];
  /** Mean over the seeds, 0 to 1. */
  readonly testAccuracy: number;
  /** Over the seeds; null for one. */
  readonly standardDeviation: number | null;
  /** Ours less published, 0 to 1. */
  readonly difference: number | null;
  /** To the baseline, ours and published. */
  readonly gap: number;
  readonly publishedGap: number | null;
  /** One inference, by profile. */
  readonly energyMj: Readonly<Record<string, number>>;
  readonly macs: number;
  /** Those whose terms are still in the sums; absent where none was left out. */
  readonly keptMacs?: number;
  readonly params: number;
  /** What techniques say of the trained network, mean over the seeds: `digitsPerWeight`. */
  readonly facts: Readonly<Record<string, number>>;
  readonly conversions: readonly ConversionOutcome[];
}

/** A trained network in other arithmetic, means over the seeds. */
export interface ConversionOutcome extends RecipeConversion {
  readonly testAccuracy: number;
  /** To the network as it was trained. */
  readonly difference: number;
  /** Codes and scales; of the converted layers. */
  readonly bitsPerWeight: number;
  readonly energyMj: Readonly<Record<string, number>>;
}

/** What `reproduce.json` holds. */
export interface ReproduceResult {
  readonly format: 'shiftaddnas-reproduce';
  readonly version: 1;
  readonly recipe: string;
  readonly title: string;
  readonly source: string;
  readonly claim: string;
  readonly plan: Plan;
  readonly command: string;
  readonly dataset: TrainResult['dataset'];
  readonly machine: TrainResult['machine'];
  readonly versions: TrainResult['versions'];
  readonly baseline: string;
  readonly seconds: number;
  /** Half the width of the 95 % interval that the number of test images leaves, at the baseline's accuracy. */
  readonly testInterval: number;
  /** Pairs of entries with published figures, and how many of them stand in the same order here. */
  readonly pairs: { readonly total: number; readonly agreeing: number };
  readonly entries: readonly EntryOutcome[];
}

/** One training of the plan that is done. */
export interface Trained {
  readonly entry: string;
  readonly path: string;
  readonly result: TrainResult;
  /** Of the conversions that the entry asks for. */
  readonly converted?: ConvertResult;
}

/** Puts the trained networks of a plan together; every entry of the plan has one for each seed. */
export function outcomeOf(
  recipe: Recipe,
  plan: Plan,
  trained: readonly Trained[],
  command: string,
): ReproduceResult {
  const entries = recipe.entries.filter(({ name }) => name in plan.epochs);
  const of = (name: string): readonly Trained[] => trained.filter(({ entry }) => entry === name);
  const accuracyOf = (name: string): number =>
    mean(of(name), ({ result }) => result.testAccuracy) ?? Number.NaN;
  const baseline = entries.find(({ name }) => name === recipe.baseline) ?? entries[0]!;
  const outcomes = entries.map((entry): EntryOutcome => {
    const { name, title, published, conversions = [] } = entry;
    const runs = of(name);
    const testAccuracy = accuracyOf(name);
    const { energyMj, macs, params, keptMacs, facts = {} } = runs[0]!.result;
    const basePublished = baseline.published?.accuracy;
    return {
      name,
      title,
      ...(published !== undefined && { published }),
      epochs: plan.epochs[name] as number,
      recipeEpochs: fullEpochs(recipe, entry),
      seeds: runs.map(({ path, result }) => ({
        seed: result.seed,
        path,
        testAccuracy: result.testAccuracy,
        searchValidationAccuracy: result.searchValidationAccuracy,
        seconds: result.seconds,
      })),
      testAccuracy,
      standardDeviation: deviation(runs, ({ result }) => result.testAccuracy) ?? null,
      difference: published === undefined ? null : testAccuracy - published.accuracy,
      gap: testAccuracy - accuracyOf(baseline.name),
      publishedGap:
        published === undefined || basePublished === undefined ? null : published.accuracy - basePublished,
      energyMj,
      macs,
      ...(keptMacs !== undefined && { keptMacs }),
      params,
      facts: Object.fromEntries(
        Object.keys(facts).map((key) => [key, mean(runs, ({ result }) => result.facts?.[key]) ?? Number.NaN]),
      ),
      conversions: conversions.map((conversion) => convertedOutcome(conversion, runs)),
    };
  });
  const { dataset, machine, versions } = trained[0]!.result;
  const p = accuracyOf(baseline.name);
  return {
    format: 'shiftaddnas-reproduce',
    version: 1,
    recipe: recipe.name,
    title: recipe.title,
    source: recipe.source,
    claim: recipe.claim,
    plan,
    command,
    dataset,
    machine,
    versions,
    baseline: baseline.name,
    seconds: trained.reduce((total, { result }) => total + result.seconds, 0),
    testInterval: 1.96 * Math.sqrt((p * (1 - p)) / dataset.testImages),
    pairs: pairsOf(outcomes),
    entries: outcomes,
  };
}

function convertedOutcome(conversion: RecipeConversion, runs: readonly Trained[]): ConversionOutcome {
  const rows = runs.map(({ converted }) => converted?.rows.find(({ method }) => method === conversion.to));
  const [first] = rows;
  if (first === undefined) throw new Error(`no network was converted to ${conversion.to}`);
  return {
    ...conversion,
    testAccuracy: mean(rows, (row) => row?.accuracy) ?? Number.NaN,
    difference: mean(rows, (row) => row?.difference) ?? Number.NaN,
    bitsPerWeight: first.bitsPerWeight ?? Number.NaN,
    energyMj: first.energyMj,
  };
}

/** Published figures that are equal order nothing. */
function pairsOf(entries: readonly EntryOutcome[]): { readonly total: number; readonly agreeing: number } {
  let [total, agreeing] = [0, 0];
  entries.forEach((first, i) =>
    entries.slice(i + 1).forEach((second) => {
      const [a, b] = [first.published?.accuracy, second.published?.accuracy];
      if (a === undefined || b === undefined || a === b) return;
      total++;
      if (Math.sign(a - b) === Math.sign(first.testAccuracy - second.testAccuracy)) agreeing++;
    }),
  );
  return { total, agreeing };
}
