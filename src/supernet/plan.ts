/**
 * @file What a supernet of a space holds, before anything is allocated: the layers whose weights the operator families
 * share, and what each realisation of a block has for itself.
 *
 * Shared is a layer of one place between the families that a block can have there, as published (ShiftAddNAS, ICML 2022;
 * cv-search 1.4): the same layer of the same block on the same map and branch, in one tensor as wide as the widest needs.
 * The branch with a stride is another layer than the one without, and a kernel of another side too. Not shared are the
 * depth-wise layers that tell positions, norms and whatever else learns, layers with biases, the layers that a block has in
 * another family than its own (attention's projections), and what stands before and behind the blocks: these belong to one
 * realisation of a block, by family and width.
 *
 * Operands of few bits have codes from zero where what a layer reads is never negative, in whatever network it stands.
 *
 * Only what some network of the space can reach is there: the published supernets allocate 224 candidates and visit 91.
 */
import type { LayerGeometry } from '../operators/contract.js';
import { storedShape } from '../operators/layer.js';
import { quantisedParts } from '../operators/quantised/family.js';
import { familyNamed } from '../operators/registry.js';
import { BlockKind, type Architecture, type BlockDescription } from '../spaces/architecture.js';
import { stemName } from '../spaces/blocks/ends.js';
import type { SearchSpace } from '../spaces/contract.js';
import { nodesOf } from '../spaces/expand.js';
import { nodeParameters } from '../spaces/layers.js';
import { statelessOf } from '../spaces/modules.js';
import { neverNegative, NodeKind, type LayerNode, type Node } from '../spaces/nodes.js';
import { coveringGenomes } from '../spaces/offers.js';
import { sizeOf } from '../tensor/shape.js';

/** One layer of one place, and the families that use it. */
export interface SharedPlan {
  readonly name: string;
  /** The widest it can be. */
  readonly geometry: LayerGeometry;
  /** In the order in which the place first offers them. */
  readonly families: readonly string[];
}

/** A node with parameters or state of its own, under the name of its realisation. */
export interface OwnPlan {
  readonly name: string;
  readonly node: Node;
}

export interface SupernetPlan {
  /** Before the blocks, and behind them. */
  readonly stem: readonly Node[];
  readonly classifier: readonly Node[];
  readonly shared: readonly SharedPlan[];
  readonly own: readonly OwnPlan[];
  /** The candidates that networks can visit: family, width and kernel of a block of one place and map. */
  readonly candidates: number;
  /** Name of the shared layer that a node of a block takes its weights from; undefined for what is not shared. */
  sharedName(block: BlockDescription, node: Node): string | undefined;
}

interface Realisation {
  readonly block: BlockDescription;
  readonly nodes: readonly Node[];
}

/** The plan of a space: every block that a network of it can have, each once. */
export function supernetPlan(space: SearchSpace): SupernetPlan {
  /** Realisations by block, in order of first appearance. */
  const realisations = new Map<string, Map<string, Realisation>>();
  let first: Architecture | undefined;
  const asksForSigns = space.families.some((family) => quantisedParts(family) !== undefined);
  const signed = new Set<string>();
  for (const genome of coveringGenomes(space)) {
    const architecture = space.architecture(genome);
    first ??= architecture;
    if (asksForSigns) addSigned(architecture, signed);
    architecture.blocks.forEach((block, at) => {
      const ofBlock = realisations.get(block.name) ?? new Map<string, Realisation>();
      realisations.set(block.name, ofBlock);
      const key = JSON.stringify(block);
      if (ofBlock.has(key)) return;
      ofBlock.set(key, { block, nodes: nodesOf(architecture).filter((node) => node.block === at) });
    });
  }
  const all = [...realisations.values()].flatMap((ofBlock) =>
    [...ofBlock.values()].map(({ block, nodes }) => ({
      block,
      nodes: asksForSigns ? withSigns(nodes, !signed.has(block.name)) : nodes,
    })),
  );
  const layers = all.flatMap(
    ({ block, nodes }) => nodes.filter((node) => isShared(block, node)) as LayerNode[],
  );
  const kernels = new Map<string, Set<number>>();
  for (const { name, kernel } of layers) kernels.set(name, (kernels.get(name) ?? new Set()).add(kernel));
  const nameOf = ({ name, kernel }: LayerNode): string =>
    kernels.get(name)!.size === 1 ? name : `${name}.k${kernel}`;
  const ends = nodesOf(first!).filter(({ block }) => block === null);
  const isStem = ({ name }: Node): boolean => name === stemName || name.startsWith(`${stemName}.`);
  return {
    stem: ends.filter(isStem),
    classifier: ends.filter((node) => !isStem(node)),
    shared: sharedPlans(layers, nameOf),
    own: ownPlans(all),
    candidates: new Set(
      all.flatMap(({ block, nodes }) =>
        block.kind === BlockKind.Adapter || nodes.length === 0 ? [] : realisationName(block),
      ),
    ).size,
    sharedName: (block, node) => (isShared(block, node) ? nameOf(node) : undefined),
  };
}

/**
 * Adds the names of the blocks that read a value which may be negative. A block reads what the last one makes that is not
 * left out, and covering genomes have every option of that before some option of this.
 */
function addSigned(architecture: Architecture, signed: Set<string>): void {
  const known = new Set<string>();
  const blockOf = new Map<string, number | null>();
  for (const node of nodesOf(architecture)) {
    const { name, block, inputs } = node;
    blockOf.set(name, block);
    const mayBeNegative = (input: string): boolean => blockOf.get(input) !== block && !known.has(input);
    if (block !== null && inputs.some(mayBeNegative)) signed.add(architecture.blocks[block]!.name);
    if (neverNegative(node, known)) known.add(name);
  }
}

/** The nodes of a block when what it reads is never negative, or may be. */
function withSigns(nodes: readonly Node[], readsNonNegative: boolean): readonly Node[] {
  const inside = new Set(nodes.map(({ name }) => name));
  const outside = nodes.flatMap(({ inputs }) => inputs.filter((name) => !inside.has(name)));
  const known = new Set(readsNonNegative ? outside : []);
  return nodes.map((node) => {
    const nonNegativeInput = known.has(node.inputs[0]!);
    if (neverNegative(node, known)) known.add(node.name);
    return node.kind === NodeKind.Layer ? { ...node, nonNegativeInput } : node;
  });
}

function isShared(block: BlockDescription, node: Node): node is LayerNode {
  return (
    node.kind === NodeKind.Layer &&
    block.kind !== BlockKind.Adapter &&
    node.family === block.family &&
    node.groups === 1 &&
    !node.bias &&
    !node.fullyConnected
  );
}

function sharedPlans(
  layers: readonly LayerNode[],
  nameOf: (node: LayerNode) => string,
): readonly SharedPlan[] {
  const plans = new Map<string, SharedPlan>();
  for (const node of layers) {
    const { inChannels, outChannels, kernel, stride, padding, groups, family, nonNegativeInput } = node;
    const name = nameOf(node);
    const known = plans.get(name);
    plans.set(name, {
      name,
      geometry: {
        inChannels: Math.max(inChannels, known?.geometry.inChannels ?? 0),
        outChannels: Math.max(outChannels, known?.geometry.outChannels ?? 0),
        ...{ kernel, stride, padding, groups },
        nonNegativeInput: nonNegativeInput && (known?.geometry.nonNegativeInput ?? true),
      },
      families: [...new Set([...(known?.families ?? []), family])],
    });
  }
  return [...plans.values()];
}

function ownPlans(realisations: readonly Realisation[]): readonly OwnPlan[] {
  const plans = new Map<string, OwnPlan>();
  for (const { block, nodes } of realisations)
    for (const node of nodes) {
      if (isShared(block, node) || statelessOf(node) !== undefined) continue;
      const name = ownName(block, node);
      if (!plans.has(name)) plans.set(name, { name, node });
    }
  return [...plans.values()];
}

/** What belongs to one realisation of a block: `stage1.block0.add.w16.norm1`. */
export function ownName(block: BlockDescription, node: Node): string {
  const part = node.name.slice(block.name.length + 1);
  return `${realisationName(block)}.${part.replace(/^conv(\d)\.norm$/, 'norm$1')}`;
}

/** By family, width and kernel. */
function realisationName({
  name,
  family,
  midChannels,
  kernel,
}: BlockDescription & { readonly kernel?: number }): string {
  return `${name}.${family}.w${midChannels}${kernel === undefined ? '' : `.k${kernel}`}`;
}

/** Values of the parameters of a supernet, and of the same one if every family had weights of its own in every layer. */
export function plannedParameters({ stem, classifier, shared, own }: SupernetPlan): {
  readonly shared: number;
  readonly unshared: number;
} {
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  const rest = sum([...stem, ...classifier, ...own.map(({ node }) => node)].map(storedParameters));
  const ofLayers = shared.map(({ geometry, families }) => {
    const each = families.map(familyNamed).map((family) => {
      const besides = sum((family.own ?? []).map(({ shape }) => sizeOf(shape(geometry))));
      const keeps = family.fixedWeights === true || family.weightShape !== undefined;
      const stored = sizeOf(storedShape(family, geometry));
      // A supernet keeps one plane: the map makes the others of it.
      const kept = keeps ? sizeOf(family.weightShape?.(geometry) ?? plainShape(geometry)) : 0;
      return { shared: family.sharing.parameters.length + kept + besides, unshared: stored + besides };
    });
    return {
      shared: sizeOf(plainShape(geometry)) + sum(each.map((one) => one.shared)),
      unshared: sum(each.map((one) => one.unshared)),
    };
  });
  return {
    shared: rest + sum(ofLayers.map((layer) => layer.shared)),
    unshared: rest + sum(ofLayers.map((layer) => layer.unshared)),
  };
}

/** Those of a node, with every plane that is trained of a weight. */
function storedParameters(node: Node): number {
  if (node.kind !== NodeKind.Layer) return nodeParameters(node);
  const { planes = 1, weightShape } = familyNamed(node.family);
  return nodeParameters(node) + (planes - 1) * sizeOf(weightShape?.(node) ?? plainShape(node));
}

function plainShape({ kernel, inChannels, outChannels, groups }: LayerGeometry): readonly number[] {
  return [kernel, kernel, inChannels / groups, outChannels];
}
