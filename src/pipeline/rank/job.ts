/**
 * @file The job behind `rank`: a supernet, networks trained alone, and how well the one and cheaper scorers foretell the
 * others; resumable like a search.
 *
 *     rank-config.json     the resolved configuration and the options
 *     state.json, events.jsonl, checkpoints/      as those of a run
 *     networks/GENOME-seedN/                      model.safetensors, architecture.json, standalone.json
 *     rank.json
 *
 * All accuracies are on search-validation. The test part is never opened: these figures choose defaults.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import type { AcceleratorProfile } from '../../hardware/index.js';
import { listProxies } from '../../proxies/registry.js';
import { keyOf } from '../../search/sampling.js';
import { defaultConfidence } from '../../search/statistics/bootstrap.js';
import type { CostOf } from '../../search/descent.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { Interrupted } from '../../training/interrupted.js';
import type { TrainingCheckpoint } from '../../training/train.js';
import { jobIdentity } from '../config/config.js';
import { requireSupernetSettings } from '../jobs/early-checks.js';
import type { JobHost } from '../run/host.js';
import { machineOf, versionsOf } from '../run/machine.js';
import { loadProfiles, rememberedCosts } from '../models/network-costs.js';
import { Phases, type PhaseClock, type RunStateDraft } from '../run/phases.js';
import { judgedData, prepareData, type PreparedData } from '../training/prepared-data.js';
import type { RunResult } from '../run/result.js';
import { RunFolder } from '../run/run-folder.js';
import { checkpointsOf, logged } from '../run/saving.js';
import { batchesForProxies, proxyScores } from '../search/proxy-scores.js';
import { spaceOf } from '../config/space-settings.js';
import {
  phasesStanding,
  storedSupernet,
  storeSupernet,
  supernetPhase,
  supernetTraining,
} from '../search/stored-supernet.js';
import {
  restoreSupernet,
  subnetJudge,
  supernetEffort,
  supernetSummary,
  trainSupernet,
} from '../search/supernet-phases.js';
import { defaultSupernetTraining } from '../config/supernet-settings.js';
import { requireTrainings } from '../search/data-checks.js';
import { rankRequestFile, rankResultFile, type RankRequest } from './request.js';
import {
  agreementOfSeeds,
  scorerOutcomes,
  supernetScorer,
  type RankNetwork,
  type RankResult,
} from './result.js';
import { networksAlongEnergy, requireNetworks } from './sample.js';
import { nameOf, trainAllAlone, type StandAlone } from './stand-alone.js';

interface Job {
  readonly request: RankRequest;
  readonly folder: RunFolder;
  readonly host: JobHost;
  readonly data: PreparedData;
  readonly space: SearchSpace;
  readonly profile: AcceleratorProfile;
  readonly costOf: CostOf;
  readonly genomes: readonly Genome[];
  readonly seeds: readonly number[];
  /** Of the finished run, if one is measured. */
  readonly given: TrainingCheckpoint | undefined;
  readonly identity: string;
  /** Fingerprints of what the techniques read. */
  readonly inputs: readonly unknown[];
}

/** What is kept of a scoring in progress: by genome, by scorer; null for -Infinity, which JSON does not have. */
type Scores = Readonly<Record<string, Readonly<Record<string, number | null>>>>;

const scoresPhase = 'scores';

/** Runs or resumes a measurement. @throws UserError for bad data or a diverged supernet; Interrupted when asked to stop */
export async function runRankJob(request: RankRequest, host: JobHost): Promise<RankResult> {
  const { config, options, path, resume } = request;
  const folder = new RunFolder(path);
  if (!resume) folder.requireFresh();
  requireNetworks(requireSupernetSettings(config), options.networks);
  if (options.run !== undefined) requireFinished(options.run);
  folder.requireWritable();
  const profile = [...loadProfiles([config.profile]).values()][0] as AcceleratorProfile;
  const data = await prepareData(config, {
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  const classes = data.dataset.classes.length;
  const space = spaceOf(config.space, { input: data.shape, classes });
  const costOf = rememberedCosts(space, profile);
  const genomes = networksAlongEnergy(
    space,
    (genome) => costOf(genome).energyMj,
    options.networks,
    config.seed,
  );
  const source = options.run === undefined ? undefined : supernetOf(options.run, data);
  const inputs = requireTrainings(config, space, data.learning, source === undefined);
  if (!resume) folder.create();
  folder.lock();
  try {
    const kept = { format: 'shiftaddnas-rank-config', config, options };
    if (!resume) writeFileAtomic(folder.file(rankRequestFile), `${JSON.stringify(kept, undefined, 1)}\n`);
    const identity = jobIdentity(
      config,
      data.dataset.fingerprint,
      space.identity,
      profile,
      {
        ...{ networks: options.networks, seeds: options.seeds, run: source?.identity },
        ...(options.supernetSeed !== undefined && { supernetSeed: options.supernetSeed }),
      },
      ...inputs,
    );
    const seeds = Array.from({ length: options.seeds }, (_, at) => config.seed + at);
    return await runPhases({
      ...{ request, folder, host, data, space, profile, costOf, genomes, seeds, identity, inputs },
      given: source?.weights,
    });
  } finally {
    folder.unlock();
  }
}

/** The result of a finished run, as a file. @throws FileError */
function requireFinished(path: string): string {
  const file = new RunFolder(path).file('result.json');
  if (!existsSync(file))
    throw new FileError(`${path}: not a finished run (no result.json); finish it by search --resume ${path}`);
  return file;
}

/** The supernet that a finished run trained. @throws FileError when there is none, or it was trained on other data */
function supernetOf(
  path: string,
  { dataset }: PreparedData,
): { readonly identity: string; readonly weights: TrainingCheckpoint } {
  const run = new RunFolder(path);
  if ((readJson(requireFinished(path)) as RunResult).dataset.fingerprint !== dataset.fingerprint)
    throw new FileError(`${path}: its supernet was trained on other data than '${dataset.spec}' holds now`);
  const { identity } = readJson(run.file('state.json')) as { readonly identity: string };
  const weights = run.readCheckpoint(supernetPhase, identity);
  if (weights === undefined)
    throw new FileError(
      `${path}: the weights of its supernet are gone (checkpoints/${supernetPhase}.safetensors); ` +
        'rank can train one anew by --config',
    );
  return { identity, weights };
}

async function runPhases(job: Job): Promise<RankResult> {
  const { request, folder, host, identity, genomes, seeds } = job;
  const saved = folder.readState(identity);
  const state: RunStateDraft = saved ?? {
    identity,
    startedAt: new Date().toISOString(),
    command: request.command,
    phaseSeconds: {},
    finishedPhases: [],
    results: {},
  };
  state.finishedPhases = [...phasesStanding(state.finishedPhases, folder, scoresPhase)];
  const phases = new Phases(folder, state, host);
  await phases.run<null>(supernetPhase, (clock) => {
    supernetWeightsInto(job, clock);
    return null;
  });
  const scores = await phases.run<Scores>(scoresPhase, (clock) => scoreAll(job, clock));
  // A whole round of one seed before the next.
  const wanted = seeds.flatMap((seed) => genomes.map((genome) => ({ genome, seed })));
  const trained = await trainAllAlone(job, wanted, phases);
  return handOver(job, state, scores, trained);
}

/** Leaves the supernet's weights in the folder. */
function supernetWeightsInto(job: Job, clock: PhaseClock<null>): void {
  const { request, space, data, folder, identity, host, given } = job;
  const { config, options } = request;
  const supernet =
    given === undefined
      ? trainSupernet(
          { ...config, seed: options.supernetSeed ?? config.seed },
          space,
          data.learning,
          checkpointsOf(
            { everySeconds: config.checkpointSeconds, folder, identity },
            supernetTraining,
            clock,
          ),
          logged(folder, host),
        )
      : restoreSupernet(space, config.sharing, given, options.run!);
  storeSupernet(job, supernet);
}

/** Every network by the supernet, as the search judges it, and by the zero-cost scorers. */
function scoreAll(job: Job, clock: PhaseClock<Scores>): Scores {
  const { request, space, data, host, genomes } = job;
  const supernet = storedSupernet(job, request.config, space);
  try {
    const judge = subnetJudge(request.config, data.learning, supernet);
    const { seed } = request.config;
    const batches = batchesForProxies(data.learning, seed);
    let scores = clock.saved ?? {};
    let ticked = clock.seconds();
    for (const [at, genome] of genomes.entries()) {
      const key = keyOf(genome);
      if (!(key in scores)) {
        if (host.interrupted()) {
          clock.save(scores);
          throw new Interrupted(scoresPhase);
        }
        const network = {
          [supernetScorer]: judge(genome),
          ...proxyScores(listProxies(), space.architecture(genome), batches, seed),
        };
        scores = { ...scores, [key]: network };
        if (clock.seconds() - ticked >= request.config.checkpointSeconds) {
          ticked = clock.seconds();
          clock.save(scores);
        }
      }
      host.send({
        ...{ type: 'ranking', title: 'scoring', done: at + 1, total: genomes.length },
        text: `${at + 1} of ${genomes.length} networks`,
      });
    }
    return scores;
  } finally {
    supernet.dispose();
  }
}

function handOver(
  job: Job,
  state: RunStateDraft,
  scores: Scores,
  trained: ReadonlyMap<string, StandAlone>,
): RankResult {
  const { request, folder, data, space, profile, costOf, genomes, seeds } = job;
  const { config, options } = request;
  const measured = genomes.map((genome): RankNetwork => {
    const { energyMj, macs, params } = costOf(genome);
    const names = seeds.map((seed) => nameOf(genome, seed));
    const accuracies = names.map((name) => trained.get(name)!.accuracy);
    const known = accuracies.filter((accuracy) => accuracy !== null);
    return {
      genome,
      options: genome.map((option, position) => space.optionLabel(position, option)),
      ...{ energyMj, macs, params },
      scores: scores[keyOf(genome)]!,
      accuracies,
      accuracy:
        known.length < seeds.length ? null : known.reduce((sum, each) => sum + each, 0) / seeds.length,
      folders: names.map((name) => join('networks', name)),
    };
  });
  const titles = new Map([
    [supernetScorer, 'Supernet (inherited weights)'],
    ...listProxies().map(({ name, title }): [string, string] => [name, title]),
  ]);
  const scorers = scorerOutcomes(measured, titles, config.seed);
  const { networks, kendallTau, kendallTauBestThird } = scorers[supernetScorer]!;
  const supernet = storedSupernet(job, request.config, space);
  const result: RankResult = {
    format: 'shiftaddnas-rank',
    version: 1,
    command: state.command,
    seed: config.seed,
    seeds,
    seconds: Object.values(state.phaseSeconds).reduce((sum, seconds) => sum + seconds, 0),
    phaseSeconds: state.phaseSeconds,
    versions: versionsOf(),
    machine: machineOf(),
    dataset: { ...judgedData(data), classes: data.dataset.classes.length },
    space: { name: space.name, size: String(space.size), families: space.families },
    profile: profile.name,
    supernet: {
      run: options.run ?? null,
      ...(options.run === undefined && { seed: options.supernetSeed ?? config.seed }),
      schedule: config.supernet,
      ...supernetEffort(config, space, data.learning),
      training: config.supernetTraining ?? defaultSupernetTraining,
      ...supernetSummary(supernet, config.sharing),
    },
    schedule: config.retrain,
    confidence: defaultConfidence,
    ...{ networks, kendallTau, kendallTauBestThird, scorers },
    seedAgreement: agreementOfSeeds(measured),
    measured,
  };
  supernet.dispose();
  writeFileAtomic(folder.file(rankResultFile), `${JSON.stringify(result, undefined, 1)}\n`);
  return result;
}
