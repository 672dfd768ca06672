/**
 * @file The zero-cost pre-filter of a search: which random networks its first generation is made of.
 *
 * A pool of random networks within the budget is scored untrained, and the best of each kind are kept (see
 * `search/prefilter.ts`). Where a strategy wants random networks, it is given kept ones first: all of the first
 * generation, and of random search every generation while they last. Offspring are not screened: they descend from
 * networks whose accuracy is known, of which a surrogate makes more than a score without any training can.
 */
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import type { AcceleratorProfile } from '../../hardware/index.js';
import { listProxies } from '../../proxies/registry.js';
import type { CostOf } from '../../search/descent.js';
import { keptOf } from '../../search/prefilter.js';
import { keyOf, type FeasibleSampler } from '../../search/sampling.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { Interrupted } from '../../training/interrupted.js';
import type { JobHost } from '../run/host.js';
import { layerCostRecords } from '../models/network-costs.js';
import type { PhaseClock } from '../run/phases.js';
import type { LearningData } from '../training/prepared-data.js';
import { batchesForProxies, proxyScores } from './proxy-scores.js';
import { PrefilterKind, type SearchSettings } from '../config/search-settings.js';

export const prefilterPhase = 'prefilter';

/** The part of each kind that is kept, and the size of the pool for each candidate of a generation. */
const defaultKeep = 0.25;
const defaultPoolPerCandidate = 8;
/** A family that does more than this part of a network's operations gives it its mix. */
const dominance = 0.6;

export interface PrefilterSettings {
  readonly scorer: string;
  readonly pool: number;
  readonly keep: number;
}

/** The settings with their defaults; undefined when there is no pre-filter. @throws OptionError when too few would be kept */
export function prefilterSettings(search: SearchSettings): PrefilterSettings | undefined {
  const { prefilter = PrefilterKind.None, population } = search;
  if (prefilter === PrefilterKind.None) return undefined;
  const { prefilterKeep: keep = defaultKeep, prefilterPool: pool = defaultPoolPerCandidate * population } =
    search;
  if (keep * pool < population)
    throw new OptionError(
      `'search.prefilterPool': ${pool} networks of which ${keep} is kept are fewer than the population of ${population}; ` +
        'draw more or keep more',
    );
  return { scorer: prefilter, pool, keep };
}

/** What is kept of a pre-filter in progress. */
export interface PrefilterState {
  /** By genome; null for -Infinity. */
  readonly scores: Readonly<Record<string, number | null>>;
  /** Set in the end. */
  readonly kept?: readonly Genome[];
}

/** Draws the pool, scores it and keeps the best of each kind. @throws Interrupted between two networks, with the scores saved */
export function runPrefilter(
  { scorer: name, pool, keep }: PrefilterSettings,
  run: {
    readonly seed: number;
    readonly space: SearchSpace;
    readonly profile: AcceleratorProfile;
    readonly costOf: CostOf;
    readonly sampler: FeasibleSampler;
    readonly data: LearningData;
    readonly checkpointSeconds: number;
  },
  clock: PhaseClock<PrefilterState>,
  host: JobHost,
): PrefilterState {
  const { seed, space, profile, costOf, sampler, data } = run;
  const scorer = listProxies().filter((proxy) => proxy.name === name);
  const genomes = sampler.fresh(pool, new Set(), [], Random.stream(seed, 'prefilter'));
  const batches = batchesForProxies(data, seed);
  const scores: Record<string, number | null> = { ...clock.saved?.scores };
  let ticked = clock.seconds();
  const scored = genomes.map((genome, at) => {
    const key = keyOf(genome);
    const architecture = space.architecture(genome);
    if (!Object.hasOwn(scores, key)) {
      if (host.interrupted()) {
        clock.save({ scores });
        throw new Interrupted(prefilterPhase);
      }
      scores[key] = proxyScores(scorer, architecture, batches, seed)[name]!;
      if (clock.seconds() - ticked >= run.checkpointSeconds) {
        ticked = clock.seconds();
        clock.save({ scores });
      }
    }
    host.send({
      ...{ type: 'ranking', title: prefilterPhase, done: at + 1, total: genomes.length },
      text: `${at + 1} of ${genomes.length} networks scored by ${name}`,
    });
    const { energyMj } = costOf(genome);
    return { genome, energyMj, mix: mixOf(architecture, profile), score: scores[key] ?? -Infinity };
  });
  return { scores, kept: keptOf(scored, keep).map(({ genome }) => genome) };
}

/** The family that does most of the operations; `mixed` when none does {@link dominance} of them. */
export function mixOf(architecture: Architecture, profile: AcceleratorProfile): string {
  const operations = new Map<string, number>();
  let total = 0;
  for (const { family, operations: count } of layerCostRecords(architecture, profile)) {
    operations.set(family, (operations.get(family) ?? 0) + count);
    total += count;
  }
  const most = [...operations].find(([, count]) => count > dominance * total);
  return most?.[0] ?? 'mixed';
}
