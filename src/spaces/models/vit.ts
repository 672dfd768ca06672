/**
 * @file Small vision transformers for images of 32 pixels: ViT-Lite (Hassani et al. 2021, arXiv 2104.05704), patches of 4
 * pixels, pre-norm layers, an embedding of positions that is learned, and the mean over the tokens in the place of a class
 * token. `vit-tiny` is half as wide.
 *
 * Projections and fully connected layers are of the family; the patches and the classifier are the ends of the network.
 */
import { OptionError } from '../../base/errors.js';
import { familyNamed } from '../../operators/registry.js';
import { BlockKind, type BlockDescription } from '../architecture.js';
import type { PatchesBlock } from '../blocks/patches.js';
import type { TransformerBlock } from '../blocks/transformer.js';
import { classifierOf, header, placed, type Model, type PublishedCounts } from './contract.js';

interface VitShape {
  readonly name: string;
  readonly title: string;
  readonly width: number;
  readonly heads: number;
  readonly published: PublishedCounts;
}

const patch = 4;
const stages = 3;
const layersPerStage = 2;

function vit({ name, title, width, heads, published }: VitShape): Model {
  return {
    ...{ name, title, stages, convertAll: false, published },
    build(options) {
      const { input, families, first, last } = options;
      if (input.height % patch !== 0 || input.width % patch !== 0)
        throw new OptionError(
          `${name} takes images in patches of ${patch} pixels, which do not divide ${input.height}x${input.width}; ` +
            'scale them by --image-size',
        );
      const needsNorm = (family: string): boolean => familyNamed(family).needsNorm === true;
      const begin: PatchesBlock = {
        ...placed(0, 0, first, input, width, patch),
        ...{ kind: BlockKind.Patches, norm: needsNorm(first) },
      };
      const map = { height: input.height / patch, width: input.width / patch, channels: width };
      const layer = (stage: number, at: number): TransformerBlock => ({
        ...placed(stage, at, families[stage]!, map, width),
        ...{ kind: BlockKind.Transformer, midChannels: 2 * width, heads, norm: needsNorm(families[stage]!) },
      });
      const layers: readonly BlockDescription[] = Array.from({ length: stages }, (_, stage) =>
        Array.from({ length: layersPerStage }, (__, at) => layer(stage, at + (stage === 0 ? 1 : 0))),
      ).flat();
      return {
        ...header(name, options),
        ...{ stem: null, blocks: [begin, ...layers] },
        classifier: classifierOf(last, { layerNorm: true }),
      };
    },
  };
}

const cifar = { input: { height: 32, width: 32, channels: 3 }, classes: 10 };

export const vitTiny: Model = vit({
  name: 'vit-tiny',
  title: 'ViT-Lite-6/4 (2021) at half its width: 6 layers of 128 channels',
  width: 128,
  heads: 4,
  published: {
    ...cifar,
    parameters: { count: 810_890, within: 0 },
    macs: { count: 57_017_600, within: 0 },
    source: 'our own width, counted apart from this code; vit-lite-6-4 has the published counts',
  },
});

export const vitLite: Model = vit({
  name: 'vit-lite-6-4',
  title: 'ViT-Lite-6/4 (2021): 6 layers of 256 channels',
  width: 256,
  heads: 4,
  published: {
    ...cifar,
    parameters: { count: 3_190_000, within: 0.005 },
    macs: { count: 220_000_000, within: 0.03 },
    source:
      'arXiv 2104.05704, table 2: 3.19 M parameters, 0.22 G operations, with a class token and without biases of the ' +
      'queries, keys and values',
  },
});
