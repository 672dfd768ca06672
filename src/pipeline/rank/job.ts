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
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { DivergenceError, FileError } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import { Random } from '../../base/random.js';
import type { AcceleratorProfile } from '../../hardware/index.js';
import type { ProxyBatch } from '../../proxies/contract.js';
import { listProxies } from '../../proxies/registry.js';
import { keyOf } from '../../search/sampling.js';
import { defaultConfidence } from '../../search/statistics/bootstrap.js';
import type { CostOf } from '../../search/descent.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { Network } from '../../spaces/network.js';
import type { Supernet } from '../../supernet/supernet.js';
import { Interrupted } from '../../training/interrupted.js';
import type { TrainingCheckpoint } from '../../training/train.js';
import { jobIdentity } from '../config.js';
import type { JobHost } from '../host.js';
import { machineOf, versionsOf } from '../machine.js';
import { saveModel } from '../model-files.js';
import { loadProfiles, rememberedCosts } from '../network-costs.js';
import { Phases, type PhaseClock, type RunStateDraft } from '../phases.js';
import {
  drawSubset,
  evaluationBatches,
  heldBatches,
  prepareData,
  type PreparedData,
} from '../prepared-data.js';
import type { RunResult } from '../result.js';
import { RunFolder } from '../run-folder.js';
import { logged } from '../search-job.js';
import { checkSpace, spaceOf } from '../space-settings.js';
import { restoreSupernet, subnetJudge, supernetWeights, trainSupernet } from '../supernet-phases.js';
import { requireTogether } from '../technique-settings.js';
import { requireTechniques, techniqueInputs } from '../techniques.js';
import { networkAccuracy, requireBatches, trainNetwork, type CheckpointHooks } from '../train-network.js';
import { rankRequestFile, rankResultFile, type RankRequest } from './request.js';
import {
  agreementOfSeeds,
  scorerOutcomes,
  supernetScorer,
  type RankNetwork,
  type RankResult,
} from './result.js';
import { networksAlongEnergy } from './sample.js';

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

/** One stand-alone training. */
interface StandAlone {
  readonly identity: string;
  readonly genome: Genome;
  readonly seed: number;
  /** On search-validation; null when it diverged. */
  readonly accuracy: number | null;
  readonly trainSeconds: number;
}

const supernetPhase = 'supernet';
const supernetTraining = 'training:supernet';
const scoresPhase = 'scores';
const standAloneFile = 'standalone.json';

/** Batches that zero-cost scorers see, and images in each where there are enough. */
const proxyBatches = 4;
const proxyBatchSize = 64;

/** Runs or resumes a measurement. @throws UserError for bad data or a diverged supernet; Interrupted when asked to stop */
export async function runRankJob(request: RankRequest, host: JobHost): Promise<RankResult> {
  const { config, options, path, resume } = request;
  checkSpace(config.space);
  const folder = new RunFolder(path);
  if (!resume) folder.requireFresh();
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
  if (source === undefined) requireBatches(data.learning, 'supernet', config.supernet);
  requireBatches(data.learning, 'retrain', config.retrain);
  const inputs = techniqueInputs(config.techniques);
  requireTogether(config);
  requireTechniques(config.techniques, data.learning, config.retrain);
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
      { networks: options.networks, seeds: options.seeds, run: source?.identity },
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

/** The supernet that a finished run trained. @throws FileError when there is none, or it was trained on other data */
function supernetOf(
  path: string,
  { dataset }: PreparedData,
): { readonly identity: string; readonly weights: TrainingCheckpoint } {
  const run = new RunFolder(path);
  const file = run.file('result.json');
  if (!existsSync(file))
    throw new FileError(`${path}: not a finished run (no result.json); finish it by search --resume ${path}`);
  if ((readJson(file) as RunResult).dataset.fingerprint !== dataset.fingerprint)
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
  // Weights that were damaged and deleted are trained again; they come out the same.
  if (!state.finishedPhases.includes(scoresPhase) && !folder.hasCheckpoint(supernetPhase))
    state.finishedPhases = state.finishedPhases.filter((name) => name !== supernetPhase);
  const phases = new Phases(folder, state, host);
  const weightCount = await phases.run<number>(supernetPhase, (clock) => supernetWeightsInto(job, clock));
  const scores = await phases.run<Scores>(scoresPhase, (clock) => scoreAll(job, clock));
  const trained = new Map<string, StandAlone>();
  // A whole round of one seed before the next.
  for (const [round, seed] of seeds.entries())
    for (const [at, genome] of genomes.entries()) {
      const name = nameOf(genome, seed);
      const place = { done: round * genomes.length + at, total: seeds.length * genomes.length };
      trained.set(
        name,
        await phases.run<StandAlone>(`train:${name}`, (clock) =>
          trainAlone(job, genome, seed, counted(host, place), clock),
        ),
      );
    }
  return handOver(job, state, scores, trained, weightCount);
}

/** `2-0-5-1-seed3`. */
function nameOf(genome: Genome, seed: number): string {
  return `${genome.join('-')}-seed${seed}`;
}

function checkpointsOf<T>(
  { request, folder, identity }: Job,
  phase: string,
  clock: PhaseClock<T>,
): CheckpointHooks {
  return {
    everySeconds: request.config.checkpointSeconds,
    resumeFrom: folder.readCheckpoint(phase, identity),
    save(checkpoint) {
      folder.writeCheckpoint(phase, identity, checkpoint);
      clock.tick();
    },
  };
}

/** Leaves the supernet's weights in the folder and returns how many they are. */
function supernetWeightsInto(job: Job, clock: PhaseClock<number>): number {
  const { request, space, data, folder, identity, host, given } = job;
  const supernet =
    given === undefined
      ? trainSupernet(
          request.config,
          space,
          data.learning,
          checkpointsOf(job, supernetTraining, clock),
          logged(folder, host),
        )
      : restoreSupernet(space, given, request.options.run!);
  folder.writeCheckpoint(supernetPhase, identity, supernetWeights(supernet));
  folder.removeCheckpoint(supernetTraining);
  const count = supernet.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0);
  supernet.dispose();
  return count;
}

/** Every network by the supernet, as the search judges it, and by the zero-cost scorers. */
function scoreAll(job: Job, clock: PhaseClock<Scores>): Scores {
  const { request, space, data, folder, identity, host, genomes } = job;
  const weights = folder.readCheckpoint(supernetPhase, identity);
  if (weights === undefined) throw new Error('the supernet phase left no weights');
  const supernet: Supernet = restoreSupernet(space, weights, folder.path);
  try {
    const judge = subnetJudge(request.config, data.learning, supernet);
    const batches = batchesForProxies(job);
    let scores = clock.saved ?? {};
    let ticked = clock.seconds();
    for (const [at, genome] of genomes.entries()) {
      const key = keyOf(genome);
      if (!(key in scores)) {
        if (host.interrupted()) {
          clock.save(scores);
          throw new Interrupted(scoresPhase);
        }
        const network = { [supernetScorer]: judge(genome), ...proxyScores(job, genome, batches) };
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

function proxyScores(
  { request: { config }, space }: Job,
  genome: Genome,
  batches: readonly ProxyBatch[],
): Readonly<Record<string, number | null>> {
  const architecture = space.architecture(genome);
  const network = new Network(architecture, Random.stream(config.seed, 'weights'));
  try {
    return Object.fromEntries(
      listProxies().map((proxy) => {
        const score = proxy.score({ architecture, network, batches });
        return [proxy.name, Number.isFinite(score) ? score : null];
      }),
    );
  } finally {
    network.dispose();
  }
}

/** Equal batches of training images, without augmentation. */
function batchesForProxies({ request: { config }, data: { learning } }: Job): readonly ProxyBatch[] {
  const images = learning.train.indices.length;
  const size = Math.max(1, Math.min(proxyBatchSize, Math.floor(images / proxyBatches)));
  const subset = drawSubset(learning.train, proxyBatches * size, config.seed, 'proxies');
  // They are in the order of the data set, which may be that of the classes.
  const indices = Random.stream(config.seed, 'proxies', 'order').shuffle(subset.indices.slice());
  return heldBatches(evaluationBatches(learning, { ...subset, indices }, size));
}

/** Trains one network, or takes it from another measurement that trained the same. */
function trainAlone(
  job: Job,
  genome: Genome,
  seed: number,
  host: JobHost,
  clock: PhaseClock<StandAlone>,
): StandAlone {
  const { request, space, data, folder, inputs } = job;
  const { config, options } = request;
  const name = nameOf(genome, seed);
  const path = folder.file('networks', name);
  const architecture = space.architecture(genome);
  const { imageSize, split, augmentation, retrain, techniques } = config;
  // Not of the supernet nor of the search, so that measurements of several supernets share their truth.
  const identity = jobIdentity(
    { dataSeed: config.seed, imageSize, split, augmentation, retrain, techniques },
    ...[data.dataset.fingerprint, architecture, seed, ...inputs],
  );
  const known = options.truth === undefined ? undefined : standAloneIn(join(options.truth, 'networks', name));
  if (known?.identity === identity) {
    cpSync(join(options.truth!, 'networks', name), path, { recursive: true });
    return known;
  }
  const phase = `train:${name}`;
  let network: Network | undefined;
  try {
    network = trainNetwork(
      {
        name: phase,
        architecture,
        data: data.learning,
        schedule: retrain,
        augmentation,
        techniques,
        seed,
        recomputeBlocks: config.recomputeBlocks,
        checkpoints: checkpointsOf(job, phase, clock),
      },
      logged(folder, host),
    );
  } catch (error) {
    if (!(error instanceof DivergenceError)) throw error;
    host.send({ type: 'notice', message: `${error.message}; the network is left out of the ranking` });
  }
  const result: StandAlone = {
    identity,
    genome,
    seed,
    accuracy: network === undefined ? null : networkAccuracy(network, data, data.splits.searchValidation),
    trainSeconds: clock.seconds(),
  };
  if (network !== undefined) {
    const { dataset, statistics } = data;
    saveModel(path, network, { dataset: dataset.name, classes: dataset.classes, statistics, seed });
    network.dispose();
  }
  writeFileAtomic(join(path, standAloneFile), `${JSON.stringify(result, undefined, 1)}\n`);
  folder.removeCheckpoint(phase);
  return result;
}

function standAloneIn(path: string): StandAlone | undefined {
  const file = join(path, standAloneFile);
  return existsSync(file) ? (readJson(file) as StandAlone) : undefined;
}

/** A host that shows the place of a training among all, so that the time left is that of all. */
function counted(host: JobHost, { done, total }: { readonly done: number; readonly total: number }): JobHost {
  return {
    send(message) {
      if (message.type !== 'training') return host.send(message);
      const { step, steps, epoch, epochs, accuracy, imagesPerSecond } = message;
      host.send({
        type: 'ranking',
        title: 'stand-alone',
        done: 1000 * done + Math.round((1000 * step) / steps),
        total: 1000 * total,
        text:
          `network ${done + 1}/${total}, epoch ${epoch}/${epochs}, training accuracy ${(100 * accuracy).toFixed(1)} %, ` +
          `${Math.round(imagesPerSecond)} images/s`,
      });
    },
    interrupted: () => host.interrupted(),
  };
}

function handOver(
  job: Job,
  state: RunStateDraft,
  scores: Scores,
  trained: ReadonlyMap<string, StandAlone>,
  weights: number,
): RankResult {
  const { request, folder, data, space, profile, costOf, genomes, seeds } = job;
  const { config, options } = request;
  const { dataset, splits } = data;
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
    dataset: {
      name: dataset.name,
      spec: dataset.spec,
      height: dataset.height,
      width: dataset.width,
      channels: dataset.channels,
      classes: dataset.classes.length,
      trainImages: splits.train.indices.length,
      searchValidationImages: splits.searchValidation.indices.length,
      fingerprint: dataset.fingerprint,
    },
    space: { name: space.name, size: String(space.size), families: space.families },
    profile: profile.name,
    supernet: { run: options.run ?? null, weights, schedule: config.supernet },
    schedule: config.retrain,
    confidence: defaultConfidence,
    ...{ networks, kendallTau, kendallTauBestThird, scorers },
    seedAgreement: agreementOfSeeds(measured),
    measured,
  };
  writeFileAtomic(folder.file(rankResultFile), `${JSON.stringify(result, undefined, 1)}\n`);
  return result;
}
