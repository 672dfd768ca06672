/**
 * @file The trained supernet between the phases of a job: its weights lie in the job's folder, and whoever judges by them takes
 * them from there.
 */
import type { SearchSpace } from '../../spaces/contract.js';
import type { Supernet } from '../../supernet/supernet.js';
import type { RunConfig } from '../config/config.js';
import type { RunFolder } from '../run/run-folder.js';
import { restoreSupernet, supernetWeights } from './supernet-phases.js';

/** The phase that leaves the weights, and the checkpoint that holds them. */
export const supernetPhase = 'supernet';
/** The checkpoint of that phase while it is in progress. */
export const supernetTraining = 'training:supernet';

/** Where a job keeps its supernet. */
export interface SupernetPlace {
  readonly folder: RunFolder;
  readonly identity: string;
}

/** Leaves the weights for the phases to come, in the place of the training's checkpoint. The supernet is given up. */
export function storeSupernet({ folder, identity }: SupernetPlace, supernet: Supernet): void {
  folder.writeCheckpoint(supernetPhase, identity, supernetWeights(supernet));
  folder.removeCheckpoint(supernetTraining);
  supernet.dispose();
}

/** @throws FileError for weights that are damaged or foreign */
export function storedSupernet(
  { folder, identity }: SupernetPlace,
  { sharing }: Pick<RunConfig, 'sharing'>,
  space: SearchSpace,
): Supernet {
  const weights = folder.readCheckpoint(supernetPhase, identity);
  if (weights === undefined) throw new Error('the supernet phase left no weights');
  return restoreSupernet(space, sharing, weights, folder.path);
}

/**
 * The finished phases of a job that goes on: weights that were damaged and deleted are trained again while a phase up to
 * `lastUser` is to come; they come out the same.
 */
export function phasesStanding(
  finished: readonly string[],
  folder: RunFolder,
  lastUser: string,
): readonly string[] {
  return finished.includes(lastUser) || folder.hasCheckpoint(supernetPhase)
    ? finished
    : finished.filter((name) => name !== supernetPhase);
}
