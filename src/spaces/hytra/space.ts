/**
 * @file The image space of ShiftAddNAS (ICML 2022, arXiv 2205.08119; sections 1 and 5 of its description here): how many
 * layers each stage has, and the operator family of every layer.
 *
 * Gene 0 is the split; each further gene is the family of a layer, out of those of all stages that the layer can be in. Where
 * its stage does not offer that family, it means the convolution of that stage, and {@link SearchSpace.canonical} writes
 * that: so no genome is illegal, a family stays when the split changes, and the size counts every architecture once.
 *
 * A child of parents with different splits takes, as published, the deeper or the shallower stage for every layer, by one
 * toss; and where that is none of the splits of the space (the published search then leaves its space), the split of either
 * parent, by another. The family of a layer is that of either parent that has it in this stage. Mutation redraws the
 * split too, which the published one never does (`keepSplits`).
 */
import { OptionError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import type { Architecture } from '../architecture.js';
import { fixedFamily } from '../blocks/ends.js';
import type { Genome, SearchSpace } from '../contract.js';
import { checkGenome } from '../product.js';
import { hytraNetwork } from './networks.js';
import { checkHytra, hytraCifar, hytraImagenet, type HytraOptions, type HytraSettings } from './options.js';
import { stageSplits, stagesOfLayers, type Split } from './splits.js';

export interface HytraSpace extends SearchSpace {
  readonly options: HytraSettings;
  readonly splits: readonly Split[];
  /** Families that the layer of each gene behind the first can have, in the order of the gene. */
  readonly layerFamilies: readonly (readonly string[])[];
  /** The family of every layer, stage by stage. */
  familiesOf(genome: Genome): readonly (readonly string[])[];
  /** The canonical genome of these families, stage by stage. @throws OptionError when the space does not hold them */
  genomeOf(families: readonly (readonly string[])[]): Genome;
}

/** @throws OptionError naming the first option that is wrong */
export function createHytraImagenet(options: Partial<HytraOptions> = {}): HytraSpace {
  return createHytraSpace('hytra-imagenet', { ...hytraImagenet, ...options });
}

/** @throws OptionError naming the first option that is wrong */
export function createHytraCifar(options: Partial<HytraOptions> = {}): HytraSpace {
  return createHytraSpace('hytra-cifar', { ...hytraCifar, ...options });
}

/** @throws OptionError naming the first option that is wrong */
export function createHytraSpace(name: string, options: HytraSettings): HytraSpace {
  const settings = checkHytra(name, options);
  const { layers, longestStage: longest, stageChannels, stageFamilies } = settings;
  const splits = stageSplits({ layers, longest, stages: stageChannels.length, rule: settings.splits });
  const stagesBySplit = splits.map(stagesOfLayers);
  const allFamilies = [...new Set(stageFamilies.flat())];
  const layerFamilies = Array.from({ length: layers }, (_, layer) => {
    const offered = new Set(stagesBySplit.flatMap((stages) => stageFamilies[stages[layer]!]!));
    return allFamilies.filter((family) => offered.has(family));
  });
  const optionCounts = [splits.length, ...layerFamilies.map(({ length }) => length)];
  const sizes = splits.map((split) =>
    split.reduce((size, length, stage) => size * BigInt(stageFamilies[stage]!.length) ** BigInt(length), 1n),
  );
  const size = sizes.reduce((sum, each) => sum + each, 0n);
  const identity = `${name} ${JSON.stringify(inFixedOrder(settings))}`;

  /** Options of a layer in a stage, as values of its gene. */
  const legal = stageFamilies.map((families) =>
    layerFamilies.map((offered) => families.map((family) => offered.indexOf(family))),
  );
  const stagesOf = (genome: Genome): readonly number[] => stagesBySplit[genome[0]!]!;
  const canonical = (genome: Genome): Genome => {
    checkGenome(genome, optionCounts, name);
    const stages = stagesOf(genome);
    return genome.map((gene, position) => {
      if (position === 0) return gene;
      const options = legal[stages[position - 1]!]![position - 1]!;
      if (options.includes(gene)) return gene;
      const substitute = layerFamilies[position - 1]!.indexOf(fixedFamily);
      return options.includes(substitute) ? substitute : options[0]!;
    });
  };
  const drawLayer = (stage: number, layer: number, random: Random): number =>
    random.pick(legal[stage]![layer]!);
  const familiesOf = (genome: Genome): readonly (readonly string[])[] => {
    const ofLayers = canonical(genome)
      .slice(1)
      .map((gene, layer) => layerFamilies[layer]![gene]!);
    const stages = stagesOf(genome);
    return stageFamilies.map((_, stage) => ofLayers.filter((__, layer) => stages[layer] === stage));
  };

  return {
    ...{ name, identity, options: settings, splits, layerFamilies, optionCounts, size },
    ...{ canonical, familiesOf, structure: [0], families: allFamilies },
    choice: (position, option) =>
      position === 0 ? undefined : { family: layerFamilies[position - 1]![option]!, size: 1 },
    sample(random) {
      let rank = random.below(size);
      const split = sizes.findIndex((each) => (rank -= each) < 0n);
      return [split, ...stagesBySplit[split]!.map((stage, layer) => drawLayer(stage, layer, random))];
    },
    mutate(genome, rate, random) {
      const split =
        !settings.keepSplits && random.uniform() < rate ? random.integer(splits.length) : genome[0]!;
      const kept = canonical([split, ...genome.slice(1)]);
      return kept.map((gene, position) =>
        position > 0 && random.uniform() < rate
          ? drawLayer(stagesBySplit[split]![position - 1]!, position - 1, random)
          : gene,
      );
    },
    crossover(first, second, random) {
      const parents = [canonical(first), canonical(second)];
      const split = crossedSplit(stagesBySplit, first[0]!, second[0]!, random);
      const stages = stagesBySplit[split]!;
      const genes = stages.map((stage, layer) => {
        const fitting = parents.filter((parent) => stagesOf(parent)[layer] === stage);
        return random.pick(fitting)[layer + 1]!;
      });
      return [split, ...genes];
    },
    architecture(genome): Architecture {
      const written = canonical(genome);
      return {
        ...{ format: 'shiftaddnas-architecture', version: 1, space: identity, genome: [...written] },
        ...hytraNetwork(settings, familiesOf(written)),
      };
    },
    optionLabel(position, option) {
      const label = position === 0 ? splits[option]?.join('-') : layerFamilies[position - 1]?.[option];
      if (label === undefined)
        throw new OptionError(`the ${name} space has no option ${option} at position ${position}`);
      return label;
    },
    genomeOf(families) {
      const split = splits.findIndex((each) => each.join() === families.map(({ length }) => length).join());
      if (split < 0)
        throw new OptionError(
          `the ${name} space has no split ${families.map(({ length }) => length).join('-')}; ` +
            `it holds ${splits.map((each) => each.join('-')).join(', ')}`,
        );
      families.forEach((ofStage, stage) =>
        ofStage.forEach((family) => {
          if (!stageFamilies[stage]!.includes(family))
            throw new OptionError(
              `stage ${stage} of the ${name} space has no family '${family}'; it holds ${stageFamilies[stage]!.join(', ')}`,
            );
        }),
      );
      return [split, ...families.flat().map((family, layer) => layerFamilies[layer]!.indexOf(family))];
    },
  };
}

/** The deeper or the shallower of two splits, layer by layer; one of the two where that is no split of the space. */
function crossedSplit(
  stagesBySplit: readonly (readonly number[])[],
  first: number,
  second: number,
  random: Random,
): number {
  if (first === second) return first;
  const extreme = random.integer(2) === 0 ? Math.max : Math.min;
  const wanted = stagesBySplit[first]!.map((stage, layer) => extreme(stage, stagesBySplit[second]![layer]!));
  const found = stagesBySplit.findIndex((stages) => stages.join() === wanted.join());
  return found >= 0 ? found : random.pick([first, second]);
}

/** The identity must not depend on the order in which options are listed. */
function inFixedOrder(settings: HytraSettings): unknown {
  const { input, stem } = settings;
  return {
    input: [input.height, input.width, input.channels],
    classes: settings.classes,
    stem: [stem.channels, stem.kernel, stem.stride, stem.pool],
    layers: settings.layers,
    longestStage: settings.longestStage,
    splits: settings.splits,
    stageChannels: settings.stageChannels,
    stageFamilies: settings.stageFamilies,
    network: settings.network,
    lastStride: settings.lastStride,
    keepSplits: settings.keepSplits,
  };
}
