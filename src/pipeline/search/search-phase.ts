/**
 * @file The phases of a run that look for networks by the trained supernet: the search, and the random search that it is
 * held against.
 */
import { createHash } from 'node:crypto';
import { compareWithControl, createControl } from '../../search/control.js';
import type { Budget } from '../../search/costs.js';
import type { CostOf } from '../../search/descent.js';
import { feasibleSampler, keyOf } from '../../search/sampling.js';
import {
  bestOf,
  runSearch,
  type ScoredProposal,
  type SearchState,
  type SearchStrategy,
} from '../../search/strategy.js';
import type { AcceleratorProfile } from '../../hardware/index.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { Interrupted } from '../../training/interrupted.js';
import type { RunConfig } from '../config/config.js';
import type { JobHost } from '../run/host.js';
import { openJudge, type Judge } from './judging.js';
import type { PhaseClock, Phases } from '../run/phases.js';
import { prefilterPhase, prefilterSettings, runPrefilter, type PrefilterState } from './prefilter.js';
import type { PreparedData } from '../training/prepared-data.js';
import type { ControlRecord, RunEvent, RunResult } from '../run/result.js';
import type { RunFolder } from '../run/run-folder.js';
import { StrategyKind } from '../config/search-settings.js';
import { SurrogateKind } from '../../search/surrogate/screening.js';

export const searchPhase = 'search';
export const controlPhase = 'control';

/** What the phases are given. */
export interface SearchWork {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly host: JobHost;
  readonly data: PreparedData;
  readonly space: SearchSpace;
  readonly profile: AcceleratorProfile;
  readonly budget: Budget;
  readonly costOf: CostOf;
  readonly strategy: SearchStrategy;
  readonly identity: string;
  /** Filled by the pre-filter, read by the strategy. */
  readonly preferred: { genomes: readonly Genome[] };
}

/** What they leave. */
export interface SearchOutcome {
  readonly searched: SearchState;
  readonly prefilter: RunResult['search']['prefilter'];
  readonly control: ControlRecord | undefined;
}

/** Whether a search is held against random search: unless it is told not to, or is that very search. */
export function hasControl({ search }: RunConfig): boolean {
  const { strategy, surrogate, control = true } = search;
  const isRandom = strategy === StrategyKind.Random && surrogate === SurrogateKind.None;
  return control && !(isRandom && prefilterSettings(search) === undefined);
}

/** The last phase that needs the supernet's weights. */
export function lastJudgingPhase(config: RunConfig): string {
  return hasControl(config) ? controlPhase : searchPhase;
}

/** sha256 of all that was judged, in order, with accuracies and costs. */
export function archiveHashOf({ archive }: SearchState): string {
  return createHash('sha256').update(JSON.stringify(archive)).digest('hex');
}

/** Pre-filter, search and control, as far as they are asked for. */
export async function searchPhases(work: SearchWork, phases: Phases): Promise<SearchOutcome> {
  const { config, folder, host, data, identity, preferred } = work;
  const prefilter = await prefilterOf(work, phases);
  preferred.genomes = prefilter?.kept ?? [];
  let judge: Judge | undefined;
  const judgeOf = (): Judge =>
    (judge ??= openJudge({ config, data: data.learning, folder: folder.path, identity }, host));
  try {
    const searched = await phases.run<SearchState>(searchPhase, (clock) =>
      searchPhaseOf(work, work.strategy, searchPhase, judgeOf(), clock),
    );
    const settings = prefilterSettings(config.search);
    return {
      searched,
      prefilter:
        settings === undefined
          ? undefined
          : {
              scorer: settings.scorer,
              pool: Object.keys(prefilter!.scores).length,
              kept: preferred.genomes.length,
            },
      control: hasControl(config) ? await controlOf(work, searched, judgeOf, phases) : undefined,
    };
  } finally {
    judge?.close();
  }
}

async function prefilterOf(work: SearchWork, phases: Phases): Promise<PrefilterState | undefined> {
  const { config, space, costOf, budget, data, host, profile } = work;
  const settings = prefilterSettings(config.search);
  if (settings === undefined) return undefined;
  const { seed, checkpointSeconds } = config;
  const sampler = feasibleSampler(space, costOf, budget);
  return phases.run<PrefilterState>(prefilterPhase, (clock) =>
    runPrefilter(
      settings,
      { ...{ seed, space, profile, costOf, sampler, checkpointSeconds }, data: data.learning },
      clock,
      host,
    ),
  );
}

async function controlOf(
  work: SearchWork,
  searched: SearchState,
  judgeOf: () => Judge,
  phases: Phases,
): Promise<ControlRecord> {
  const { config, space, costOf, budget } = work;
  const { population, objectives } = config.search;
  const control = createControl(
    { space, costOf, budget, seed: config.seed },
    searched.archive.length,
    population,
  );
  const random = await phases.run<SearchState>(controlPhase, (clock) =>
    searchPhaseOf(work, control, controlPhase, judgeOf(), clock),
  );
  return {
    ...compareWithControl(searched.archive, random.archive, objectives),
    archiveHash: archiveHashOf(random),
  };
}

function searchPhaseOf(
  { config, folder, host, costOf }: SearchWork,
  strategy: SearchStrategy,
  phase: typeof searchPhase | typeof controlPhase,
  judge: Judge,
  clock: PhaseClock<SearchState>,
): Promise<SearchState> {
  const known = new Map<string, number>();
  for (const event of folder.readEvents())
    if (event.type === 'candidate' || (event.type === 'control' && phase === controlPhase))
      known.set(keyOf(event.genome), event.accuracy);
  const from =
    clock.saved === undefined ? strategy.start() : strategy.restore(clock.saved, folder.file('state.json'));
  let ticked = clock.seconds();
  return searchWith(
    strategy,
    from,
    judge,
    known,
    {
      onCandidate({ generation }, { genome, origin, accuracy }) {
        const time = new Date().toISOString();
        const event: RunEvent =
          phase === searchPhase
            ? { type: 'candidate', time, generation, genome, origin, accuracy, ...costOf(genome) }
            : { type: 'control', time, generation, genome, accuracy };
        folder.append(event);
        if (clock.seconds() - ticked < config.checkpointSeconds) return;
        ticked = clock.seconds();
        clock.tick();
      },
      onGeneration: (reached) => clock.save(reached),
    },
    host,
    phase,
  );
}

export interface SearchRunHooks {
  /** After each candidate that was not known, in the order in which the answers come. */
  readonly onCandidate: (state: SearchState, candidate: ScoredProposal) => void;
  readonly onGeneration: (state: SearchState) => void;
}

/**
 * Runs the strategy to its end. Candidates that `known` has an accuracy for (judged before an interruption) are not
 * judged again. @throws Interrupted between two candidates; what was judged is in the log
 */
export function searchWith(
  strategy: Pick<SearchStrategy, 'propose' | 'record' | 'generations'>,
  from: SearchState,
  judge: Pick<Judge, 'accuracyOf' | 'concurrency'>,
  known: ReadonlyMap<string, number>,
  hooks: SearchRunHooks,
  host: JobHost,
  phase = searchPhase,
): Promise<SearchState> {
  let best = bestOf(from)?.accuracy ?? 0;
  let judged = 0;
  return runSearch(
    strategy,
    from,
    async (proposal, { state, count }) => {
      if (host.interrupted()) throw new Interrupted(phase);
      const remembered = known.get(keyOf(proposal.genome));
      const accuracy = remembered ?? (await judge.accuracyOf(proposal.genome));
      if (remembered === undefined) hooks.onCandidate(state, { ...proposal, accuracy });
      best = Math.max(best, accuracy);
      judged++;
      host.send({
        type: 'search',
        title: phase,
        generation: state.generation + 1,
        generations: strategy.generations,
        candidate: judged,
        candidates: count,
        evaluated: state.archive.length + judged,
        bestAccuracy: best,
      });
      return accuracy;
    },
    {
      afterGeneration(state) {
        judged = 0;
        hooks.onGeneration(state);
      },
    },
    judge.concurrency,
  );
}
