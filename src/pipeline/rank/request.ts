/**
 * @file What a rank measurement is asked to do, and how its folder remembers it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FileError } from '../../base/errors.js';
import { readJson } from '../../base/files.js';
import { checkConfig, runConfigSchema } from '../config/config.js';

/** That of a search; a budget is accepted and says nothing here. */
export const rankConfigSchema = runConfigSchema.extend({ budget: z.string().default('') });
export type RankConfig = Readonly<z.output<typeof rankConfigSchema>>;

const optionsSchema = z.strictObject({
  /** Networks that are trained alone. */
  networks: z.int().min(2),
  /** Trainings of each. */
  seeds: z.int().min(1),
  /** Folder of a finished run whose supernet is measured; absent: one is trained. */
  run: z.string().optional(),
  /** Folder of another measurement whose stand-alone networks are taken where they are the same. */
  truth: z.string().optional(),
  /** Seed that the supernet is trained with; that of the configuration when left out. */
  supernetSeed: z.int().min(0).optional(),
  /** Processes that train at the same time; 1 when left out. Changes no result. */
  workers: z.int().min(1).max(64).optional(),
});

export type RankOptions = Readonly<z.output<typeof optionsSchema>>;

export interface RankRequest {
  readonly config: RankConfig;
  readonly options: RankOptions;
  readonly path: string;
  readonly resume: boolean;
  readonly command: string;
}

/** Where a measurement keeps its request, inside its folder. */
export const rankRequestFile = 'rank-config.json';

export const rankResultFile = 'rank.json';

/** The request that a folder was begun with. @throws FileError when the folder is no measurement's */
export function readRankRequest(folder: string): Pick<RankRequest, 'config' | 'options'> {
  const path = join(folder, rankRequestFile);
  if (!existsSync(path))
    throw new FileError(
      `${folder}: not the folder of a rank measurement (no ${rankRequestFile}); begin one by --out`,
    );
  const parsed = z
    .object({ format: z.literal('shiftaddnas-rank-config'), config: z.unknown(), options: z.unknown() })
    .safeParse(readJson(path));
  if (!parsed.success)
    throw new FileError(`${path}: not the request of a rank measurement; start again in a new folder`);
  return {
    config: checkConfig(rankConfigSchema, parsed.data.config, path),
    options: checkConfig(optionsSchema, parsed.data.options, path),
  };
}
