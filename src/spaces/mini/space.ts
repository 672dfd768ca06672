/**
 * @file The `mini` search space: small residual networks for small images (16 to 512 pixels), one operator family per block.
 *
 * A scaled-down form of the published macro structure (ShiftAddNAS, arXiv 2205.08119) that a CPU can train: a 3x3
 * convolution as the stem, stages that halve the map and widen, and in every block a choice of operator family and
 * of the width between its two 3x3 layers; a block that changes neither map nor width may also be left out. The
 * choices of different blocks are independent and the channels between blocks are fixed, so the space is a plain
 * product and the cost of a network is a sum over its positions.
 */
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import { defaultFamilies } from '../../operators/registry.js';
import { type Architecture, type BlockDescription, BlockKind } from '../architecture.js';
import type { Genome, SearchSpace } from '../contract.js';
import { checkGenome, productMoves } from '../product.js';

const count = z.int().min(1);
const side = z.int().min(16, 'must be 16 to 512 pixels').max(512, 'must be 16 to 512 pixels');

/** Options of the space as they stand in a configuration file; everything but `input` and `classes` has a default. */
export const miniSpaceSchema = z
  .strictObject({
    input: z.strictObject({ height: side, width: side, channels: count }),
    classes: z.int().min(2),
    /** Operator families by registry name; whether they are registered is for the caller to check. */
    families: z.array(z.string().min(1)).min(1).readonly().default(defaultFamilies),
    stemChannels: count.default(16),
    stemStride: z.union([z.literal(1), z.literal(2)]).default(1),
    /** Output channels of every block, by stage. */
    stageChannels: z.array(z.int().min(4)).min(1).readonly().default([16, 32, 64]),
    blocksPerStage: z.array(count).min(1).readonly().default([2, 2, 2]),
    /** Channels between the two layers of a block, as a ratio of its stage's channels. */
    widthRatios: z.array(z.number().positive().max(8)).min(1).readonly().default([0.5, 1]),
  })
  .refine((options) => options.stageChannels.length === options.blocksPerStage.length, {
    path: ['blocksPerStage'],
    message: 'must have one entry per entry of stageChannels',
  })
  .refine((options) => new Set(options.families).size === options.families.length, {
    path: ['families'],
    message: 'must not name a family twice',
  });

export { uniformGenome } from '../landmarks.js';

export type MiniSpaceOptions = z.input<typeof miniSpaceSchema>;
/** The options with every default filled in. */
export type MiniSpaceSettings = Readonly<z.output<typeof miniSpaceSchema>>;

/** What one option of a position stands for. */
export type MiniOption =
  | { readonly kind: BlockKind.Skip }
  | {
      readonly kind: BlockKind.Residual;
      readonly family: string;
      readonly ratio: number;
      readonly midChannels: number;
    };

/** One searchable block: its fixed surroundings and its options, in the order of the gene. */
export interface MiniPosition {
  /** `stageS.blockB`, both from 0. */
  readonly name: string;
  readonly stage: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly stride: number;
  /** Widest `midChannels` among the options: the size of the tensors a supernet slices from. */
  readonly maxMidChannels: number;
  readonly options: readonly MiniOption[];
}

export interface MiniSpace extends SearchSpace {
  readonly options: MiniSpaceSettings;
  readonly positions: readonly MiniPosition[];
}

/**
 * Builds the space. The stem and the first stage keep the map (unless `stemStride` is 2); the first block of every
 * later stage has stride 2; maps are ceil(in / stride). Option list of a block: a skip first where stride is 1 and
 * channels stay, then families x ratios, families outermost; ratios that round to the same width count once.
 * @throws OptionError naming the first option that is wrong.
 */
export function createMiniSpace(options: MiniSpaceOptions): MiniSpace {
  const parsed = miniSpaceSchema.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new OptionError(`mini space: ${issue.path.join('.') || 'options'}: ${issue.message}`);
  }
  const settings: MiniSpaceSettings = parsed.data;
  const positions = positionsOf(settings);
  const moves = productMoves(positions.map((position) => position.options.length));
  const identity = `mini ${JSON.stringify(inFixedOrder(settings))}`;
  return {
    ...moves,
    name: 'mini',
    identity,
    options: settings,
    families: settings.families,
    positions,
    choice(position, option) {
      const chosen = positions[position]!.options[option]!;
      return chosen.kind === BlockKind.Skip
        ? { family: undefined, size: 0 }
        : { family: chosen.family, size: chosen.midChannels };
    },
    architecture(genome: Genome): Architecture {
      checkGenome(genome, moves.optionCounts, 'mini');
      return {
        format: 'shiftaddnas-architecture',
        version: 1,
        space: identity,
        genome: [...genome],
        input: { ...settings.input },
        classes: settings.classes,
        stem: { channels: settings.stemChannels, stride: settings.stemStride },
        blocks: positions.map((position, at) => blockOf(position, position.options[genome[at]!]!)),
      };
    },
    optionLabel(position: number, option: number): string {
      const chosen = positions[position]?.options[option];
      if (chosen === undefined)
        throw new OptionError(`the mini space has no option ${option} at position ${position}`);
      return chosen.kind === BlockKind.Skip ? 'skip' : `${chosen.family} x${chosen.ratio}`;
    },
  };
}

function positionsOf(settings: MiniSpaceSettings): readonly MiniPosition[] {
  const positions: MiniPosition[] = [];
  let inHeight = Math.ceil(settings.input.height / settings.stemStride);
  let inWidth = Math.ceil(settings.input.width / settings.stemStride);
  let inChannels = settings.stemChannels;
  settings.stageChannels.forEach((outChannels, stage) => {
    for (let block = 0; block < settings.blocksPerStage[stage]!; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const options = optionsOf(settings, outChannels, stride === 1 && inChannels === outChannels);
      positions.push({
        name: `stage${stage}.block${block}`,
        stage,
        inHeight,
        inWidth,
        inChannels,
        outChannels,
        stride,
        maxMidChannels: Math.max(
          ...options.map((option) => (option.kind === BlockKind.Skip ? 0 : option.midChannels)),
        ),
        options,
      });
      inHeight = Math.ceil(inHeight / stride);
      inWidth = Math.ceil(inWidth / stride);
      inChannels = outChannels;
    }
  });
  return positions;
}

function optionsOf(settings: MiniSpaceSettings, outChannels: number, mayBeSkipped: boolean): MiniOption[] {
  const options: MiniOption[] = mayBeSkipped ? [{ kind: BlockKind.Skip }] : [];
  for (const family of settings.families) {
    const widths = new Set<number>();
    for (const ratio of settings.widthRatios) {
      const midChannels = Math.max(4, Math.round((ratio * outChannels) / 4) * 4);
      if (widths.has(midChannels)) continue;
      widths.add(midChannels);
      options.push({ kind: BlockKind.Residual, family, ratio, midChannels });
    }
  }
  return options;
}

function blockOf(position: MiniPosition, option: MiniOption): BlockDescription {
  const { name, stage, inHeight, inWidth, inChannels, outChannels, stride } = position;
  const surroundings = { name, stage, inHeight, inWidth, inChannels, outChannels, stride };
  return option.kind === BlockKind.Skip
    ? { ...surroundings, kind: BlockKind.Skip, midChannels: outChannels }
    : {
        ...surroundings,
        kind: BlockKind.Residual,
        family: option.family,
        midChannels: option.midChannels,
      };
}

/** The identity must not depend on the order in which a configuration file lists its keys. */
function inFixedOrder(settings: MiniSpaceSettings): unknown {
  const { input, classes, families, stemChannels, stemStride, stageChannels, blocksPerStage, widthRatios } =
    settings;
  return {
    input: [input.height, input.width, input.channels],
    classes,
    families,
    stemChannels,
    stemStride,
    stageChannels,
    blocksPerStage,
    widthRatios,
  };
}
