/**
 * @file Options of the spaces that are built as that of ShiftAddNAS, and the two that have a name: its own for ImageNet, and
 * the same idea for images of 32 pixels.
 */
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import { attention } from '../../operators/attention/family.js';
import { defaultFamilies, familyNamed } from '../../operators/registry.js';
import { expansion } from './candidates.js';
import { SplitRule, stageSplits } from './splits.js';

/** Which network a genome stands for. */
export enum NetworkForm {
  /** The path through the supernet. */
  Searched = 'searched',
  /** Twice as wide, with squeeze and excitation, SiLU, pooled shortcuts and two classifiers. */
  Retrained = 'retrained',
}

const count = z.int().min(1);
const families = z.array(z.string().min(1)).min(1).readonly();

/** Everything but `input` and `classes` has a default in {@link hytraImagenet} and {@link hytraCifar}. */
export const hytraFields = z.strictObject({
  input: z.strictObject({ height: count, width: count, channels: count }),
  classes: z.int().min(2),
  stem: z.strictObject({
    channels: count,
    kernel: z.int().min(1).max(15),
    stride: z.int().min(1).max(4),
    pool: z.boolean(),
  }),
  layers: z.int().min(1).max(64),
  longestStage: count,
  splits: z.enum(SplitRule),
  /** Channels behind every stage. */
  stageChannels: z
    .array(z.int().multipleOf(expansion, `must be a multiple of ${expansion}`))
    .min(2)
    .readonly(),
  /** What the layers of each stage choose from. */
  stageFamilies: z.array(families).readonly(),
  network: z.enum(NetworkForm),
  /** Stride of the last stage, 1 for the larger of the published networks (T1); of retrained networks only. */
  lastStride: z.union([z.literal(1), z.literal(2)]),
  /** Keeps the split of a parent in a mutant, as the published search does. */
  keepSplits: z.boolean(),
});

const hytraSchema = hytraFields
  .refine((options) => options.stageFamilies.length === options.stageChannels.length, {
    path: ['stageFamilies'],
    message: 'must have one entry per entry of stageChannels',
  })
  .refine((options) => options.stageFamilies.every((names) => new Set(names).size === names.length), {
    path: ['stageFamilies'],
    message: 'must not name a family twice in one stage',
  })
  .refine((options) => options.lastStride === 2 || options.network === NetworkForm.Retrained, {
    path: ['lastStride'],
    message: `1 goes with network ${NetworkForm.Retrained}`,
  })
  .refine(
    ({ layers, longestStage, stageChannels, splits }) =>
      stageSplits({ layers, longest: longestStage, stages: stageChannels.length, rule: splits }).length > 0,
    { path: ['layers'], message: 'cannot be dealt to the stages; change layers or longestStage' },
  );

export type HytraSettings = Readonly<z.output<typeof hytraSchema>>;
/** What a person says of a space with a name. */
export type HytraOptions = Pick<HytraSettings, 'input' | 'classes'> & Partial<HytraSettings>;

const withAttention = [attention.name, ...defaultFamilies];
const lastFamilies = [attention.name, defaultFamilies[0]!];

/** The image space of ShiftAddNAS (ICML 2022), as searched in its released code. */
export const hytraImagenet = {
  input: { height: 224, width: 224, channels: 3 },
  classes: 1000,
  stem: { channels: 64, kernel: 7, stride: 2, pool: true },
  layers: 16,
  longestStage: 9,
  splits: SplitRule.Published,
  stageChannels: [128, 256, 512, 1024],
  stageFamilies: [defaultFamilies, defaultFamilies, withAttention, lastFamilies],
  network: NetworkForm.Searched,
  lastStride: 2,
  keepSplits: false,
} as const satisfies HytraSettings;

/** The same idea for images of 32 pixels: a 3x3 stem that keeps the map, a quarter of the channels, half of the layers. */
export const hytraCifar = {
  ...hytraImagenet,
  input: { height: 32, width: 32, channels: 3 },
  classes: 10,
  stem: { channels: 16, kernel: 3, stride: 1, pool: false },
  layers: 8,
  longestStage: 5,
  splits: SplitRule.All,
  stageChannels: [32, 64, 128, 256],
} as const satisfies HytraSettings;

/** @throws OptionError naming the first option that is wrong */
export function checkHytra(name: string, options: unknown): HytraSettings {
  const parsed = hytraSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    throw new OptionError(
      unknown === undefined
        ? `${name} space: ${issue.path.join('.') || 'options'}: ${issue.message}`
        : `${name} space: unknown option '${[...issue.path, unknown].join('.')}'; examples/hytra.yaml lists every one`,
    );
  }
  const settings = parsed.data;
  for (const family of settings.stageFamilies.flat()) familyNamed(family);
  return settings;
}
