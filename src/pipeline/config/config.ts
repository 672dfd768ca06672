/**
 * @file The configuration of a run: schema, defaults, presets. A preset or a YAML file gives values, flags win.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { FileError, OptionError, isSystemError, messageOf } from '../../base/errors.js';
import { PredictorKind } from '../../hardware/measured/predictor.js';
import { scheduleKeys, scheduleSchema } from './schedule-settings.js';
import { searchSettings } from './search-settings.js';
import { supernetTrainingSchema } from './supernet-settings.js';
import { isDefaultSharing, sharingSettings } from './sharing-settings.js';
import { isSection, mergedSpace, spaceSettings } from './space-settings.js';
import { techniquesSchema } from './technique-settings.js';

const count = z.int().min(1);

/** Where the images come from and how they are split and augmented. */
export const dataSettings = {
  data: z.string().min(1),
  seed: z.int().min(0).default(1),
  /** Images are resized to this side when they differ. */
  imageSize: z.int().min(16).max(512).optional(),
  split: z
    .strictObject({
      /** Images held out of the training part for choosing: a count, or a fraction below 1. */
      searchValidation: z.number().positive().default(0.1),
      /** Use at most this many training images (stratified), for quick looks. */
      limitTrain: count.optional(),
    })
    .prefault({}),
  augmentation: z
    .strictObject({ cropPadding: z.int().min(0).max(16).default(0), flip: z.boolean().default(false) })
    .prefault({}),
};

export const runConfigSchema = z.strictObject({
  ...dataSettings,
  /** Name of the run's folder below `out`. */
  name: z
    .string()
    .regex(/^[\w.-]+$/, 'may hold letters, digits, dots, dashes and underscores only')
    .optional(),
  out: z.string().min(1).default('runs'),
  budget: z.string(),
  /** Cost profile that the budget is measured under: a built-in name or a file. */
  profile: z.string().min(1).default('fair'),
  /** A table of `hw measure`, by which latencies of the budget are taken instead of by the profile. */
  latencyTable: z.string().min(1).optional(),
  /** How latencies that are not in that table are predicted from it; linearly when left out. */
  latencyPredictor: z.enum(PredictorKind).optional(),
  /** Accepts a latency table of another machine. */
  foreignLatencyTable: z.boolean().optional(),
  /** Further profiles reported for every network. */
  reportProfiles: z.array(z.string().min(1)).readonly().default(['paper-cv-168', 'paper-cv-192']),
  /** Options of the mini space, the name of another, or a section: `space-settings.ts`. */
  space: spaceSettings.prefault({}),
  supernet: scheduleSchema,
  /** Which subnets the steps of that schedule train; fair single paths when left out. */
  supernetTraining: supernetTrainingSchema.optional(),
  sharing: sharingSettings.prefault({}),
  search: searchSettings.prefault({}),
  retrain: scheduleSchema,
  /** Retrainings of every network, each with a seed of its own; 1 when left out. */
  retrainSeeds: z.int().min(1).max(100).optional(),
  /** Of stand-alone training, retraining included. */
  techniques: techniquesSchema.optional(),
  /** Trains every block without keeping what it computes and computes it again for the gradients. */
  recomputeBlocks: z.boolean().default(false),
  /** At most this much work is lost when the process is killed. */
  checkpointSeconds: z.number().positive().max(60).default(20),
});

/** What a person writes: everything with a default may be left out. */
export type RunConfigInput = z.input<typeof runConfigSchema>;
export type RunConfig = Readonly<z.output<typeof runConfigSchema>>;

export interface Preset {
  readonly description: string;
  readonly config: RunConfigInput;
}

export const presets: Readonly<Record<string, Preset>> = {
  'mnist-quick': {
    description: 'MNIST in a few minutes on two cores: half the energy of the all-convolution network',
    config: {
      data: 'mnist',
      budget: 'energy=50%',
      split: { searchValidation: 5000 },
      augmentation: { cropPadding: 1 },
      space: { stemStride: 2 },
      supernet: { epochs: 6, batchSize: 128 },
      search: {
        generations: 8,
        population: 24,
        parents: 8,
        mutations: 12,
        crossovers: 12,
        recalibrationImages: 512,
        evaluationImages: 5000,
      },
      retrain: { epochs: 3, batchSize: 128 },
    },
  },
};

/** A preset's values. @throws OptionError listing the presets */
export function presetNamed(name: string): RunConfigInput {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset === undefined)
    throw new OptionError(`unknown preset '${name}'; known: ${Object.keys(presets).join(', ')}`);
  return preset.config;
}

/** Reads a YAML configuration file into unchecked values. @throws FileError */
export function readConfigFile(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such configuration file`);
    throw new FileError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
  let value: unknown;
  try {
    value = parseYaml(text);
  } catch (error) {
    throw new FileError(`${path}: not YAML: ${messageOf(error).split('\n')[0]}`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FileError(`${path}: must hold keys and values, for example 'data: mnist'`);
  return value as Record<string, unknown>;
}

/** Later layers win, key by key inside sections, those of one space; undefined values do not count. */
export function mergeConfig(...layers: readonly object[]): Record<string, unknown> {
  const merged: Record<string, unknown> = {};
  for (const layer of layers)
    for (const [key, value] of Object.entries(layer) as [string, unknown][]) {
      if (value === undefined) continue;
      const held = merged[key];
      if (key === 'space') merged[key] = mergedSpace(held, value, mergeConfig);
      else if (isSection(held) && isSection(value)) merged[key] = mergeConfig(held, value);
      // A section without a word in it does not take the place of what is no section: that is a mistake to be named.
      else if (held === undefined || !isSection(value) || Object.keys(mergeConfig(value)).length > 0)
        merged[key] = value;
    }
  return merged;
}

/**
 * Fingerprint of a job: every setting that its results depend on (not where it writes, how often it saves, what it
 * keeps in memory or how many processes work), and `inputs`, what the settings refer to. The default way to share weights
 * counts as no word about it: runs of before there was a choice can go on.
 */
export function jobIdentity(
  config: Readonly<Record<string, unknown>> & {
    readonly sharing?: RunConfig['sharing'];
    readonly search?: object;
  },
  ...inputs: readonly unknown[]
): string {
  const { sharing, search } = config;
  const matters = {
    ...config,
    ...(search !== undefined && { search: { ...search, workers: undefined } }),
    name: undefined,
    out: undefined,
    checkpointSeconds: undefined,
    recomputeBlocks: undefined,
    sharing: sharing === undefined || isDefaultSharing(sharing) ? undefined : sharing,
  };
  return createHash('sha256')
    .update(JSON.stringify([matters, ...inputs]))
    .digest('hex');
}

/** Checks merged values against `schema`. @throws OptionError naming the key of the first mistake */
export function checkConfig<T extends z.ZodType>(schema: T, values: unknown, where: string): z.output<T> {
  // With the input, to tell a missing key from one of the wrong type.
  const parsed = schema.safeParse(values, { reportInput: true });
  if (parsed.success) return parsed.data;
  // A misspelt key comes first: it is often why another one is missing.
  const { issues } = parsed.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  throw new OptionError(`${where}: ${describeIssue(issue as z.core.$ZodIssue)}`);
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const key = [...path, issue.keys[0]].join('.');
    const optimisers = scheduleKeys.get(issue.keys[0] as string);
    if (optimisers !== undefined && path.length === 1)
      return `'${key}' goes with 'optimiser: ${optimisers.join("' or '")}' alone; leave it out or change the optimiser`;
    return `unknown key '${key}'; examples/cifar10.yaml lists every key`;
  }
  const key = path.join('.');
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return `'${key}' is missing; give it in the configuration, by a flag or by a preset`;
  return `'${key}': ${issue.message}`;
}
