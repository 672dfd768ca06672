/**
 * @file The main job: supernet, search, retraining, hand-over; resumable at any moment.
 *
 * Phases run in order. A finished phase leaves its result in state.json, a phase in progress leaves checkpoints, and
 * everything in between is a pure function of the configuration, so a run that was killed and resumed ends with the
 * same result as an undisturbed one.
 */
import { createHash } from 'node:crypto';
import { OptionError } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import type { AcceleratorProfile } from '../hardware/index.js';
import { familyNamed } from '../operators/registry.js';
import { isRelative, parseBudget, resolveBudget } from '../search/budget.js';
import { limitedQuantities, meets, type Budget } from '../search/costs.js';
import type { CostOf } from '../search/descent.js';
import { frontOf, spreadAlong } from '../search/objectives.js';
import { keyOf } from '../search/sampling.js';
import { bestOf, ranked, type Candidate, type SearchState, type SearchStrategy } from '../search/strategy.js';
import type { Architecture } from '../spaces/architecture.js';
import { fixedFamily } from '../spaces/blocks/ends.js';
import type { SearchSpace } from '../spaces/contract.js';
import { uniformGenome } from '../spaces/landmarks.js';
import type { Schedule } from '../training/schedule.js';
import { jobIdentity, type RunConfig } from './config.js';
import type { JobHost } from './host.js';
import { loadLatencies, machineText, type MachineLatencies } from './latency-table.js';
import { machineOf, versionsOf } from './machine.js';
import { loadModel, onnxModel, saveModel, type ModelInfo } from './model-files.js';
import {
  costsOf,
  layerCostRecords,
  loadProfiles,
  networkCost,
  rememberedCosts,
  scaledToEnergy,
} from './network-costs.js';
import { Phases, type PhaseClock, type RunStateDraft } from './phases.js';
import { prepareData, type PreparedData } from './prepared-data.js';
import type { FrontMember, NetworkResult, RunEvent, RunResult } from './result.js';
import { RunFolder, type RunState } from './run-folder.js';
import { strategyFor } from './search-settings.js';
import { checkSpace, spaceOf } from './space-settings.js';
import {
  restoreSupernet,
  searchWith,
  subnetJudge,
  supernetWeights,
  trainSupernet,
} from './supernet-phases.js';
import { requireTogether } from './technique-settings.js';
import { requireTechniques, techniqueInputs } from './techniques.js';
import { networkAccuracy, requireBatches, trainNetwork, type CheckpointHooks } from './train-network.js';
import { weightHistograms } from './weight-histograms.js';

interface Job {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly host: JobHost;
  readonly data: PreparedData;
  readonly space: SearchSpace;
  readonly profiles: ReadonlyMap<string, AcceleratorProfile>;
  readonly profile: AcceleratorProfile;
  readonly budget: Budget;
  /** The table that latencies of the budget are taken by; else the profile. */
  readonly latencies: MachineLatencies | undefined;
  readonly costOf: CostOf;
  readonly strategy: SearchStrategy;
  /** The strategy's empty state; making it proves that the budget can be met. */
  readonly start: SearchState;
  readonly identity: string;
}

const supernetPhase = 'supernet';
const supernetTraining = 'training:supernet';
const searchPhase = 'search';
const retrainPhase = (name: string): string => `retrain:${name}`;

/**
 * Runs or resumes the main job in `folder` and returns what `result.json` holds.
 * @throws UserError for bad data, an infeasible budget, a diverged training; Interrupted when asked to stop
 */
export async function runSearchJob(
  config: RunConfig,
  path: string,
  options: { readonly resume: boolean; readonly command: string },
  host: JobHost,
): Promise<RunResult> {
  checkSpace(config.space);
  const request = parseBudget(config.budget);
  const profiles = loadProfiles([config.profile, ...config.reportProfiles]);
  const latencies = latenciesOf(config);
  const folder = new RunFolder(path);
  if (!options.resume) folder.requireFresh();
  folder.requireWritable();
  const data = await prepareData(config, {
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  const space = spaceOf(config.space, { input: data.shape, classes: data.dataset.classes.length });
  const profile = [...profiles.values()][0] as AcceleratorProfile;
  const costOf = rememberedCosts(space, profile, latencies?.networkMs);
  const reference = isRelative(request)
    ? referenceGenome(space)
    : space.canonical(space.optionCounts.map(() => 0));
  const budget = resolveBudget(request, costOf(reference));
  const strategy = strategyFor(config, space, costOf, budget);
  const start = strategy.start();
  requireBatches(data.learning, 'supernet', config.supernet);
  requireBatches(data.learning, 'retrain', config.retrain);
  const inputs = techniqueInputs(config.techniques);
  requireTogether(config);
  requireTechniques(config.techniques, data.learning, config.retrain);
  if (!options.resume) folder.create();
  folder.lock();
  try {
    // The content of profile files counts, not their paths.
    const identity = jobIdentity(
      config,
      data.dataset.fingerprint,
      space.identity,
      [...profiles],
      ...(latencies === undefined ? [] : [latencies.table]),
      ...inputs,
    );
    const job: Job = {
      config,
      folder,
      host,
      data,
      space,
      profiles,
      profile,
      latencies,
      budget,
      costOf,
      strategy,
      start,
      identity,
    };
    return await runPhases(job, folder.readState(identity), options);
  } finally {
    folder.unlock();
  }
}

/** The latency table of the configuration. @throws FileError, OptionError for one of another machine */
function latenciesOf(config: RunConfig): MachineLatencies | undefined {
  const { latencyTable, latencyPredictor, foreignLatencyTable } = config;
  if (latencyTable !== undefined)
    return loadLatencies(latencyTable, {
      ...(latencyPredictor !== undefined && { predictor: latencyPredictor }),
      foreign: foreignLatencyTable === true,
      remedy: '--foreign-latency-table',
    });
  if (foreignLatencyTable === true || latencyPredictor !== undefined)
    throw new OptionError(
      "'latencyPredictor' and 'foreignLatencyTable' go with a latencyTable; give one, or leave them out",
    );
  return undefined;
}

/** What percentages of a budget refer to: the space's macro-architecture in convolution. @throws OptionError */
function referenceGenome(space: SearchSpace): readonly number[] {
  if (!space.families.includes(fixedFamily))
    throw new OptionError(
      `a budget in percent refers to the all-${fixedFamily} network, and the space has no family '${fixedFamily}'; ` +
        'give the budget in absolute units',
    );
  return uniformGenome(space, fixedFamily);
}

async function runPhases(
  job: Job,
  saved: RunState | undefined,
  options: { readonly command: string },
): Promise<RunResult> {
  const { config, folder, host, data } = job;
  const state: RunStateDraft = saved ?? {
    identity: job.identity,
    startedAt: new Date().toISOString(),
    command: options.command,
    phaseSeconds: {},
    finishedPhases: [],
    results: {},
  };
  // Weights that were damaged and deleted are trained again; they come out the same.
  if (!state.finishedPhases.includes(searchPhase) && !folder.hasCheckpoint(supernetPhase))
    state.finishedPhases = state.finishedPhases.filter((name) => name !== supernetPhase);
  if (saved === undefined) {
    writeFileAtomic(folder.file('config.json'), `${JSON.stringify(config, undefined, 1)}\n`);
    for (const message of data.dataset.notices)
      folder.append({ type: 'notice', time: new Date().toISOString(), message });
  }
  const phases = new Phases(folder, state, host);
  await phases.run<null>(supernetPhase, (clock) => {
    trainSupernetPhase(job, clock);
    return null;
  });
  const searched = await phases.run<SearchState>(searchPhase, (clock) => searchPhaseOf(job, clock));
  const networks: NetworkResult[] = [];
  for (const { name, architecture } of networksToRetrain(job, searched))
    networks.push(
      await phases.run<NetworkResult>(retrainPhase(name), (clock) => retrain(job, name, architecture, clock)),
    );
  return handOver(job, state, searched, networks);
}

function trainSupernetPhase(job: Job, clock: PhaseClock<null>): void {
  const { config, space, data, folder, identity, host } = job;
  const supernet = trainSupernet(
    config,
    space,
    data.learning,
    checkpointsOf(job, supernetTraining, clock),
    logged(folder, host),
  );
  folder.writeCheckpoint(supernetPhase, identity, supernetWeights(supernet));
  folder.removeCheckpoint(supernetTraining);
  supernet.dispose();
}

function checkpointsOf<T>(
  { config, folder, identity }: Job,
  phase: string,
  clock: PhaseClock<T>,
): CheckpointHooks {
  return {
    everySeconds: config.checkpointSeconds,
    resumeFrom: folder.readCheckpoint(phase, identity),
    save(checkpoint) {
      folder.writeCheckpoint(phase, identity, checkpoint);
      clock.tick();
    },
  };
}

async function searchPhaseOf(job: Job, clock: PhaseClock<SearchState>): Promise<SearchState> {
  const { config, space, data, folder, identity, strategy, costOf, host } = job;
  const weights = folder.readCheckpoint(supernetPhase, identity);
  if (weights === undefined) throw new Error('the supernet phase left no weights');
  const supernet = restoreSupernet(space, weights, folder.path);
  const judge = subnetJudge(config, data.learning, supernet);
  const remembered = new Map<string, number>();
  for (const event of folder.readEvents())
    if (event.type === 'candidate') remembered.set(keyOf(event.genome), event.accuracy);
  const from =
    clock.saved === undefined ? job.start : strategy.restore(clock.saved, folder.file('state.json'));
  let ticked = clock.seconds();
  const state = await searchWith(
    strategy,
    from,
    judge,
    remembered,
    {
      onCandidate({ generation }, { genome, origin, accuracy }) {
        folder.append({
          type: 'candidate',
          time: new Date().toISOString(),
          generation,
          genome,
          origin,
          accuracy,
          ...costOf(genome),
        });
        if (clock.seconds() - ticked < config.checkpointSeconds) return;
        ticked = clock.seconds();
        clock.tick();
      },
      onGeneration: (reached) => clock.save(reached),
    },
    host,
  );
  supernet.dispose();
  return state;
}

/**
 * The winner, members of the front where they are asked for, the macro-architecture in one family each, and the
 * convolution network scaled to the winner's energy (left out where no width gets that low).
 */
function networksToRetrain(
  { config, space, profile }: Job,
  { archive }: SearchState,
): readonly { readonly name: string; readonly architecture: Architecture }[] {
  const winner = ranked(archive)[0] as Candidate;
  const { objectives, retrainFront } = config.search;
  const spread = spreadAlong(frontOf(archive, objectives), [winner], retrainFront, objectives);
  const families = space.families.map(familyNamed);
  const networks = [
    { name: 'hybrid', architecture: space.architecture(winner.genome) },
    ...ranked(spread).map(({ genome }, at) => ({
      name: `front-${at + 1}`,
      architecture: space.architecture(genome),
    })),
    ...families.map((family) => ({
      name: `all-${family.shortName}`,
      architecture: space.architecture(uniformGenome(space, family.name)),
    })),
  ];
  if (!space.families.includes(fixedFamily)) return networks;
  const multiplying = space.architecture(uniformGenome(space, fixedFamily));
  const scaled = scaledToEnergy(multiplying, winner.costs.energyMj, profile);
  return scaled === undefined ? networks : [...networks, { name: 'conv-scaled', architecture: scaled }];
}

function retrain(
  job: Job,
  name: string,
  architecture: Architecture,
  clock: PhaseClock<NetworkResult>,
): NetworkResult {
  const { config, data, folder, host, profiles, profile, latencies, budget } = job;
  const phase = retrainPhase(name);
  const network = trainNetwork(
    {
      name: phase,
      architecture,
      data: data.learning,
      schedule: config.retrain,
      augmentation: config.augmentation,
      techniques: config.techniques,
      seed: config.seed,
      recomputeBlocks: config.recomputeBlocks,
      checkpoints: checkpointsOf(job, phase, clock),
    },
    logged(folder, host),
  );
  const trainSeconds = clock.seconds();
  const costs = costsOf(architecture, profile, latencies?.networkMs);
  const perProfile = <T>(of: (profile: AcceleratorProfile) => T): Record<string, T> =>
    Object.fromEntries([...profiles].map(([key, each]) => [key, of(each)]));
  saveModel(folder.file('networks', name), network, modelInfo(job));
  const result: NetworkResult = {
    name,
    testAccuracy: networkAccuracy(network, data, data.splits.openTest(`final accuracy of ${name}`)),
    searchValidationAccuracy: networkAccuracy(network, data, data.splits.searchValidation),
    energyMj: perProfile((each) => networkCost(architecture, each).energyMj),
    latencyMs: perProfile((each) => networkCost(architecture, each).latencyMs),
    ...(latencies !== undefined && { tableLatencyMs: costs.latencyMs }),
    macs: costs.macs,
    params: costs.params,
    areaMm2: costs.areaMm2,
    sramBytes: costs.sramBytes,
    flashBytes: costs.flashBytes,
    withinBudget: meets(costs, budget),
    trainSeconds,
    architecture,
    layers: perProfile((each) => layerCostRecords(architecture, each)),
    weightHistograms: weightHistograms(network),
  };
  network.dispose();
  folder.removeCheckpoint(phase);
  return result;
}

function handOver(
  job: Job,
  state: RunStateDraft,
  searched: SearchState,
  networks: readonly NetworkResult[],
): RunResult {
  const { config, folder, data, space, profile, profiles, latencies, budget } = job;
  const { dataset, splits } = data;
  const winner = bestOf(searched) as Candidate;
  const result: RunResult = {
    format: 'shiftaddnas-result',
    version: 1,
    name: folder.name,
    command: state.command,
    seed: config.seed,
    startedAt: state.startedAt,
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
      classes: dataset.classes,
      trainImages: splits.train.indices.length,
      searchValidationImages: splits.searchValidation.indices.length,
      testImages: splits.testCount,
      fingerprint: dataset.fingerprint,
      notices: dataset.notices,
    },
    space: { name: space.name, size: String(space.size), families: space.families },
    profile: profile.name,
    profiles: [...profiles.keys()],
    ...(latencies !== undefined && {
      latencyTable: { file: config.latencyTable as string, machine: machineText(latencies.table) },
    }),
    budget: limitedQuantities(budget).map((quantity) => ({ quantity, limit: budget[quantity] as number })),
    schedule: { ...prefixed('supernet', config.supernet), ...prefixed('retrain', config.retrain) },
    search: {
      strategy: config.search.strategy,
      surrogate: config.search.surrogate,
      objectives: config.search.objectives,
      front: frontOf(searched.archive, config.search.objectives).map(
        ({ genome, accuracy, costs }): FrontMember => ({ genome, accuracy, ...costs }),
      ),
      archiveHash: createHash('sha256').update(JSON.stringify(searched.archive)).digest('hex'),
      generations: searched.generation,
      evaluated: searched.archive.length,
      bestGenome: winner.genome,
      bestSearchValidationAccuracy: winner.accuracy,
    },
    networks,
  };
  const { network, info } = loadModel(folder.file('networks', 'hybrid'));
  saveModel(folder.path, network, info);
  const hybrid = networks.find(({ name }) => name === 'hybrid') as NetworkResult;
  writeFileAtomic(
    folder.file('model.onnx'),
    onnxModel(network, info, {
      dataset: dataset.name,
      seed: String(config.seed),
      budget: config.budget,
      profile: profile.name,
      testAccuracy: String(hybrid.testAccuracy),
      energyMj: String(hybrid.energyMj[profile.name]),
    }),
  );
  network.dispose();
  writeFileAtomic(folder.file('result.json'), `${JSON.stringify(result, undefined, 1)}\n`);
  return result;
}

function modelInfo({ config, data: { dataset, statistics } }: Job): ModelInfo {
  return { dataset: dataset.name, classes: dataset.classes, statistics, seed: config.seed };
}

function prefixed(prefix: string, settings: Schedule): Record<string, number | string> {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]: [string, unknown]) => [
      `${prefix}.${key}`,
      typeof value === 'number' ? value : String(value),
    ]),
  );
}

/** A host that also writes training progress into the event log. */
export function logged(folder: RunFolder, host: JobHost): JobHost {
  return {
    send(message) {
      host.send(message);
      if (message.type !== 'training') return;
      const { name, epoch, step, loss, accuracy, learningRate } = message;
      const event: RunEvent = {
        type: 'training',
        time: new Date().toISOString(),
        phase: name,
        epoch,
        step,
        loss,
        accuracy,
        learningRate,
      };
      folder.append(event);
    },
    interrupted: () => host.interrupted(),
  };
}
