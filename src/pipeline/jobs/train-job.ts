/**
 * @file The job behind `train`: one architecture, from scratch, into a folder; resumable like a search.
 *
 *     train-config.json    the resolved configuration and the architecture
 *     checkpoints/         weights and momentum while it trains
 *     model.safetensors, architecture.json, model.onnx, train.json
 */
import { existsSync } from 'node:fs';
import { OptionError } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import type { ImageDataset } from '../../data/dataset.js';
import { familyNamed } from '../../operators/registry.js';
import type { Architecture } from '../../spaces/architecture.js';
import { operationTotal, parameterCount } from '../../spaces/layers.js';
import { uniformGenome } from '../../spaces/landmarks.js';
import { architectureOfModel } from '../../spaces/models/contract.js';
import { modelNamed } from '../../spaces/models/registry.js';
import { parseArchitecture } from '../../spaces/parse.js';
import { jobIdentity } from '../config/config.js';
import { requireTechniquesBeforeData, spaceBeforeData } from './early-checks.js';
import type { JobHost } from '../run/host.js';
import { machineOf, versionsOf, type Machine } from '../run/machine.js';
import { onnxModel, saveModel } from '../models/model-files.js';
import { loadProfiles, networkCost } from '../models/network-costs.js';
import { prepareData, type PreparedData } from '../training/prepared-data.js';
import { isPruned, keptOperations } from '../models/pruned-operations.js';
import { RunFolder } from '../run/run-folder.js';
import { isMini, spaceOf } from '../config/space-settings.js';
import { requireLayersFor, requireTechniques, techniqueInputs } from '../training/techniques.js';
import { networkAccuracy, requireBatches, trainNetwork } from '../training/train-network.js';
import { requireMemory } from '../training/training-memory.js';
import { requestFile, type TrainConfig, type TrainRequest } from './train-request.js';

/** What `train.json` holds. */
export interface TrainResult {
  readonly format: 'shiftaddnas-train';
  readonly version: 1;
  readonly command: string;
  readonly seed: number;
  readonly seconds: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Machine;
  readonly dataset: {
    readonly name: string;
    readonly spec: string;
    readonly trainImages: number;
    readonly searchValidationImages: number;
    readonly testImages: number;
    readonly fingerprint: string;
  };
  readonly schedule: TrainConfig['retrain'];
  readonly augmentation: TrainConfig['augmentation'];
  readonly techniques?: TrainConfig['techniques'];
  /** 0 to 1, the test part read once. */
  readonly testAccuracy: number;
  readonly searchValidationAccuracy: number;
  /** By profile name, whole network, one inference. */
  readonly energyMj: Readonly<Record<string, number>>;
  readonly latencyMs: Readonly<Record<string, number>>;
  readonly macs: number;
  /** What the techniques say of the network: `digitsPerWeight`. */
  readonly facts?: Readonly<Record<string, number>>;
  /** Of a pruned network: the operations whose terms are still in the sums. */
  readonly keptMacs?: number;
  readonly params: number;
  readonly architecture: Architecture;
}

const resultFile = 'train.json';
const phase = 'train';

/** The result of a training that ended in this folder; undefined where there is none. */
export function finishedTraining(path: string): TrainResult | undefined {
  const file = new RunFolder(path).file(resultFile);
  return existsSync(file) ? (readJson(file) as TrainResult) : undefined;
}

/** @throws UserError for bad data or a diverged training; Interrupted when asked to stop */
export async function runTrainJob(request: TrainRequest, host: JobHost): Promise<TrainResult> {
  const { config, path, resume } = request;
  const folder = new RunFolder(path);
  const finished = resume ? finishedTraining(path) : undefined;
  if (finished !== undefined) return finished;
  if (!resume) folder.requireFresh();
  requireBeforeData(request);
  const profiles = loadProfiles([config.profile, ...config.reportProfiles]);
  const data = await prepareData(config, {
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  const architecture = architectureOf(request, data);
  const costs = [...profiles.values()].map((profile) => networkCost(architecture, profile));
  requireBatches(data.learning, 'retrain', config.retrain);
  requireMemory('retrain', architecture, config.retrain, config.recomputeBlocks);
  const inputs = techniqueInputs(config.techniques);
  requireTechniques(config.techniques, data.learning, config.retrain, architecture);

  if (!resume) folder.create();
  folder.lock();
  try {
    const kept = { format: 'shiftaddnas-train-config', config, architecture };
    if (!resume) writeFileAtomic(folder.file(requestFile), `${JSON.stringify(kept, undefined, 1)}\n`);
    const identity = jobIdentity(config, data.dataset.fingerprint, architecture, ...inputs);
    const resumeFrom = folder.readCheckpoint(phase, identity);
    host.send({ type: 'phase', phase, state: resumeFrom === undefined ? 'started' : 'resumed' });
    const started = performance.now();
    let facts: TrainResult['facts'];
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
        onFacts: (said) => (facts = said),
        checkpoints: {
          everySeconds: config.checkpointSeconds,
          resumeFrom,
          save: (checkpoint) => folder.writeCheckpoint(phase, identity, checkpoint),
        },
      },
      host,
    );
    const seconds = (performance.now() - started) / 1000;
    const { dataset, splits, statistics } = data;
    const result: TrainResult = {
      format: 'shiftaddnas-train',
      version: 1,
      command: request.command,
      seed: config.seed,
      seconds,
      versions: versionsOf(),
      machine: machineOf(),
      dataset: {
        name: dataset.name,
        spec: dataset.spec,
        trainImages: splits.train.indices.length,
        searchValidationImages: splits.searchValidation.indices.length,
        testImages: splits.testCount,
        fingerprint: dataset.fingerprint,
      },
      schedule: config.retrain,
      augmentation: config.augmentation,
      ...(config.techniques && { techniques: config.techniques }),
      testAccuracy: networkAccuracy(network, data, splits.openTest(`final accuracy of ${path}`)),
      searchValidationAccuracy: networkAccuracy(network, data, splits.searchValidation),
      energyMj: Object.fromEntries(costs.map(({ profile, energyMj }) => [profile, energyMj])),
      latencyMs: Object.fromEntries(costs.map(({ profile, latencyMs }) => [profile, latencyMs])),
      macs: operationTotal(architecture),
      ...(facts && { facts }),
      ...(isPruned(network) && { keptMacs: keptOperations(network) }),
      params: parameterCount(architecture),
      architecture,
    };
    const info = { dataset: dataset.name, classes: dataset.classes, statistics, seed: config.seed };
    saveModel(path, network, info);
    const metadata = {
      dataset: dataset.name,
      seed: String(config.seed),
      testAccuracy: String(result.testAccuracy),
    };
    writeFileAtomic(folder.file('model.onnx'), onnxModel(network, info, metadata));
    writeFileAtomic(folder.file(resultFile), `${JSON.stringify(result, undefined, 1)}\n`);
    network.dispose();
    folder.removeCheckpoint(phase);
    host.send({ type: 'phase', phase, state: 'finished' });
    return result;
  } finally {
    folder.unlock();
  }
}

/** What is wrong whatever the data hold. @throws OptionError, FileError */
function requireBeforeData({ config, subject }: TrainRequest): void {
  requireTechniquesBeforeData(config);
  if ('architecture' in subject) requireLayersFor(config.techniques, subject.architecture);
  if ('family' in subject) uniformGenome(spaceBeforeData(spaceFor(config, subject.family)), subject.family);
}

/** The mini space takes any family, whatever it is configured to choose from. */
function spaceFor(config: TrainConfig, family: string): TrainConfig {
  const { space } = config;
  return isMini(space) && !space.families.includes(family)
    ? { ...config, space: { ...space, families: [family] } }
    : config;
}

/** What is trained, for these data. @throws OptionError when the two do not fit */
export function architectureOf(
  { config, subject }: Pick<TrainRequest, 'config' | 'subject'>,
  { dataset, shape }: PreparedData,
): Architecture {
  if ('model' in subject) {
    const { model, ...options } = subject;
    const built = architectureOfModel(modelNamed(model), {
      ...{ ...options, input: shape, classes: dataset.classes.length },
    });
    // As it will be read back from the folder, key order included: a resumed training must know itself again.
    return parseArchitecture(built, model);
  }
  if ('family' in subject) {
    const { name } = familyNamed(subject.family);
    const { space: settings } = spaceFor(config, name);
    const space = spaceOf(settings, { input: shape, classes: dataset.classes.length });
    // As it will be read back from the folder, key order included: a resumed training must know itself again.
    return parseArchitecture(space.architecture(uniformGenome(space, name)), name);
  }
  requireFitting(subject.architecture, dataset, subject.where);
  return subject.architecture;
}

/** @throws OptionError when a network for this architecture cannot take these images or has other classes */
export function requireFitting(
  architecture: Architecture,
  dataset: Pick<ImageDataset, 'spec' | 'height' | 'width' | 'channels' | 'classes'>,
  where: string,
): void {
  const { input, classes } = architecture;
  if (input.channels !== dataset.channels)
    throw new OptionError(
      `${where} takes images of ${input.channels} channels, those of ${dataset.spec} have ${dataset.channels}; use other data`,
    );
  if (input.height !== dataset.height || input.width !== dataset.width)
    throw new OptionError(
      `${where} takes images of ${input.height}x${input.width} pixels, those of ${dataset.spec} are ` +
        `${dataset.height}x${dataset.width}; scale them by --image-size ${input.height} or use other data`,
    );
  if (classes !== dataset.classes.length)
    throw new OptionError(
      `${where} tells ${classes} classes apart, ${dataset.spec} has ${dataset.classes.length}; use the data it was made for`,
    );
}
