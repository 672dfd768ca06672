/**
 * @file The weight-sharing supernet: one set of shared tensors per block position, used by every operator family through
 * its sharing map, with batch norms of each family's own. A subnet is its architecture's nodes with these layers.
 */
import { Random } from '../base/random.js';
import type { BatchNorm } from '../nn/batch-norm.js';
import type { Mode, Parameter, StateBuffer } from '../nn/module.js';
import type { LayerGeometry, OperatorFamily } from '../operators/contract.js';
import { familyNamed } from '../operators/registry.js';
import type { Architecture, BlockDescription } from '../spaces/architecture.js';
import { stemName } from '../spaces/blocks/ends.js';
import type { Genome } from '../spaces/contract.js';
import { programOf, run, type ForwardOptions } from '../spaces/execute.js';
import { nodesOf } from '../spaces/expand.js';
import type { MiniSpace } from '../spaces/mini/space.js';
import { batchNormOf, moduleOf, statelessOf, type NodeModule } from '../spaces/modules.js';
import { NodeKind, type BatchNormNode, type Node } from '../spaces/nodes.js';
import { isRecomputing } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { add } from '../tensor/ops/binary.js';
import { SharedLayer } from './shared-layer.js';
import { defaultSharing, type SharingSettings } from './sharing.js';

export class Supernet {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  readonly sharedLayers: readonly SharedLayer[];
  /** By name of the node: the layers of the blocks, and everything of stem and classifier. */
  readonly #shared: ReadonlyMap<string, SharedLayer>;
  readonly #ends: ReadonlyMap<string, NodeModule>;
  readonly #stemNorms: readonly BatchNorm[];
  /** Norms of the blocks by {@link normName}. */
  readonly #norms: ReadonlyMap<string, BatchNorm>;
  readonly #layerOfParameter: ReadonlyMap<Parameter, SharedLayer>;

  /** What the last forward pass used. */
  #used: (readonly [SharedLayer, OperatorFamily])[] = [];

  constructor(
    private readonly space: MiniSpace,
    random: Random,
    sharing: SharingSettings = defaultSharing,
  ) {
    const zeros = space.optionCounts.map(() => 0);
    const realisations = space.optionCounts.flatMap((count, position) =>
      Array.from({ length: count }, (_, option) => {
        const architecture = space.architecture(zeros.with(position, option));
        const block = architecture.blocks[position]!;
        return { block, nodes: nodesOf(architecture).filter((node) => node.block === position) };
      }),
    );
    const ends = nodesOf(space.architecture(zeros)).filter(({ block }) => block === null);
    const isStem = ({ name }: Node): boolean => name === stemName || name.startsWith(`${stemName}.`);
    const stem = ends.filter(isStem).map((node) => [node.name, moduleOf(node, random)] as const);
    const families = space.options.families.map(familyNamed);
    this.#shared = new Map(
      [...widestGeometries(realisations.flatMap(({ nodes }) => nodes))].map(([name, geometry]) => [
        name,
        new SharedLayer(name, geometry, families, random, sharing),
      ]),
    );
    this.#norms = new Map(
      realisations.flatMap(({ block, nodes }) =>
        nodes
          .filter((node) => node.kind === NodeKind.BatchNorm)
          .map((node) => [normName(block, node), batchNormOf(node, normName(block, node))]),
      ),
    );
    const classifier = ends
      .filter((node) => !isStem(node))
      .map((node) => [node.name, moduleOf(node, random)] as const);
    this.#ends = new Map([...stem, ...classifier]);
    this.#stemNorms = stem.flatMap(([, { norm }]) => norm ?? []);
    this.sharedLayers = [...this.#shared.values()];
    const modules = [
      ...stem.map(([, module]) => module),
      ...this.sharedLayers,
      ...this.#norms.values(),
      ...classifier.map(([, module]) => module),
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
    const architecture = this.space.architecture(genome);
    this.#used = [];
    return run(
      programOf(nodesOf(architecture)),
      x,
      (node, inputs) => this.#evaluate(architecture, node, inputs, mode, options),
      options,
    );
  }

  #evaluate(
    { blocks }: Architecture,
    node: Node,
    inputs: readonly Tensor[],
    mode: Mode,
    options: ForwardOptions,
  ): Tensor {
    if (node.block === null) return this.#ends.get(node.name)!.forward(inputs, mode, options);
    if (node.kind === NodeKind.Layer) {
      const { inChannels, outChannels } = node;
      const [layer, family] = [this.#shared.get(node.name)!, familyNamed(node.family)];
      if (!isRecomputing()) this.#used.push([layer, family]);
      return layer.forward(inputs[0]!, family, inChannels, outChannels);
    }
    if (node.kind === NodeKind.BatchNorm)
      return this.#norms.get(normName(blocks[node.block]!, node))!.forward(inputs[0]!, mode);
    const module = statelessOf(node);
    if (module === undefined) throw new Error(`a supernet cannot share ${node.kind} nodes (${node.name})`);
    return module.forward(inputs, mode, options);
  }

  /**
   * The weighted sum [1] of {@link SharedLayer.distributionTerm} over the layers of the last forward pass, to be added to
   * its loss; undefined where there is none. What it leaves to chance follows from the seed and the step.
   */
  distributionTerm(seed: number, step: number): Tensor | undefined {
    return this.#used
      .flatMap(
        ([layer, family]) =>
          layer.distributionTerm(family, () => Random.stream(seed, 'distribution', layer.name, step)) ?? [],
      )
      .reduce<Tensor | undefined>((sum, term) => (sum === undefined ? term : add(sum, term)), undefined);
  }

  /** To be called after each optimiser step: see {@link SharedLayer.project}. */
  project(): void {
    for (const layer of this.sharedLayers) layer.project();
  }

  /** For the optimiser: see {@link SharedLayer.gradientScale}. */
  gradientScale(parameter: Parameter): number {
    return this.#layerOfParameter.get(parameter)?.gradientScale() ?? 1;
  }

  /** Makes the next recalibration of this subnet's batch norms start from nothing. */
  resetStatistics(genome: Genome): void {
    for (const norm of this.#stemNorms) norm.resetStatistics();
    const architecture = this.space.architecture(genome);
    for (const node of nodesOf(architecture))
      if (node.kind === NodeKind.BatchNorm && node.block !== null)
        this.#norms.get(normName(architecture.blocks[node.block]!, node))!.resetStatistics();
  }

  dispose(): void {
    for (const layer of this.sharedLayers) layer.dispose();
    for (const { tensor } of this.parameters) tensor.dispose();
  }
}

/** Of the layers of one name, the widest: the one that the others are cut from. */
function widestGeometries(nodes: readonly Node[]): ReadonlyMap<string, LayerGeometry> {
  const widest = new Map<string, LayerGeometry>();
  for (const node of nodes) {
    if (node.kind !== NodeKind.Layer) continue;
    const { name, inChannels, outChannels, kernel, stride, padding, groups } = node;
    const known = widest.get(name);
    widest.set(name, {
      inChannels: Math.max(inChannels, known?.inChannels ?? 0),
      outChannels: Math.max(outChannels, known?.outChannels ?? 0),
      ...{ kernel, stride, padding, groups },
    });
  }
  return widest;
}

/** Norms belong to one realisation of a block, by family and width: `stage1.block0.add.w16.norm1`. */
function normName({ name, family, midChannels }: BlockDescription, node: BatchNormNode): string {
  const part = node.name.slice(name.length + 1);
  return `${name}.${family}.w${midChannels}.${part.replace(/^conv(\d)\.norm$/, 'norm$1')}`;
}
