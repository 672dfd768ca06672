/**
 * @file What a training is asked to do, apart from the job that does it: the command line needs the one without the
 * weight of the other.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FileError } from '../../base/errors.js';
import { readJson } from '../../base/files.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { ModelOptions } from '../../spaces/models/contract.js';
import { parseArchitecture } from '../../spaces/parse.js';
import { checkConfig, runConfigSchema } from '../config/config.js';

/** The keys of a search's configuration; `retrain` is the schedule, and the search's own keys may be left out. */
export const trainConfigSchema = runConfigSchema.partial({ budget: true, supernet: true });
export type TrainConfig = Readonly<z.output<typeof trainConfigSchema>>;

/** A published model by name; images and classes are those of the data. */
export interface ModelSubject extends Omit<ModelOptions, 'input' | 'classes'> {
  readonly model: string;
}

/** What is trained: a given architecture, a published model, or the macro-architecture of the space in one family. */
export type TrainSubject =
  | { readonly architecture: Architecture; readonly where: string }
  | ModelSubject
  | { readonly family: string };

export type TrainRequest = {
  readonly config: TrainConfig;
  readonly subject: TrainSubject;
  readonly path: string;
  readonly resume: boolean;
  readonly command: string;
};

/** Where a training keeps its request, inside its folder. */
export const requestFile = 'train-config.json';

/** The request that a folder was begun with. @throws FileError when the folder is no training's */
export function readTrainRequest(folder: string): Pick<TrainRequest, 'config' | 'subject'> {
  const path = join(folder, requestFile);
  if (!existsSync(path))
    throw new FileError(`${folder}: not the folder of a training (no ${requestFile}); begin one by --out`);
  const parsed = z
    .object({ format: z.literal('shiftaddnas-train-config'), config: z.unknown(), architecture: z.unknown() })
    .safeParse(readJson(path));
  if (!parsed.success)
    throw new FileError(`${path}: not the configuration of a training; start again in a new folder`);
  return {
    config: checkConfig(trainConfigSchema, parsed.data.config, path),
    subject: { architecture: parseArchitecture(parsed.data.architecture, path), where: path },
  };
}
