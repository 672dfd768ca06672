/**
 * @file The judge of a search: accuracies of subnets with inherited weights, here or in worker processes.
 */
import { imageLength } from '../../data/dataset.js';
import type { ImageSubset } from '../../data/split.js';
import type { Genome } from '../../spaces/contract.js';
import { spaceOf } from '../config/space-settings.js';
import type { JobHost } from '../run/host.js';
import type { LearningData } from '../training/prepared-data.js';
import { RunFolder } from '../run/run-folder.js';
import { storedSupernet } from './stored-supernet.js';
import { judgedImages, subnetJudge } from './supernet-phases.js';
import { openWorkers } from '../workers/pool.js';
import type { WorkKinds } from '../workers/protocol.js';

/** What judges by the supernet that a run has trained; plain data. */
export type JudgeSetup = WorkKinds['judge']['setup'];

export interface Judge {
  /** On search-validation, 0 to 1; a function of the genome alone. */
  accuracyOf(genome: Genome): number | Promise<number>;
  /** How many networks it works at once. */
  readonly concurrency: number;
  close(): void;
}

/** A judge for `config.search.workers` networks at once. @throws FileError for weights that are damaged or foreign */
export function openJudge(setup: JudgeSetup, host: JobHost): Judge {
  const { workers = 1 } = setup.config.search;
  if (workers === 1) return { ...openInProcessJudge(setup), concurrency: 1 };
  const { config, data } = setup;
  const pool = openWorkers(
    'judge',
    { ...setup, data: onlyJudged(config, data) },
    { workers, title: (genome) => `judging network ${genome.join(',')}`, host },
  );
  return { accuracyOf: (genome) => pool.run(genome), concurrency: workers, close: () => pool.close() };
}

/** On this thread. */
export function openInProcessJudge({ config, data, folder: path, identity }: JudgeSetup): {
  readonly accuracyOf: (genome: Genome) => number;
  readonly close: () => void;
} {
  const folder = new RunFolder(path);
  const space = spaceOf(config.space, { input: data.shape, classes: data.classes.length });
  const supernet = storedSupernet({ folder, identity }, config, space);
  return { accuracyOf: subnetJudge(config, data, supernet), close: () => supernet.dispose() };
}

/** The data with those images alone that judging needs, so that they are cheap to send. */
function onlyJudged(config: JudgeSetup['config'], data: LearningData): LearningData {
  const { recalibration, validation } = judgedImages(config, data);
  return {
    ...data,
    train: packed(recalibration, imageLength(data.shape)),
    searchValidation: packed(validation, imageLength(data.shape)),
  };
}

/** The images of a subset one after another, with nothing between them. */
function packed(subset: ImageSubset, length: number): ImageSubset {
  const { images, labels, indices } = subset;
  const own = new Uint8Array(indices.length * length);
  indices.forEach((from, at) => own.set(images.subarray(from * length, (from + 1) * length), at * length));
  const ownLabels =
    labels instanceof Uint16Array ? new Uint16Array(indices.length) : new Uint8Array(indices.length);
  indices.forEach((from, at) => (ownLabels[at] = labels[from]!));
  return {
    ...subset,
    images: own,
    labels: ownLabels,
    indices: Uint32Array.from(indices.keys()),
  };
}
