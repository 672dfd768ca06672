/**
 * @file The main job: supernet, search, retraining, hand-over; resumable at any moment.
 *
 * Phases run in order. A finished phase leaves its result in state.json, a phase in progress leaves checkpoints, and
 * everything in between is a pure function of the configuration, so a run that was killed and resumed ends with the
 * same result as an undisturbed one.
 */
import { OptionError } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import type { AcceleratorProfile } from '../../hardware/index.js';
import { familyNamed } from '../../operators/registry.js';
import { isRelative, parseBudget, resolveBudget } from '../../search/budget.js';
import { limitedQuantities, type Budget } from '../../search/costs.js';
import type { CostOf } from '../../search/descent.js';
import { frontOf, spreadAlong } from '../../search/objectives.js';
import { keyOf } from '../../search/sampling.js';
import {
  bestOf,
  ranked,
  type Candidate,
  type SearchState,
  type SearchStrategy,
} from '../../search/strategy.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { fixedFamily } from '../../spaces/blocks/ends.js';
import { uniformGenome } from '../../spaces/landmarks.js';
import { jobIdentity, type RunConfig } from '../config/config.js';
import { requireSearchSettings } from './early-checks.js';
import type { JobHost } from '../run/host.js';
import { loadLatencies, machineText, type MachineLatencies } from '../latency/latency-table.js';
import { machineOf, versionsOf } from '../run/machine.js';
import { loadModel, onnxModel, saveModel } from '../models/model-files.js';
import { loadProfiles, rememberedCosts, requirePriced, scaledToEnergy } from '../models/network-costs.js';
import { Phases, type PhaseClock, type RunStateDraft } from '../run/phases.js';
import { prefilterSettings } from '../search/prefilter.js';
import { judgedData, prepareData, type PreparedData } from '../training/prepared-data.js';
import type { FrontMember, NetworkResult, RunResult } from '../run/result.js';
import { retrainAll } from '../search/retraining.js';
import { RunFolder, type RunState } from '../run/run-folder.js';
import { checkpointsOf, logged } from '../run/saving.js';
import { referenceFamily, widestFamilies } from '../search/rivals.js';
import { archiveHashOf, lastJudgingPhase, searchPhases, type SearchOutcome } from '../search/search-phase.js';
import { strategyFor } from '../config/search-settings.js';
import { spaceOf } from '../config/space-settings.js';
import {
  phasesStanding,
  storedSupernet,
  storeSupernet,
  supernetPhase,
  supernetTraining,
} from '../search/stored-supernet.js';
import { supernetEffort, supernetSummary, trainSupernet } from '../search/supernet-phases.js';
import { requireTrainings } from '../search/data-checks.js';

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
  /** Filled by the pre-filter, read by the strategy. */
  readonly preferred: { genomes: readonly Genome[] };
  readonly identity: string;
}

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
  requireSearchSettings(config);
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
    ? uniformGenome(space, referenceFamily(space.families))
    : space.canonical(space.optionCounts.map(() => 0));
  const budget = resolveBudget(request, costOf(reference));
  const preferred: Job['preferred'] = { genomes: [] };
  const rule = prefilterSettings(config.search);
  const strategy = strategyFor(
    config,
    space,
    costOf,
    budget,
    rule === undefined ? undefined : { rule, genomes: () => preferred.genomes },
  );
  // Proves that the budget can be met.
  strategy.start();
  requirePriced(space, [...profiles.values()].slice(1));
  const inputs = requireTrainings(config, space, data.learning, true);
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
      preferred,
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
  state.finishedPhases = [...phasesStanding(state.finishedPhases, folder, lastJudgingPhase(config))];
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
  const outcome = await searchPhases(job, phases);
  const networks = await retrainAll(job, networksToRetrain(job, outcome.searched), phases);
  return handOver(job, state, outcome, networks);
}

function trainSupernetPhase(job: Job, clock: PhaseClock<null>): void {
  const { config, space, data, folder, identity, host } = job;
  const supernet = trainSupernet(
    config,
    space,
    data.learning,
    checkpointsOf({ everySeconds: config.checkpointSeconds, folder, identity }, supernetTraining, clock),
    logged(folder, host),
  );
  storeSupernet(job, supernet);
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
  const networks = [
    { name: 'hybrid', architecture: space.architecture(winner.genome) },
    ...ranked(spread).map(({ genome }, at) => ({
      name: `front-${at + 1}`,
      architecture: space.architecture(genome),
    })),
    ...uniformNetworks(space),
  ];
  if (!space.families.includes(fixedFamily)) return networks;
  const multiplying = space.architecture(uniformGenome(space, fixedFamily));
  const scaled = scaledToEnergy(multiplying, winner.costs.energyMj, profile);
  return scaled === undefined ? networks : [...networks, { name: 'conv-scaled', architecture: scaled }];
}

/**
 * One of each family, of those that differ in the bits of their operands the widest; where two come to the same network, because
 * neither is offered where they differ, it counts once.
 */
function uniformNetworks(
  space: SearchSpace,
): readonly { readonly name: string; readonly architecture: Architecture }[] {
  const seen = new Set<string>();
  return widestFamilies(space.families).flatMap((family) => {
    const genome = uniformGenome(space, family);
    if (seen.has(keyOf(genome))) return [];
    seen.add(keyOf(genome));
    return [{ name: `all-${familyNamed(family).shortName}`, architecture: space.architecture(genome) }];
  });
}

function handOver(
  job: Job,
  state: RunStateDraft,
  { searched, prefilter, control }: SearchOutcome,
  networks: readonly NetworkResult[],
): RunResult {
  const { config, folder, data, space, profile, profiles, latencies, budget } = job;
  const { dataset, splits } = data;
  const winner = bestOf(searched) as Candidate;
  const supernet = storedSupernet(job, config, space);
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
      ...judgedData(data),
      classes: dataset.classes,
      testImages: splits.testCount,
      notices: dataset.notices,
    },
    space: { name: space.name, size: String(space.size), families: space.families },
    profile: profile.name,
    profiles: [...profiles.keys()],
    ...(latencies !== undefined && {
      latencyTable: { file: config.latencyTable as string, machine: machineText(latencies.table) },
    }),
    budget: limitedQuantities(budget).map((quantity) => ({ quantity, limit: budget[quantity] as number })),
    schedule: {
      ...prefixed('supernet', config.supernet),
      ...prefixed('supernetTraining', config.supernetTraining ?? {}),
      ...prefixed('retrain', config.retrain),
    },
    supernet: {
      ...supernetEffort(config, space, data.learning),
      ...supernetSummary(supernet, config.sharing),
    },
    search: {
      strategy: config.search.strategy,
      surrogate: config.search.surrogate,
      objectives: config.search.objectives,
      front: frontOf(searched.archive, config.search.objectives).map(
        ({ genome, accuracy, costs }): FrontMember => ({ genome, accuracy, ...costs }),
      ),
      archiveHash: archiveHashOf(searched),
      generations: searched.generation,
      evaluated: searched.archive.length,
      bestGenome: winner.genome,
      bestSearchValidationAccuracy: winner.accuracy,
      ...(prefilter !== undefined && { prefilter }),
      ...(control !== undefined && { control }),
    },
    networks,
  };
  supernet.dispose();
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

function prefixed(prefix: string, settings: object): Record<string, number | string> {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]: [string, unknown]) => [
      `${prefix}.${key}`,
      typeof value === 'number' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value),
    ]),
  );
}
