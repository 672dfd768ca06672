/**
 * @file The weight-sharing supernet over a space of residual blocks: one set of shared tensors per block position,
 * used by every operator family through its sharing map, with batch norms of each family's own.
 */
import type { Random } from '../base/random.js';
import { BatchNorm } from '../nn/batch-norm.js';
import { Linear } from '../nn/linear.js';
import { Mode, type Parameter, type StateBuffer } from '../nn/module.js';
import type { OperatorFamily } from '../operators/contract.js';
import { OperatorLayer } from '../operators/layer.js';
import { familyNamed } from '../operators/registry.js';
import { BlockKind } from '../spaces/architecture.js';
import type { Genome } from '../spaces/contract.js';
import { classifierName, fixedFamily, stemName } from '../spaces/layers.js';
import type { MiniPosition, MiniSpace } from '../spaces/mini/space.js';
import { residualForward, type ForwardOptions } from '../spaces/residual.js';
import { globalAveragePool } from '../tensor/ops/pooling.js';
import { at, chain, tidy } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { SharedLayer } from './shared-layer.js';

/** Batch norms of one realisation (family and width) of a block. */
interface BlockNorms {
  readonly norm1: BatchNorm;
  readonly norm2: BatchNorm;
  readonly shortcut?: BatchNorm;
}

class SharedBlock {
  readonly layers: readonly SharedLayer[];
  readonly norms: ReadonlyMap<string, BlockNorms>;
  readonly #layer1: SharedLayer;
  readonly #layer2: SharedLayer;
  readonly #shortcut: SharedLayer | undefined;

  constructor(
    private readonly position: MiniPosition,
    families: readonly OperatorFamily[],
    random: Random,
  ) {
    const { name, inChannels, outChannels, maxMidChannels, stride, options } = position;
    const share = (part: string, from: number, to: number, kernel: number, by: number): SharedLayer =>
      new SharedLayer(
        `${name}.${part}`,
        { inChannels: from, outChannels: to, kernel, stride: by, padding: (kernel - 1) / 2, groups: 1 },
        families,
        random,
      );
    this.#layer1 = share('conv1', inChannels, maxMidChannels, 3, stride);
    this.#layer2 = share('conv2', maxMidChannels, outChannels, 3, 1);
    this.#shortcut =
      stride === 1 && inChannels === outChannels
        ? undefined
        : share('shortcut', inChannels, outChannels, 1, stride);
    this.layers = [this.#layer1, this.#layer2, ...(this.#shortcut ? [this.#shortcut] : [])];
    const norms = new Map<string, BlockNorms>();
    for (const option of options) {
      if (option.kind === BlockKind.Skip) continue;
      const own = `${name}.${option.family}.w${option.midChannels}`;
      norms.set(normKey(option), {
        norm1: new BatchNorm(`${own}.norm1`, option.midChannels, true),
        norm2: new BatchNorm(`${own}.norm2`, outChannels, false),
        ...(this.#shortcut && { shortcut: new BatchNorm(`${own}.shortcut.norm`, outChannels, false) }),
      });
    }
    this.norms = norms;
  }

  forward(x: Tensor, gene: number, mode: Mode, options: ForwardOptions): Tensor {
    const { name, inChannels, outChannels } = this.position;
    const option = this.position.options[gene];
    if (option === undefined) throw new RangeError(`${name} has no option ${gene}`);
    if (option.kind === BlockKind.Skip) return x;
    const family = familyNamed(option.family);
    const { norm1, norm2, shortcut } = this.norms.get(normKey(option)) as BlockNorms;
    const shared = this.#shortcut;
    const parts = {
      layer1: {
        forward: (y: Tensor) => this.#layer1.forward(y, family, inChannels, option.midChannels),
        norm: norm1,
      },
      layer2: {
        forward: (y: Tensor) => this.#layer2.forward(y, family, option.midChannels, outChannels),
        norm: norm2,
      },
      ...(shared &&
        shortcut && {
          shortcut: {
            forward: (y: Tensor) => shared.forward(y, family, inChannels, outChannels),
            norm: shortcut,
          },
        }),
    };
    return residualForward(name, x, mode, parts, options);
  }

  normsOf(gene: number): readonly BatchNorm[] {
    const option = this.position.options[gene];
    if (option === undefined || option.kind === BlockKind.Skip) return [];
    const { norm1, norm2, shortcut } = this.norms.get(normKey(option)) as BlockNorms;
    return shortcut === undefined ? [norm1, norm2] : [norm1, norm2, shortcut];
  }
}

function normKey(option: { readonly family: string; readonly midChannels: number }): string {
  return `${option.family}.${option.midChannels}`;
}

export class Supernet {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  readonly sharedLayers: readonly SharedLayer[];
  readonly #stem: OperatorLayer;
  readonly #stemNorm: BatchNorm;
  readonly #blocks: readonly SharedBlock[];
  readonly #classifier: Linear;
  readonly #layerOfParameter: ReadonlyMap<Parameter, SharedLayer>;

  constructor(space: MiniSpace, random: Random) {
    const { input, classes, stemChannels, stemStride, families } = space.options;
    this.#stem = new OperatorLayer(
      stemName,
      familyNamed(fixedFamily),
      {
        inChannels: input.channels,
        outChannels: stemChannels,
        kernel: 3,
        stride: stemStride,
        padding: 1,
        groups: 1,
      },
      random,
    );
    this.#stemNorm = new BatchNorm(`${stemName}.norm`, stemChannels, true);
    const registered = families.map(familyNamed);
    this.#blocks = space.positions.map((position) => new SharedBlock(position, registered, random));
    const features = space.positions.at(-1)?.outChannels ?? stemChannels;
    this.#classifier = new Linear(classifierName, features, classes, random);
    this.sharedLayers = this.#blocks.flatMap((block) => block.layers);
    const norms = this.#blocks.flatMap((block) =>
      [...block.norms.values()].flatMap((own) => Object.values(own)),
    );
    const modules = [
      this.#stem,
      this.#stemNorm,
      ...this.sharedLayers,
      ...(norms as BatchNorm[]),
      this.#classifier,
    ];
    this.parameters = modules.flatMap((module) => [...module.parameters]);
    this.buffers = modules.flatMap((module) => [...module.buffers]);
    this.#layerOfParameter = new Map(
      this.sharedLayers.flatMap((layer) =>
        layer.parameters.filter((own) => layer.owns(own)).map((own) => [own, layer] as const),
      ),
    );
  }

  /** Logits [N, 1, 1, classes] of the subnet `genome`. */
  forward(x: Tensor, genome: Genome, mode: Mode, options: ForwardOptions = {}): Tensor {
    return chain(x, [
      (y) => at(stemName, () => tidy(() => this.#stemNorm.forward(this.#stem.forward(y), mode))),
      ...this.#blocks.map((block, i) => (y: Tensor) => block.forward(y, genome[i] as number, mode, options)),
      (y) => at(classifierName, () => tidy(() => this.#classifier.forward(globalAveragePool(y)))),
    ]);
  }

  /** For the optimiser: see {@link SharedLayer.gradientScale}. */
  gradientScale(parameter: Parameter): number {
    return this.#layerOfParameter.get(parameter)?.gradientScale() ?? 1;
  }

  /** Makes the next recalibration of this subnet's batch norms start from nothing. */
  resetStatistics(genome: Genome): void {
    this.#stemNorm.resetStatistics();
    this.#blocks.forEach((block, i) => {
      for (const norm of block.normsOf(genome[i] as number)) norm.resetStatistics();
    });
  }

  dispose(): void {
    for (const { tensor } of this.parameters) tensor.dispose();
  }
}
