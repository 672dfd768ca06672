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
import { findFeasible } from '../search/nearest.js';
import { keyOf } from '../search/sampling.js';
import { bestOf, type Candidate, type SearchState } from '../search/strategy.js';
import type { Architecture } from '../spaces/architecture.js';
import { fixedFamily } from '../spaces/layers.js';
import { createMiniSpace, uniformGenome, type MiniSpace } from '../spaces/mini/space.js';
import { describeDevice } from '../tensor/device.js';
import { scheduleOf, type RunConfig } from './config.js';
import type { JobHost } from './host.js';
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
import { prepareData, type PreparedData } from './prepared-data.js';
import type { NetworkResult, RunEvent, RunResult } from './result.js';
import { RunFolder, type RunState } from './run-folder.js';
import {
  evolutionFor,
  restoreSupernet,
  searchWith,
  subnetJudge,
  supernetWeights,
  trainSupernet,
} from './supernet-phases.js';
import { networkAccuracy, requireBatches, trainNetwork, type CheckpointHooks } from './train-network.js';
import { weightHistograms } from './weight-histograms.js';

interface Job {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly host: JobHost;
  readonly data: PreparedData;
  readonly space: MiniSpace;
  readonly profiles: ReadonlyMap<string, AcceleratorProfile>;
  readonly profile: AcceleratorProfile;
  readonly budget: Budget;
  readonly costOf: CostOf;
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
  config.space.families.forEach(familyNamed);
  const request = parseBudget(config.budget);
  const profiles = loadProfiles([config.profile, ...config.reportProfiles]);
  const folder = new RunFolder(path);
  if (!options.resume) folder.requireFresh();
  const data = await prepareData(config, {
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  const space = createMiniSpace({ ...config.space, input: data.shape, classes: data.dataset.classes.length });
  const profile = [...profiles.values()][0] as AcceleratorProfile;
  const costOf = rememberedCosts(space, profile);
  const reference = isRelative(request) ? referenceGenome(space) : space.optionCounts.map(() => 0);
  const budget = resolveBudget(request, costOf(reference));
  findFeasible(space, costOf, budget);
  requireBatches(data, 'supernet', config.supernet);
  requireBatches(data, 'retrain', config.retrain);
  if (!options.resume) folder.create();
  folder.lock();
  try {
    const identity = identityOf(config, data, space);
    const job: Job = { config, folder, host, data, space, profiles, profile, budget, costOf, identity };
    return runPhases(job, folder.readState(identity), options);
  } finally {
    folder.unlock();
  }
}

/** What percentages of a budget refer to: the space's macro-architecture in convolution. @throws OptionError */
function referenceGenome(space: MiniSpace): readonly number[] {
  if (!space.options.families.includes(fixedFamily))
    throw new OptionError(
      `a budget in percent refers to the all-${fixedFamily} network, and the space has no family '${fixedFamily}'; ` +
        'give the budget in absolute units',
    );
  return uniformGenome(space, fixedFamily);
}

function identityOf(config: RunConfig, data: PreparedData, space: MiniSpace): string {
  const matters = { ...config, name: undefined, out: undefined, checkpointSeconds: undefined };
  return createHash('sha256')
    .update(JSON.stringify([matters, data.dataset.fingerprint, space.identity]))
    .digest('hex');
}

function runPhases(job: Job, saved: RunState | undefined, options: { readonly command: string }): RunResult {
  const { folder, host } = job;
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
  if (saved === undefined)
    writeFileAtomic(folder.file('config.json'), `${JSON.stringify(job.config, undefined, 1)}\n`);
  const phase = <T>(name: string, run: (known: T | undefined, save: (partial: T) => void) => T): T => {
    if (state.finishedPhases.includes(name)) return state.results[name] as T;
    const event = (what: 'started' | 'finished' | 'resumed'): void => {
      folder.append({ type: 'phase', time: new Date().toISOString(), phase: name, state: what });
      host.send({ type: 'phase', phase: name, state: what });
    };
    event(name in state.phaseSeconds ? 'resumed' : 'started');
    const before = state.phaseSeconds[name] ?? 0;
    const started = performance.now();
    const save = (partial: T): void => {
      state.results[name] = partial;
      state.phaseSeconds[name] = before + (performance.now() - started) / 1000;
      folder.writeState(state);
    };
    state.phaseSeconds[name] = before;
    folder.writeState(state);
    const result = run(state.results[name] as T | undefined, save);
    state.finishedPhases.push(name);
    save(result);
    event('finished');
    return result;
  };

  phase<null>(supernetPhase, () => {
    trainSupernetPhase(job);
    return null;
  });
  const searched = phase<SearchState>(searchPhase, (known, save) => searchPhaseOf(job, known, save));
  const winner = bestOf(searched) as Candidate;
  const networks = networksToRetrain(job, winner).map(({ name, architecture }) =>
    phase<NetworkResult>(retrainPhase(name), () => retrain(job, name, architecture)),
  );
  return handOver(job, state, searched, networks);
}

type RunStateDraft = Omit<RunState, 'format' | 'version'>;

function trainSupernetPhase(job: Job): void {
  const { config, space, data, folder, identity, host } = job;
  const supernet = trainSupernet(
    config,
    space,
    data,
    checkpointsOf(job, supernetTraining),
    logged(folder, host),
  );
  folder.writeCheckpoint(supernetPhase, identity, supernetWeights(supernet));
  folder.removeCheckpoint(supernetTraining);
  supernet.dispose();
}

function checkpointsOf({ config, folder, identity }: Job, phase: string): CheckpointHooks {
  return {
    everySeconds: config.checkpointSeconds,
    resumeFrom: folder.readCheckpoint(phase, identity),
    save: (checkpoint) => folder.writeCheckpoint(phase, identity, checkpoint),
  };
}

function searchPhaseOf(
  job: Job,
  known: SearchState | undefined,
  save: (state: SearchState) => void,
): SearchState {
  const { config, space, data, folder, identity, budget, costOf, host } = job;
  const weights = folder.readCheckpoint(supernetPhase, identity);
  if (weights === undefined) throw new Error('the supernet phase left no weights');
  const supernet = restoreSupernet(space, weights, folder.path);
  const judge = subnetJudge(config, data, data.splits.forSearch(), supernet);
  const strategy = evolutionFor(config, space, costOf, budget);
  const remembered = new Map<string, number>();
  for (const event of folder.readEvents())
    if (event.type === 'candidate') remembered.set(keyOf(event.genome), event.accuracy);
  const state = searchWith(
    strategy,
    known === undefined ? strategy.start() : strategy.restore(known, folder.file('state.json')),
    judge,
    remembered,
    {
      onCandidate: ({ generation }, { genome, origin, accuracy }) =>
        folder.append({
          type: 'candidate',
          time: new Date().toISOString(),
          generation,
          genome,
          origin,
          accuracy,
          ...costOf(genome),
        }),
      onGeneration: save,
    },
    host,
  );
  supernet.dispose();
  return state;
}

/** The winner, the macro-architecture in one family each, and the convolution network scaled to the winner's energy. */
function networksToRetrain(
  { space, profile }: Job,
  winner: Candidate,
): readonly { readonly name: string; readonly architecture: Architecture }[] {
  const families = space.options.families.map(familyNamed);
  const networks = [
    { name: 'hybrid', architecture: space.architecture(winner.genome) },
    ...families.map((family) => ({
      name: `all-${family.shortName}`,
      architecture: space.architecture(uniformGenome(space, family.name)),
    })),
  ];
  if (!space.options.families.includes(fixedFamily)) return networks;
  const multiplying = space.architecture(uniformGenome(space, fixedFamily));
  return [
    ...networks,
    { name: 'conv-scaled', architecture: scaledToEnergy(multiplying, winner.costs.energyMj, profile) },
  ];
}

function retrain(job: Job, name: string, architecture: Architecture): NetworkResult {
  const { config, data, folder, host, profiles, profile, budget } = job;
  const phase = retrainPhase(name);
  const started = performance.now();
  const network = trainNetwork(
    {
      name: phase,
      architecture,
      data,
      schedule: scheduleOf(config.retrain),
      augmentation: config.augmentation,
      seed: config.seed,
      checkpoints: checkpointsOf(job, phase),
    },
    logged(folder, host),
  );
  const trainSeconds = (performance.now() - started) / 1000;
  const costs = costsOf(architecture, profile);
  const perProfile = <T>(of: (profile: AcceleratorProfile) => T): Record<string, T> =>
    Object.fromEntries([...profiles].map(([key, each]) => [key, of(each)]));
  saveModel(folder.file('networks', name), network, modelInfo(job));
  const result: NetworkResult = {
    name,
    testAccuracy: networkAccuracy(network, data, data.splits.openTest(`final accuracy of ${name}`)),
    searchValidationAccuracy: networkAccuracy(network, data, data.splits.searchValidation),
    energyMj: perProfile((each) => networkCost(architecture, each).energyMj),
    latencyMs: perProfile((each) => networkCost(architecture, each).latencyMs),
    macs: costs.macs,
    params: costs.params,
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
  const { config, folder, data, space, profile, profiles, budget } = job;
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
    machine: { ...machineOf(), ...deviceOf() },
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
    space: { name: space.name, size: String(space.size), families: space.options.families },
    profile: profile.name,
    profiles: [...profiles.keys()],
    budget: limitedQuantities(budget).map((quantity) => ({ quantity, limit: budget[quantity] as number })),
    schedule: { ...prefixed('supernet', config.supernet), ...prefixed('retrain', config.retrain) },
    search: {
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

function modelInfo({ data: { dataset, statistics } }: Job): ModelInfo {
  return { dataset: dataset.name, classes: dataset.classes, statistics };
}

function deviceOf(): { readonly device: string; readonly threads: number } {
  const { device, isa, threads } = describeDevice();
  return { device: `${device} ${isa}`, threads };
}

function prefixed(prefix: string, settings: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [`${prefix}.${key}`, value]));
}

/** A host that also writes training progress and notices into the event log. */
function logged(folder: RunFolder, host: JobHost): JobHost {
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
