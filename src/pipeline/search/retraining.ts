/**
 * @file The retraining of what a search has found, and of its rivals: each alone, under one schedule, with one seed or
 * several.
 *
 * The first seed is that of the run. Its network is the one that is saved and described; further seeds say how far chance
 * alone moves an accuracy.
 */
import { mean, sampleDeviation } from '../../base/statistics.js';
import type { AcceleratorProfile } from '../../hardware/index.js';
import { meets, type Budget } from '../../search/costs.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { Network } from '../../spaces/network.js';
import type { RunConfig } from '../config/config.js';
import type { JobHost } from '../run/host.js';
import type { MachineLatencies } from '../latency/latency-table.js';
import { saveModel } from '../models/model-files.js';
import { costsOf, layerCostRecords, networkCost } from '../models/network-costs.js';
import type { PhaseClock, Phases } from '../run/phases.js';
import type { PreparedData } from '../training/prepared-data.js';
import type { NetworkResult, Retraining } from '../run/result.js';
import type { RunFolder } from '../run/run-folder.js';
import { checkpointsOf, logged } from '../run/saving.js';
import { networkAccuracy, trainNetwork } from '../training/train-network.js';
import { weightHistograms } from '../models/weight-histograms.js';

/** What every retraining of a run has in common. */
export interface RetrainingWork {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  readonly host: JobHost;
  readonly data: PreparedData;
  readonly profiles: ReadonlyMap<string, AcceleratorProfile>;
  readonly profile: AcceleratorProfile;
  readonly budget: Budget;
  readonly latencies: MachineLatencies | undefined;
  readonly identity: string;
}

interface NamedArchitecture {
  readonly name: string;
  readonly architecture: Architecture;
}

/** `retrain:hybrid` with the seed of the run, `retrain:hybrid-seed7` with a further one. */
function phaseOf(name: string, seed: number | undefined): string {
  return `retrain:${name}${seed === undefined ? '' : `-seed${seed}`}`;
}

/** Retrains all, with a whole round of one seed before the next; every (network, seed) is a phase of its own. */
export async function retrainAll(
  work: RetrainingWork,
  networks: readonly NamedArchitecture[],
  phases: Phases,
): Promise<readonly NetworkResult[]> {
  const { retrainSeeds = 1, seed } = work.config;
  const results: NetworkResult[] = [];
  for (const network of networks)
    results.push(
      await phases.run<NetworkResult>(phaseOf(network.name, undefined), (clock) =>
        retrainFirst(work, network, clock),
      ),
    );
  const further = networks.map((): Retraining[] => []);
  for (let round = 1; round < retrainSeeds; round++)
    for (const [at, network] of networks.entries())
      further[at]!.push(
        await phases.run<Retraining>(phaseOf(network.name, seed + round), (clock) =>
          retrainAgain(work, network, seed + round, clock),
        ),
      );
  return results.map((result, at) => withSeeds(result, seed, further[at]!));
}

/** A result with all its seeds, the first one of which it is; as it is when there are no others. */
export function withSeeds(
  result: NetworkResult,
  seed: number,
  further: readonly Retraining[],
): NetworkResult {
  if (further.length === 0) return result;
  const { testAccuracy, searchValidationAccuracy, trainSeconds } = result;
  const seeds = [{ seed, testAccuracy, searchValidationAccuracy, trainSeconds }, ...further];
  const accuracies = seeds.map((each) => each.testAccuracy);
  return {
    ...result,
    seeds,
    meanTestAccuracy: mean(accuracies),
    testAccuracyDeviation: sampleDeviation(accuracies),
  };
}

function retrained(
  { config, data, folder, host, identity }: RetrainingWork,
  architecture: Architecture,
  phase: string,
  seed: number,
  clock: PhaseClock<unknown>,
): Network {
  return trainNetwork(
    {
      name: phase,
      architecture,
      data: data.learning,
      schedule: config.retrain,
      augmentation: config.augmentation,
      techniques: config.techniques,
      seed,
      recomputeBlocks: config.recomputeBlocks,
      checkpoints: checkpointsOf({ everySeconds: config.checkpointSeconds, folder, identity }, phase, clock),
    },
    logged(folder, host),
  );
}

function retrainFirst(
  work: RetrainingWork,
  { name, architecture }: NamedArchitecture,
  clock: PhaseClock<NetworkResult>,
): NetworkResult {
  const { config, data, folder, profiles, profile, latencies, budget } = work;
  const phase = phaseOf(name, undefined);
  const network = retrained(work, architecture, phase, config.seed, clock);
  const trainSeconds = clock.seconds();
  const costs = costsOf(architecture, profile, latencies?.networkMs);
  const perProfile = <T>(of: (profile: AcceleratorProfile) => T): Record<string, T> =>
    Object.fromEntries([...profiles].map(([key, each]) => [key, of(each)]));
  const { dataset, statistics } = data;
  saveModel(folder.file('networks', name), network, {
    dataset: dataset.name,
    classes: dataset.classes,
    statistics,
    seed: config.seed,
  });
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

function retrainAgain(
  work: RetrainingWork,
  { name, architecture }: NamedArchitecture,
  seed: number,
  clock: PhaseClock<Retraining>,
): Retraining {
  const { data, folder } = work;
  const phase = phaseOf(name, seed);
  const network = retrained(work, architecture, phase, seed, clock);
  const trainSeconds = clock.seconds();
  const test = data.splits.openTest(`final accuracy of ${name} with seed ${seed}`);
  const result: Retraining = {
    seed,
    testAccuracy: networkAccuracy(network, data, test),
    searchValidationAccuracy: networkAccuracy(network, data, data.splits.searchValidation),
    trainSeconds,
  };
  network.dispose();
  folder.removeCheckpoint(phase);
  return result;
}
