/**
 * @file How long the entries of a recipe take here: a few seconds of the real training of each, kept nowhere.
 */
import { stepsPerEpoch } from '../../data/batches.js';
import { Interrupted } from '../../training/interrupted.js';
import type { JobHost } from '../run/host.js';
import { prepareData } from '../training/prepared-data.js';
import { architectureOf } from '../jobs/train-job.js';
import { requireBatches, trainNetwork } from '../training/train-network.js';
import type { TrainConfig, TrainSubject } from '../jobs/train-request.js';
import type { Speed } from './plan.js';

export interface ProbeRequest {
  /** All on the same data. */
  readonly entries: readonly {
    readonly name: string;
    readonly config: TrainConfig;
    readonly subject: TrainSubject;
    /** Name of the entry that teaches this one, whose forward pass is a third of its own step. */
    readonly teacher?: string;
  }[];
}

/** In the order of the request. */
export type ProbeResult = readonly ({ readonly name: string } & Speed)[];

/** Of training per entry. */
const probeSeconds = 2;
/** The first steps fill pools and caches. */
const warmUpSteps = 2;

/** @throws UserError for bad data or settings, Interrupted when asked to stop */
export async function runProbeJob({ entries }: ProbeRequest, host: JobHost): Promise<ProbeResult> {
  const first = entries[0];
  if (first === undefined) return [];
  const data = await prepareData(first.config, {
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  host.send({ type: 'phase', phase: 'measuring the speed of training', state: 'started' });
  const speeds = new Map<string, { readonly name: string } & Speed>();
  for (const { name, config, subject, teacher } of entries) {
    const { learning } = data;
    requireBatches(learning, 'retrain', config.retrain);
    const trainImages = learning.train.indices.length;
    const clock = { step: -1, started: 0, ended: 0 };
    try {
      trainNetwork(
        {
          name,
          architecture: architectureOf({ config, subject }, data),
          data: learning,
          // Long enough not to end on its own, whatever the schedule is.
          schedule: { ...config.retrain, epochs: 1_000_000 },
          augmentation: config.augmentation,
          seed: config.seed,
        },
        {
          send: () => undefined,
          // Asked once before each step.
          interrupted: () => {
            clock.step++;
            clock.ended = performance.now();
            if (clock.step === warmUpSteps) clock.started = clock.ended;
            const enough = clock.step > warmUpSteps && clock.ended - clock.started > 1000 * probeSeconds;
            return enough || host.interrupted();
          },
        },
      ).dispose();
    } catch (error) {
      if (!(error instanceof Interrupted) || host.interrupted()) throw error;
    }
    const taught = teacher === undefined ? 0 : (speeds.get(teacher)?.secondsPerStep ?? 0) / 3;
    speeds.set(name, {
      name,
      secondsPerStep: (clock.ended - clock.started) / 1000 / (clock.step - warmUpSteps) + taught,
      batchSize: config.retrain.batchSize,
      trainImages: stepsPerEpoch(trainImages, config.retrain.batchSize, true) * config.retrain.batchSize,
    });
  }
  return [...speeds.values()];
}
