/**
 * @file The contract of a published model: an architecture for given images and operator families, and the published counts
 * that it is tested against.
 */
import { OptionError, ShapeError } from '../../base/errors.js';
import { ActivationKind } from '../../nn/activation.js';
import { familyNamed } from '../../operators/registry.js';
import {
  type Architecture,
  type BlockDescription,
  BlockKind,
  type ClassifierDescription,
} from '../architecture.js';
import { fixedFamily } from '../blocks/ends.js';
import type { ResidualActivation, ResidualBlock } from '../blocks/residual.js';
import { parameterCount } from '../layers.js';

export interface ModelOptions {
  readonly input: Architecture['input'];
  readonly classes: number;
  /** Registered operator families: one for all stages, or one for each. */
  readonly families: readonly string[];
  /** First layer and classifier in the family of their stage too, instead of multiplicative; absent: as published. */
  readonly convertAll?: boolean;
  /** Of residual blocks, ReLU when absent; `relu` in the place of k winners where a model has these. */
  readonly activation?: ResidualActivation;
  /** A shortcut around each layer of residual blocks instead of one around both. */
  readonly selfShortcut?: boolean;
}

/** Counts of the network of multiplications, as published. */
export interface PublishedCounts {
  readonly input: Architecture['input'];
  readonly classes: number;
  readonly parameters?: { readonly count: number; readonly within: number };
  readonly macs?: { readonly count: number; readonly within: number };
  /** Where the counts stand, and what explains a difference. */
  readonly source: string;
}

export interface Model {
  /** For `--model`. */
  readonly name: string;
  /** For people, with the paper. */
  readonly title: string;
  readonly stages: number;
  /** Whether the paper converts first layer and classifier too. */
  readonly convertAll: boolean;
  readonly published: PublishedCounts;
  /** @throws OptionError for images that the model cannot take */
  build(options: ResolvedOptions): Architecture;
}

/** Options of a model with the family of every stage. */
export interface ResolvedOptions extends Pick<ModelOptions, 'input' | 'classes'> {
  readonly families: readonly string[];
  /** Family of the first layer and of the classifier. */
  readonly first: string;
  readonly last: string;
}

/**
 * The architecture of a model.
 * @throws OptionError for an unknown family, another number of families than one or one for each stage, images or a
 * geometry that the model or a family cannot take, or options of residual blocks where it has none
 */
export function architectureOfModel(model: Model, options: ModelOptions): Architecture {
  const { families, convertAll = model.convertAll, input, classes } = options;
  const perStage = familiesOf(model, families);
  const architecture = model.build({
    ...{ input, classes, families: perStage },
    first: convertAll ? perStage[0]! : fixedFamily,
    last: convertAll ? perStage.at(-1)! : fixedFamily,
  });
  requirePossible(model, architecture);
  return withResidualOptions(model, architecture, options);
}

/** Some families cannot have every geometry: an add layer that keeps the map has no even kernel. */
function requirePossible({ name }: Model, architecture: Architecture): void {
  try {
    parameterCount(architecture);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new OptionError(`${name}: ${error.message}; or another operator family`, { cause: error });
  }
}

function withResidualOptions(
  { name }: Model,
  architecture: Architecture,
  { activation, selfShortcut }: ModelOptions,
): Architecture {
  if (activation === undefined && selfShortcut === undefined) return architecture;
  if (
    activation === ActivationKind.Relu &&
    selfShortcut === undefined &&
    architecture.blocks.some(hasWinners)
  )
    return { ...architecture, blocks: architecture.blocks.map(withRelu) };
  const isResidual = ({ kind }: BlockDescription): boolean => kind === BlockKind.Residual;
  if (!architecture.blocks.some(isResidual))
    throw new OptionError(
      `${name} has no residual blocks, which an activation and shortcuts of one's own are for; choose a resnet`,
    );
  const more: Partial<ResidualBlock> = {
    ...(activation !== undefined && { activation }),
    ...(selfShortcut !== undefined && { selfShortcut }),
  };
  const blocks = architecture.blocks.map((block) => (isResidual(block) ? { ...block, ...more } : block));
  return { ...architecture, blocks };
}

function hasWinners(block: BlockDescription): boolean {
  return 'activation' in block && (block.kind === BlockKind.Convolution || block.kind === BlockKind.Dense);
}

/** The block without its k winners. */
function withRelu(block: BlockDescription): BlockDescription {
  if (!hasWinners(block)) return block;
  const rest = Object.entries(block).filter(([key]) => key !== 'activation');
  return Object.fromEntries(rest) as unknown as BlockDescription;
}

/**
 * The family of every stage.
 * @throws OptionError for an unknown family, or another number of families than one or one for each stage
 */
export function familiesOf({ name, stages }: Model, families: readonly string[]): readonly string[] {
  const named = families.map((family) => familyNamed(family).name);
  if (named.length !== 1 && named.length !== stages)
    throw new OptionError(
      `${name} has ${stages} stages, and ${named.length} operator families were given (${named.join(', ')}); ` +
        `give one for all or ${stages}, one for each`,
    );
  return Array.from({ length: stages }, (_, stage) => named[stage] ?? named[0]!);
}

/** What an architecture of a model says beside its blocks. */
export function header(
  name: string,
  { input, classes }: ResolvedOptions,
): Pick<Architecture, 'format' | 'version' | 'space' | 'genome' | 'input' | 'classes'> {
  return {
    ...{ format: 'shiftaddnas-architecture', version: 1, space: name, genome: null },
    input: { height: input.height, width: input.width, channels: input.channels },
    classes,
  };
}

/** Classifier of a family, with a batch norm on the logits where the family needs one. */
export function classifierOf(
  family: string,
  rest: Omit<ClassifierDescription, 'family' | 'norm'> = {},
): ClassifierDescription {
  const norm = familyNamed(family).needsNorm === true;
  return { ...(family !== fixedFamily && { family }), ...rest, ...(norm && { norm }) };
}

/** Sizes of a block whose layers have nothing between them. */
export function placed(
  stage: number,
  block: number,
  family: string,
  inMap: { readonly height: number; readonly width: number; readonly channels: number },
  outChannels: number,
  stride = 1,
): Omit<BlockDescription, 'kind'> {
  const { height: inHeight, width: inWidth, channels: inChannels } = inMap;
  return {
    ...{ name: `stage${stage}.block${block}`, stage, family, inHeight, inWidth, inChannels },
    ...{ midChannels: outChannels, outChannels, stride },
  };
}

/** @throws OptionError unless both sides of the images are `least` to `most` pixels */
export function requireSides(
  name: string,
  { height, width }: Architecture['input'],
  least: number,
  most: number,
): void {
  if (![height, width].every((side) => Number.isInteger(side) && side >= least && side <= most))
    throw new OptionError(
      `${name} takes images of ${least} to ${most} pixels, not ${height}x${width}; scale them by --image-size`,
    );
}
