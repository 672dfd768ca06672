/**
 * @file From a run folder to its `report.html`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { FileError, messageOf } from '../base/errors.js';
import { readJson, writeFileAtomic } from '../base/files.js';
import { listFamilies } from '../operators/registry.js';
import type { RunResult } from '../pipeline/run/result.js';
import type { Architecture } from '../spaces/architecture.js';
import { spaceOf, spaceSettings, type SpaceSettings } from '../pipeline/config/space-settings.js';
import { type ReportOptions, renderReport } from './page.js';
import type { ReportHeader } from './view.js';
import { type EventLog, parseEvents, parseResult } from './schema.js';

export const resultFile = 'result.json';
export const eventsFile = 'events.jsonl';
export const configFile = 'config.json';
export const reportFile = 'report.html';

/**
 * Writes `report.html` into the run folder from `result.json` and `events.jsonl` and returns its path. A missing
 * `result.json` means a run that is not finished: the report then shows what the events hold. `options` may say what
 * the caller knows of such a run (its search space, a header better than the one `config.json` gives).
 * @throws FileError when neither file is there, or `result.json` is damaged or of another version;
 * OutputError when the folder cannot be written.
 */
export function writeReport(runFolder: string, options: ReportOptions = {}): string {
  const result = readResult(join(runFolder, resultFile));
  const log = readEvents(join(runFolder, eventsFile));
  if (result === undefined && log === undefined)
    throw new FileError(
      `${runFolder}: neither ${resultFile} nor ${eventsFile} is here; name the folder of a run, for example runs/NAME`,
    );
  const architectureOf = options.architectureOf ?? (result && architectureResolver(result, runFolder));
  const page = renderReport(result, log?.events ?? [], listFamilies(), {
    header: options.header ?? headerOf(runFolder),
    ...(architectureOf !== undefined && { architectureOf }),
    remarks: [...(options.remarks ?? []), ...logRemarks(log)],
  });
  const path = join(runFolder, reportFile);
  writeFileAtomic(path, page);
  return path;
}

const configSchema = z.object({
  name: z.string().optional(),
  data: z.string(),
  seed: z.number(),
  profile: z.string(),
  budget: z.string(),
});

/** What the run's configuration says of it, for a run that has no result yet. */
function headerOf(runFolder: string): ReportHeader {
  const name = basename(resolve(runFolder));
  const path = join(runFolder, configFile);
  const config = existsSync(path) ? configSchema.safeParse(readJson(path)).data : undefined;
  if (config === undefined) return { name };
  const { data, seed, profile, budget } = config;
  return { name: config.name ?? name, dataset: data, seed, profile, budgetAsGiven: budget };
}

function readResult(path: string): RunResult | undefined {
  return existsSync(path) ? parseResult(readJson(path), path) : undefined;
}

function readEvents(path: string): EventLog | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return parseEvents(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new FileError(`${path}: not readable (${messageOf(error)})`, { cause: error });
  }
}

function logRemarks(log: EventLog | undefined): readonly string[] {
  if (log === undefined)
    return [`${eventsFile} is missing: trajectory, candidates and training curves are not shown`];
  const remarks: string[] = [];
  if (log.unreadable > 0)
    remarks.push(
      `${log.unreadable} unreadable ${log.unreadable === 1 ? 'line' : 'lines'} of ${eventsFile} left out`,
    );
  if (log.torn) remarks.push(`the last line of ${eventsFile} is incomplete and left out`);
  return remarks;
}

/**
 * The search space of the run, built anew from its configuration or, where that is not there, from the identity of a mini
 * space, which holds its options. Undefined unless the space built so has the identity that the run's architectures carry;
 * candidates are then shown by genome.
 */
function architectureResolver(
  result: RunResult,
  runFolder: string,
): ((genome: readonly number[]) => Architecture) | undefined {
  const example = result.networks
    .map(({ architecture }) => architecture)
    .find(({ genome }) => genome !== null);
  if (example === undefined) return undefined;
  const { input, classes } = example;
  try {
    const settings = spaceSettingsOf(runFolder) ?? miniSettingsOf(example.space);
    const space = spaceOf(settings, { input, classes });
    return space.identity === example.space ? (genome) => space.architecture(genome) : undefined;
  } catch {
    return undefined;
  }
}

function spaceSettingsOf(runFolder: string): SpaceSettings | undefined {
  const path = join(runFolder, configFile);
  if (!existsSync(path)) return undefined;
  return spaceSettings.parse((readJson(path) as { readonly space: unknown }).space);
}

/** Out of `mini {...}`. */
function miniSettingsOf(identity: string): SpaceSettings {
  const written = JSON.parse(identity.replace(/^mini /, '')) as Record<string, unknown>;
  const options = Object.entries(written).filter(([key]) => key !== 'input' && key !== 'classes');
  return spaceSettings.parse(Object.fromEntries(options));
}
