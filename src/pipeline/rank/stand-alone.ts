/**
 * @file The stand-alone trainings of `rank`: the truth that scores are held against. Here or in worker processes.
 */
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { DivergenceError } from '../../base/errors.js';
import { mapConcurrently } from '../../base/concurrent.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { spaceOf } from '../config/space-settings.js';
import type { Network } from '../../spaces/network.js';
import { jobIdentity } from '../config/config.js';
import type { JobHost, JobMessage } from '../run/host.js';
import { saveModel } from '../models/model-files.js';
import type { PhaseClock, Phases } from '../run/phases.js';
import { prepareData, type PreparedData } from '../training/prepared-data.js';
import { RunFolder } from '../run/run-folder.js';
import { checkpointsOf, logged } from '../run/saving.js';
import { networkAccuracy, trainNetwork } from '../training/train-network.js';
import { openWorkers } from '../workers/pool.js';
import type { RankRequest } from './request.js';

/** One stand-alone training. */
export interface StandAlone {
  readonly identity: string;
  readonly genome: Genome;
  readonly seed: number;
  /** On search-validation; null when it diverged. */
  readonly accuracy: number | null;
  readonly trainSeconds: number;
}

/** What all trainings of a measurement have in common. */
export interface StandAloneWork {
  readonly request: RankRequest;
  readonly folder: RunFolder;
  readonly data: PreparedData;
  readonly space: SearchSpace;
  /** Of the measurement, for its checkpoints. */
  readonly identity: string;
  /** Fingerprints of what the techniques read. */
  readonly inputs: readonly unknown[];
}

/** The same as plain data: data and space are made again from it. */
export type StandAloneSetup = Pick<StandAloneWork, 'request' | 'identity' | 'inputs'>;

export interface StandAloneTask {
  readonly genome: Genome;
  readonly seed: number;
  /** Spent on it in earlier sessions. */
  readonly secondsBefore: number;
}

const standAloneFile = 'standalone.json';

/** `2-0-5-1-seed3`. */
export function nameOf(genome: Genome, seed: number): string {
  return `${genome.join('-')}-seed${seed}`;
}

/**
 * Trains every wanted network, in `workers` processes when more than one is asked for, and gives the results by name.
 * Neither results nor files depend on their number.
 */
export async function trainAllAlone(
  work: StandAloneWork & { readonly host: JobHost },
  wanted: readonly { readonly genome: Genome; readonly seed: number }[],
  phases: Phases,
): Promise<ReadonlyMap<string, StandAlone>> {
  const { request, folder, host, identity, inputs } = work;
  const { workers = 1 } = request.options;
  const left = wanted.filter(({ genome, seed }) => !phases.isFinished(`train:${nameOf(genome, seed)}`));
  // One failure stops the others, which save themselves.
  let failed = false;
  const supervised: JobHost = { ...host, interrupted: () => failed || host.interrupted() };
  const pool =
    workers > 1 && left.length > 0
      ? openWorkers(
          'standAlone',
          { request, identity, inputs },
          {
            workers: Math.min(workers, left.length),
            title: ({ genome, seed }) => `training ${nameOf(genome, seed)}`,
            host: supervised,
          },
        )
      : undefined;
  const shares = new Map<number, number>();
  const trainOne = async (
    { genome, seed }: (typeof wanted)[number],
    index: number,
    clock: PhaseClock<StandAlone>,
  ): Promise<StandAlone> => {
    const shown = counted(supervised, { index, total: wanted.length, shares });
    if (pool === undefined) return trainAlone(work, genome, seed, shown, clock);
    const log = logged(folder, shown);
    let ticked = clock.seconds();
    const onMessage = (message: JobMessage): void => {
      log.send(message);
      if (clock.seconds() - ticked < request.config.checkpointSeconds) return;
      ticked = clock.seconds();
      clock.tick();
    };
    return pool.run({ genome, seed, secondsBefore: clock.seconds() }, onMessage);
  };
  try {
    const results = await mapConcurrently(wanted, workers, async (one, index) => {
      try {
        return await phases.run<StandAlone>(`train:${nameOf(one.genome, one.seed)}`, (clock) =>
          trainOne(one, index, clock),
        );
      } catch (error) {
        failed = true;
        throw error;
      } finally {
        shares.set(index, 1);
      }
    });
    return new Map(wanted.map(({ genome, seed }, at) => [nameOf(genome, seed), results[at]!]));
  } finally {
    pool?.close();
  }
}

/** In a worker: loads the data once and gives what trains one network after another. */
export async function openStandAlone(
  setup: StandAloneSetup,
  host: JobHost,
): Promise<(task: StandAloneTask) => StandAlone> {
  const { config, path } = setup.request;
  const data = await prepareData(config);
  const classes = data.dataset.classes.length;
  const space = spaceOf(config.space, { input: data.shape, classes });
  const work = { ...setup, folder: new RunFolder(path), data, space };
  return ({ genome, seed, secondsBefore }) => {
    const started = performance.now();
    const seconds = (): number => secondsBefore + (performance.now() - started) / 1000;
    // The job writes the log and the state; what we write is ours alone.
    return trainAlone(work, genome, seed, host, { seconds, tick: () => undefined }, false);
  };
}

/** Trains one network, or takes it from another measurement that trained the same. */
function trainAlone(
  { request, space, data, folder, inputs, identity: measurement }: StandAloneWork,
  genome: Genome,
  seed: number,
  host: JobHost,
  clock: Pick<PhaseClock<StandAlone>, 'seconds' | 'tick'>,
  log = true,
): StandAlone {
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
        checkpoints: checkpointsOf(
          { everySeconds: config.checkpointSeconds, folder, identity: measurement },
          phase,
          clock,
        ),
      },
      log ? logged(folder, host) : host,
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
function counted(
  host: JobHost,
  {
    index,
    total,
    shares,
  }: { readonly index: number; readonly total: number; readonly shares: Map<number, number> },
): JobHost {
  return {
    send(message) {
      if (message.type !== 'training') return host.send(message);
      const { step, steps, epoch, epochs, accuracy, imagesPerSecond } = message;
      shares.set(index, step / steps);
      const done = [...shares.values()].reduce((sum, share) => sum + share, 0);
      host.send({
        type: 'ranking',
        title: 'stand-alone',
        done: Math.round(1000 * done),
        total: 1000 * total,
        text:
          `network ${index + 1}/${total}, epoch ${epoch}/${epochs}, training accuracy ${(100 * accuracy).toFixed(1)} %, ` +
          `${Math.round(imagesPerSecond)} images/s`,
      });
    },
    interrupted: () => host.interrupted(),
  };
}
