/**
 * @file The weight-sharing supernet: one set of shared tensors per block position, used by every operator family through
 * its sharing map, with batch norms of each family's own (`plan.ts` says what is shared). A subnet is its architecture's
 * nodes with these layers.
 */
import { Random } from '../base/random.js';
import type { Mode, Parameter, StateBuffer } from '../nn/module.js';
import type { OperatorFamily } from '../operators/contract.js';
import { familyNamed } from '../operators/registry.js';
import type { Architecture } from '../spaces/architecture.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { programOf, run, type ForwardOptions } from '../spaces/execute.js';
import { nodesOf } from '../spaces/expand.js';
import { moduleOf, statelessOf, type NodeModule } from '../spaces/modules.js';
import { NodeKind, type Node } from '../spaces/nodes.js';
import { isRecomputing } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import { add } from '../tensor/ops/binary.js';
import { ownName, supernetPlan, type SupernetPlan } from './plan.js';
import { SharedLayer } from './shared-layer.js';
import { defaultSharing, type SharingSettings } from './sharing.js';

export class Supernet {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  readonly sharedLayers: readonly SharedLayer[];
  readonly #plan: SupernetPlan;
  readonly #shared: ReadonlyMap<string, SharedLayer>;
  /** By name of the node: everything of stem and classifier. */
  readonly #ends: ReadonlyMap<string, NodeModule>;
  /** By {@link ownName}: norms of the blocks, and whatever else a realisation has for itself. */
  readonly #own: ReadonlyMap<string, NodeModule>;

  /** What the last forward pass used. */
  #used: (readonly [SharedLayer, OperatorFamily])[] = [];

  constructor(
    private readonly space: SearchSpace,
    random: Random,
    sharing: SharingSettings = defaultSharing,
  ) {
    const plan = supernetPlan(space);
    this.#plan = plan;
    const stem = plan.stem.map((node) => moduleOf(node, random));
    this.sharedLayers = plan.shared.map(
      ({ name, geometry, families }) =>
        new SharedLayer(name, geometry, families.map(familyNamed), random, sharing),
    );
    const own = plan.own.map(({ name, node }) => moduleOf({ ...node, name }, random));
    const classifier = plan.classifier.map((node) => moduleOf(node, random));
    const byName = <T>(named: readonly { readonly name: string }[], values: readonly T[]): Map<string, T> =>
      new Map(named.map(({ name }, at) => [name, values[at]!]));
    this.#shared = byName(plan.shared, this.sharedLayers);
    this.#own = byName(plan.own, own);
    this.#ends = byName([...plan.stem, ...plan.classifier], [...stem, ...classifier]);
    const modules = [...stem, ...this.sharedLayers, ...own, ...classifier];
    this.parameters = modules.flatMap((module) => [...module.parameters]);
    this.buffers = modules.flatMap((module) => [...module.buffers]);
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
    architecture: Architecture,
    node: Node,
    inputs: readonly Tensor[],
    mode: Mode,
    options: ForwardOptions,
  ): Tensor {
    const block = node.block === null ? undefined : architecture.blocks[node.block]!;
    const shared = block && this.#plan.sharedName(block, node);
    if (shared !== undefined && node.kind === NodeKind.Layer) {
      const { inChannels, outChannels } = node;
      const [layer, family] = [this.#shared.get(shared)!, familyNamed(node.family)];
      if (!isRecomputing()) this.#used.push([layer, family]);
      return layer.forward(inputs[0]!, family, inChannels, outChannels);
    }
    return (this.#moduleOf(architecture, node) ?? statelessOf(node)!).forward(inputs, mode, options);
  }

  /** Of a node that is not shared; undefined for one of a block without parameters and state. */
  #moduleOf({ blocks }: Architecture, node: Node): NodeModule | undefined {
    return node.block === null
      ? this.#ends.get(node.name)
      : this.#own.get(ownName(blocks[node.block]!, node));
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

  /** After an optimiser step: weights that no other family shares back into the domain of theirs. */
  project(): void {
    for (const layer of this.sharedLayers) layer.project();
    for (const { layer } of this.#own.values()) layer?.project();
  }

  /** Makes the next recalibration of this subnet's batch norms start from nothing. */
  resetStatistics(genome: Genome): void {
    const architecture = this.space.architecture(genome);
    for (const node of nodesOf(architecture))
      if (node.kind === NodeKind.BatchNorm) this.#moduleOf(architecture, node)!.norm!.resetStatistics();
  }

  dispose(): void {
    for (const layer of this.sharedLayers) layer.dispose();
    for (const { tensor } of this.parameters) tensor.dispose();
  }
}
