/**
 * @file Several finished runs side by side: the fronts of what they found, retrained, under one reference point, and how
 * networks that mix operators stand against those of a single family at their energy.
 *
 * Only networks that a search found count as its front, not the baselines that are retrained beside them: runs that are
 * compared have had the same effort. Accuracies are on the test part; of networks retrained with several seeds the mean.
 */
import { OptionError } from '../../base/errors.js';
import { sampleDeviation } from '../../base/statistics.js';
import type { Objectives } from '../../search/dominance.js';
import { nonDominated } from '../../search/dominance.js';
import { compareFronts, hypervolume } from '../../search/hypervolume.js';
import type { NetworkResult, RunResult } from '../run/result.js';

/** A finished run as it is read. */
export interface ComparedRun {
  /** Its folder as it was given. */
  readonly path: string;
  readonly result: RunResult;
  /** Its config.json; unchecked, because only what differs is looked at. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** A retrained network in a comparison. */
export interface NetworkStanding {
  readonly run: string;
  readonly network: string;
  /** Families of its blocks. */
  readonly families: readonly string[];
  readonly energyMj: number;
  /** On test, 0 to 1; the mean over the seeds. */
  readonly accuracy: number;
  /** Standard deviation over the seeds; null for one seed. */
  readonly deviation: number | null;
  readonly seeds: readonly number[];
  /** By seed. */
  readonly accuracies: readonly number[];
}

/** One run of a comparison. */
export interface RunStanding {
  readonly name: string;
  readonly path: string;
  /** That the space offers. */
  readonly families: readonly string[];
  /** Whether it searched over several families; what it found may be of one all the same. */
  readonly mixed: boolean;
  readonly evaluated: number;
  /** What its search found, the cheapest first. */
  readonly networks: readonly (NetworkStanding & { readonly onFront: boolean })[];
  /** Of the mean accuracies; see `ComparedFront` for share and onlyHere. */
  readonly hypervolume: number;
  readonly share: number;
  readonly onlyHere: number;
  /** Of the accuracies of the first seed, of the second, ...; empty for one seed. */
  readonly hypervolumeBySeed: readonly number[];
  /** Standard deviation of those; null for one seed. */
  readonly hypervolumeDeviation: number | null;
}

/** The most accurate network of one family alone, and what runs over several families have at no more energy. */
export interface FamilyDuel {
  readonly family: string;
  readonly best: NetworkStanding;
  readonly rivals: readonly (NetworkStanding & {
    /** Accuracy less that of the best of the family. */
    readonly ahead: number;
    /** Whether mean +- deviation of the two do not overlap; null where a deviation is unknown. */
    readonly apart: boolean | null;
  })[];
}

export interface RunComparison {
  readonly format: 'shiftaddnas-comparison';
  readonly version: 1;
  readonly dataset: string;
  readonly profile: string;
  readonly schedule: RunResult['schedule'];
  /** Values of (error, energy in mJ). */
  readonly ideal: Objectives;
  readonly reference: Objectives;
  /** Hypervolume of all fronts together. */
  readonly together: number;
  readonly runs: readonly RunStanding[];
  readonly duels: readonly FamilyDuel[];
  /** Settings in which the runs differ, with the value of each run. */
  readonly differences: Readonly<Record<string, readonly unknown[]>>;
}

/**
 * Compares; `profile` names one that all runs report, and is that of their budgets when left out.
 * @throws OptionError for less than two runs, or runs of other data, schedules or profiles
 */
export function compareRuns(runs: readonly ComparedRun[], profile?: string): RunComparison {
  const [first, ...others] = runs;
  if (first === undefined || others.length === 0)
    throw new OptionError('a comparison needs at least two finished runs; name their folders');
  for (const other of others) requireAlike(first, other);
  const under = profile ?? first.result.profile;
  for (const { path, result } of runs) {
    if (!result.profiles.includes(under))
      throw new OptionError(
        `${path}: has no energies under profile '${under}'; choose one that all runs report (here ${result.profiles.join(', ')})`,
      );
    if (profile === undefined && result.profile !== under)
      throw new OptionError(
        `${path}: its budget is under profile '${result.profile}', that of ${first.path} under '${under}'; ` +
          'compare runs of one profile, or name one that all report by --profile',
      );
  }
  const names = namesOf(runs);
  const standings = runs.map(({ result }, at) =>
    result.networks.map((network) => standing(network, result.seed, names[at]!, under)),
  );
  const found = runs.map(({ result }, at) =>
    standings[at]!.filter((_, index) => isFound(result.networks[index]!)),
  );
  const point = ({ accuracy, energyMj }: NetworkStanding): Objectives => [1 - accuracy, energyMj];
  const compared = compareFronts(
    Object.fromEntries(found.map((networks, at) => [names[at]!, networks.map(point)])),
  );
  const { ideal, reference, together } = compared;
  return {
    format: 'shiftaddnas-comparison',
    version: 1,
    dataset: first.result.dataset.name,
    profile: under,
    schedule: first.result.schedule,
    ideal,
    reference,
    together,
    runs: runs.map(({ path, result }, at): RunStanding => {
      const networks = found[at]!;
      const front = new Set(nonDominated(networks.map(point)).map((each) => each.join()));
      const {
        hypervolume: volume,
        share,
        onlyHere,
      } = compared.fronts.find(({ name }) => name === names[at])!;
      const rounds = Math.min(...networks.map(({ seeds }) => seeds.length));
      const bySeed = Array.from({ length: rounds > 1 ? rounds : 0 }, (_, round) =>
        hypervolume(
          networks.map(({ accuracies, energyMj }) => [1 - accuracies[round]!, energyMj]),
          reference,
        ),
      );
      return {
        name: names[at]!,
        path,
        families: result.space.families,
        mixed: isMixed(result),
        evaluated: result.search.evaluated,
        networks: networks
          .map((network) => ({ ...network, onFront: front.has(point(network).join()) }))
          .sort((a, b) => a.energyMj - b.energyMj),
        ...{ hypervolume: volume, share, onlyHere },
        hypervolumeBySeed: bySeed,
        hypervolumeDeviation: deviationOf(bySeed),
      };
    }),
    duels: duelsOf(runs, standings, found),
    differences: differencesOf(runs),
  };
}

function isMixed({ space }: RunResult): boolean {
  return space.families.length > 1;
}

/** `conv, pot.q`, or `add alone`: what the blocks of a network are of. */
export function familiesText({ families }: Pick<NetworkStanding, 'families'>): string {
  return families.length === 1 ? `${families[0]!} alone` : families.join(', ');
}

/** What a search found: the winner and further members of its front. */
function isFound({ name }: NetworkResult): boolean {
  return name === 'hybrid' || name.startsWith('front-');
}

function standing(network: NetworkResult, runSeed: number, run: string, profile: string): NetworkStanding {
  const { name, architecture, energyMj, testAccuracy, seeds } = network;
  const families = architecture.blocks.flatMap(({ family }) => family ?? []);
  const accuracies = seeds?.map((each) => each.testAccuracy) ?? [testAccuracy];
  return {
    run,
    network: name,
    families: [...new Set(families)].sort(),
    energyMj: energyMj[profile]!,
    accuracy: network.meanTestAccuracy ?? testAccuracy,
    deviation: deviationOf(accuracies),
    seeds: seeds?.map(({ seed }) => seed) ?? [runSeed],
    accuracies,
  };
}

/** Of the sample; null for fewer than two. */
function deviationOf(values: readonly number[]): number | null {
  return values.length < 2 ? null : sampleDeviation(values);
}

/**
 * For every family: the most accurate of all retrained networks of it alone, baselines included, and of every run whose
 * space has several families the most accurate network found that needs no more energy.
 */
function duelsOf(
  runs: readonly ComparedRun[],
  standings: readonly (readonly NetworkStanding[])[],
  found: readonly (readonly NetworkStanding[])[],
): readonly FamilyDuel[] {
  const better = (a: NetworkStanding, b: NetworkStanding): number =>
    b.accuracy - a.accuracy || a.energyMj - b.energyMj;
  const pure = standings.flat().filter(({ families }) => families.length === 1);
  const families = [...new Set(pure.map((each) => each.families[0]!))].sort();
  return families.map((family): FamilyDuel => {
    const best = pure.filter((each) => each.families[0] === family).sort(better)[0]!;
    const rivals = runs.flatMap(({ result }, at) => {
      if (!isMixed(result)) return [];
      const [rival] = found[at]!.filter(({ energyMj }) => energyMj <= best.energyMj).sort(better);
      if (rival === undefined || rival === best) return [];
      const ahead = rival.accuracy - best.accuracy;
      const { deviation } = rival;
      const apart =
        deviation === null || best.deviation === null ? null : Math.abs(ahead) > deviation + best.deviation;
      return [{ ...rival, ahead, apart }];
    });
    return { family, best, rivals };
  });
}

/** Names of the runs; folders where names are not enough to tell them apart. */
function namesOf(runs: readonly ComparedRun[]): readonly string[] {
  const names = runs.map(({ result }) => result.name);
  const paths = runs.map(({ path }) => path);
  if (new Set(names).size === names.length) return names;
  if (new Set(paths).size === paths.length) return paths;
  throw new OptionError('a run is named twice; name each folder once');
}

/** Settings that must be the same for accuracies to be comparable. @throws OptionError naming the first that is not */
function requireAlike(a: ComparedRun, b: ComparedRun): void {
  const pairs: readonly (readonly [what: string, a: unknown, b: unknown])[] = [
    ['the data set (its fingerprint)', a.result.dataset.fingerprint, b.result.dataset.fingerprint],
    ...(['height', 'width', 'channels', 'trainImages', 'searchValidationImages', 'testImages'] as const).map(
      (key) => [`dataset.${key}`, a.result.dataset[key], b.result.dataset[key]] as const,
    ),
    ...[...new Set([...Object.keys(a.result.schedule), ...Object.keys(b.result.schedule)])].map(
      (key) => [key, a.result.schedule[key], b.result.schedule[key]] as const,
    ),
    ...(['augmentation', 'techniques'] as const).map((key) => [key, a.config[key], b.config[key]] as const),
  ];
  for (const [what, ours, theirs] of pairs)
    if (JSON.stringify(ours) !== JSON.stringify(theirs))
      throw new OptionError(
        `${b.path}: ${what} is ${shown(theirs)}, in ${a.path} it is ${shown(ours)}; ` +
          'only runs on the same data under the same schedule can be compared',
      );
}

function shown(value: unknown): string {
  return value === undefined ? 'not set' : typeof value === 'string' ? value : JSON.stringify(value);
}

/** What may differ without a word: places, how the work is done. */
const silent = ['name', 'out', 'data', 'checkpointSeconds', 'recomputeBlocks', 'search.workers'];

function differencesOf(runs: readonly ComparedRun[]): Readonly<Record<string, readonly unknown[]>> {
  const flat = runs.map(({ config }) => {
    const values = new Map<string, unknown>();
    for (const [key, value] of Object.entries(config))
      if (typeof value === 'object' && value !== null && !Array.isArray(value))
        for (const [inner, of] of Object.entries(value)) values.set(`${key}.${inner}`, of);
      else values.set(key, value);
    return values;
  });
  const keys = [...new Set(flat.flatMap((values) => [...values.keys()]))].filter(
    (key) => !silent.includes(key),
  );
  return Object.fromEntries(
    keys.flatMap((key) => {
      const values = flat.map((each) => each.get(key) ?? null);
      return new Set(values.map((value) => JSON.stringify(value))).size > 1 ? [[key, values]] : [];
    }),
  );
}
