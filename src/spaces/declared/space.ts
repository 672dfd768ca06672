/**
 * @file A space as a file declares it (`schema.ts`). Genes, stage by stage: its depth, where there are several; then of each
 * of as many blocks as it can have: a skip where that is allowed, then families, widths of their operands, widths and
 * kernels, the last turning fastest. Genes of blocks behind the depth of their stage mean nothing, and are 0 in canonical genomes.
 */
import { OptionError } from '../../base/errors.js';
import { Primitive } from '../../hardware/layer.js';
import { ActivationKind } from '../../nn/activation.js';
import { headsOf } from '../../operators/attention/core.js';
import { familyNamed } from '../../operators/registry.js';
import type { Random } from '../../base/random.js';
import { type Architecture, type BlockDescription, BlockKind } from '../architecture.js';
import { attentionFamilies } from '../blocks/attention-bottleneck.js';
import { ShortcutKind } from '../blocks/branches.js';
import { expandStem } from '../blocks/ends.js';
import { ruleOf } from '../blocks/registry.js';
import type { Genome, SearchSpace } from '../contract.js';
import { inputName, NodeList, type FeatureMap } from '../nodes.js';
import { checkGenome, productMoves } from '../product.js';
import { checkDeclared, familiesOf, StageBlock, type DeclaredInput, type StageSettings } from './schema.js';

/** One choice for a block; undefined stands for leaving it out. */
interface Choice {
  readonly family: string;
  readonly ratio: number;
  readonly midChannels: number;
  readonly kernel: number | undefined;
}

type Option = Choice | undefined;

interface Position {
  readonly stage: number;
  /** Number of the block in its stage; undefined for the gene of the depth. */
  readonly block: number | undefined;
  readonly options: readonly Option[];
  readonly depths: readonly number[];
}

interface Place extends FeatureMap {
  readonly outChannels: number;
  readonly stride: number;
}

/**
 * @param where begins the message of an error
 * @throws OptionError naming the key that is wrong
 */
export function createDeclaredSpace(values: DeclaredInput, where = values.name): SearchSpace {
  const settings = checkDeclared(values, where);
  const { name, input, classes, stages } = settings;
  const { channels, kernel, stride, pool } = settings.stem;
  const stem = { channels, stride, ...(kernel !== 3 && { kernel }), ...(pool && { pool }) };
  const nodes = new NodeList(input);
  const places = placesOf(stages, nodes.mapOf(expandStem(stem, nodes, inputName)));
  const positions = stages.flatMap((stage, at) => positionsOf(stage, at, places[at]!));
  const optionCounts = positions.map(({ block, options, depths }) =>
    block === undefined ? depths.length : options.length,
  );
  const moves = productMoves(optionCounts);
  const depthPosition = stages.map((_, stage) =>
    positions.findIndex((position) => position.stage === stage && position.block === undefined),
  );
  const depthOf = (genome: Genome, stage: number): number =>
    stages[stage]!.depth[depthPosition[stage]! < 0 ? 0 : genome[depthPosition[stage]!]!]!;
  const canonical = (genome: Genome): Genome => {
    checkGenome(genome, optionCounts, name);
    return genome.map((gene, at) => {
      const { stage, block } = positions[at]!;
      return block !== undefined && block >= depthOf(genome, stage) ? 0 : gene;
    });
  };
  /** Networks of a stage of each depth. */
  const sizes = stages.map(({ depth }, stage) =>
    depth.map((blocks) =>
      positions
        .filter((position) => position.stage === stage && (position.block ?? blocks) < blocks)
        .reduce((size, { options }) => size * BigInt(options.length), 1n),
    ),
  );
  const identity = `${name} ${JSON.stringify([input.height, input.width, input.channels, classes, stem, stages.map(inFixedOrder)])}`;
  const blockAt = (at: number, gene: number): BlockDescription => {
    const { stage, block, options } = positions[at]!;
    return describedBlock(stages[stage]!, stage, block!, places[stage]![block!]!, options[gene]);
  };
  const space: SearchSpace = {
    ...{ name, identity, optionCounts, canonical },
    families: [...new Set(stages.flatMap(familiesOf))],
    choice(position, option) {
      const { block, options } = positions[position]!;
      if (block === undefined) return undefined;
      const chosen = options[option];
      return chosen === undefined
        ? { family: undefined, size: 0 }
        : { family: chosen.family, size: chosen.midChannels * (chosen.kernel ?? 1) ** 2 };
    },
    structure: depthPosition.filter((at) => at >= 0),
    size: sizes.reduce((product, ofStage) => product * ofStage.reduce((sum, size) => sum + size, 0n), 1n),
    sample(random) {
      const genome = [...moves.sample(random)];
      stages.forEach((_, stage) => {
        if (depthPosition[stage]! >= 0) genome[depthPosition[stage]!] = drawDepth(sizes[stage]!, random);
      });
      return canonical(genome);
    },
    mutate(genome, rate, random) {
      // A block that the mutant has and its parent has not is drawn like a new one.
      const fresh = moves.sample(random);
      const mutant = moves.mutate(genome, rate, random);
      const grown = mutant.map((gene, at) => {
        const { stage, block } = positions[at]!;
        return block !== undefined && block >= depthOf(genome, stage) ? fresh[at]! : gene;
      });
      return canonical(grown);
    },
    crossover(first, second, random) {
      const child = moves.crossover(first, second, random);
      const parents = [first, second];
      // A block that one parent alone has is that parent's.
      return canonical(
        child.map((gene, at) => {
          const { stage, block } = positions[at]!;
          if (block === undefined) return gene;
          const owners = parents.filter((parent) => block < depthOf(parent, stage));
          return owners.length === 1 ? owners[0]![at]! : gene;
        }),
      );
    },
    architecture(genome): Architecture {
      const written = canonical(genome);
      const blocks = positions.flatMap(({ stage, block }, at) =>
        block === undefined || block >= depthOf(written, stage) ? [] : blockAt(at, written[at]!),
      );
      return {
        ...{ format: 'shiftaddnas-architecture', version: 1, space: identity, genome: [...written] },
        ...{ input: { ...input }, classes, stem, blocks },
      };
    },
    optionLabel(position, option) {
      const found = positions[position];
      if (found === undefined || !(option in found.options || option in found.depths))
        throw new OptionError(`the ${name} space has no option ${option} at position ${position}`);
      if (found.block === undefined) return `${found.depths[option]} blocks`;
      const choice = found.options[option];
      if (choice === undefined) return 'skip';
      return `${choice.family} x${choice.ratio}${choice.kernel === undefined ? '' : ` k${choice.kernel}`}`;
    },
  };
  checkBlocks(where, positions, blockAt);
  return space;
}

/** What the rules of the blocks have against a choice is known before the first network is made. */
function checkBlocks(
  where: string,
  positions: readonly Position[],
  blockAt: (at: number, gene: number) => BlockDescription,
): void {
  positions.forEach(({ stage, block, options }, at) => {
    if (block === undefined) return;
    options.forEach((_, gene) => {
      const described = blockAt(at, gene);
      const problem = ruleOf(described).problem(described);
      if (problem !== null) throw new OptionError(`${where}: 'stages.${stage}': ${problem}`);
    });
  });
}

function placesOf(stages: readonly StageSettings[], before: FeatureMap): readonly (readonly Place[])[] {
  let map = before;
  return stages.map(({ channels: outChannels, depth, stride: first }, stage) =>
    Array.from({ length: Math.max(...depth) }, (_, block) => {
      const stride = block > 0 ? 1 : (first ?? (stage === 0 ? 1 : 2));
      const place = { ...map, outChannels, stride };
      map = {
        height: Math.ceil(map.height / stride),
        width: Math.ceil(map.width / stride),
        channels: outChannels,
      };
      return place;
    }),
  );
}

function positionsOf(stage: StageSettings, at: number, places: readonly Place[]): readonly Position[] {
  const choice = choicesOf(stage);
  const blocks = places.map(({ channels, outChannels, stride }, block): Position => {
    const mayBeSkipped = stage.skip && stride === 1 && channels === outChannels;
    return { stage: at, block, options: mayBeSkipped ? [undefined, ...choice] : choice, depths: [] };
  });
  return stage.depth.length === 1
    ? blocks
    : [{ stage: at, block: undefined, options: [], depths: stage.depth }, ...blocks];
}

/** Widths in multiples of 4, at least 4; those that round to the same count once. */
function choicesOf(stage: StageSettings): readonly Choice[] {
  const { channels, widths, kernels } = stage;
  const byWidth = new Map<number, number>();
  for (const ratio of widths) {
    const midChannels = Math.max(4, Math.round((ratio * channels) / 4) * 4);
    if (!byWidth.has(midChannels)) byWidth.set(midChannels, ratio);
  }
  return familiesOf(stage).flatMap((family) =>
    [...byWidth].flatMap(([midChannels, ratio]) =>
      (kernels ?? [undefined]).map((kernel) => ({ family, ratio, midChannels, kernel })),
    ),
  );
}

function describedBlock(
  { block: kind }: StageSettings,
  stage: number,
  at: number,
  place: Place,
  option: Option,
): BlockDescription {
  const { height: inHeight, width: inWidth, channels: inChannels, outChannels, stride } = place;
  const surroundings = {
    ...{ name: `stage${stage}.block${at}`, stage },
    ...{ inHeight, inWidth, inChannels, outChannels, stride },
  };
  if (option === undefined) return { ...surroundings, kind: BlockKind.Skip, midChannels: outChannels };
  const { family, midChannels, kernel } = option;
  const chosen = { ...surroundings, family, midChannels };
  if (kind === StageBlock.Bottleneck) {
    const attends = attentionFamilies.includes(family);
    const branches = {
      ...{ shortcut: ShortcutKind.Active, activation: ActivationKind.Relu },
      positionBias: attends || familyNamed(family).primitive !== Primitive.Add,
    };
    const bottleneck = attends
      ? { kind: BlockKind.AttentionBottleneck, heads: headsOf(midChannels) }
      : { kind: BlockKind.Bottleneck, squeeze: 0 };
    return { ...chosen, ...branches, ...bottleneck };
  }
  const kernelSide = kernel !== undefined && kernel !== 3 ? { kernel } : {};
  return kind === StageBlock.Residual
    ? { ...chosen, kind: BlockKind.Residual, ...kernelSide }
    : { ...chosen, kind: BlockKind.Inverted, ...kernelSide };
}

/** A depth in proportion to its networks. */
function drawDepth(sizes: readonly bigint[], random: Random): number {
  let rank = random.below(sizes.reduce((sum, size) => sum + size, 0n));
  return sizes.findIndex((size) => (rank -= size) < 0n);
}

/** The identity must not depend on the order in which a file lists its keys. */
function inFixedOrder(stage: StageSettings): unknown {
  const { channels, depth, stride, block, widths, kernels, skip } = stage;
  return [channels, depth, stride ?? null, block, familiesOf(stage), widths, kernels ?? null, skip];
}
