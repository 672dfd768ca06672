/**
 * @file The activations of a network as a memory planner sees them, in the order of execution of its nodes.
 *
 * Norms, activations and embeddings are done by the layer in front of them, in place, where nobody else reads what that
 * makes; otherwise they are a step of their own. A join adds its second input to the first, over one of the two where it
 * is not read again, so a block's input is kept until its join, or until its shortcut layer has read it. The weights of an
 * attention are never held as a whole. A skipped block is nothing at all.
 */
import type { LayerDescription } from '../hardware/layer.js';
import {
  activationBytes,
  memoryFootprint,
  storedBits,
  type MemoryFootprint,
} from '../hardware/memory/footprint.js';
import type { PlanOptions } from '../hardware/memory/arena.js';
import type { ActivationGraph, ActivationTensor, GraphStep } from '../hardware/memory/graph.js';
import type { AcceleratorProfile } from '../hardware/profile-schema.js';
import { layerInput } from '../operators/contract.js';
import type { Architecture } from './architecture.js';
import { nodesOf } from './expand.js';
import { partsOf, planLayers, pricedParts, productNames, type FamilyCost } from './layers.js';
import { inputName, NodeKind, type Node } from './nodes.js';

/** A step before the widths of its tensors are known. */
interface Draft {
  readonly name: string;
  readonly inputs: readonly string[];
  /** Elements of its output, which has the step's name. */
  readonly elements: number;
  /** The layer that reads its inputs at a width of its own; undefined: the step takes what comes. */
  readonly reader: string | undefined;
  readonly elementwise: boolean;
}

/**
 * The activations of one inference (batch 1). A tensor is as wide as the layers that read it have their inputs
 * (`bitsOf`, by name of the layer; `familyCost` says which of them are several layers of arithmetic); where no layer does, as
 * what is made of it; the logits as the input of the last layer.
 */
export function activationGraph(
  architecture: Architecture,
  bitsOf: (layer: string) => number,
  familyCost: (family: string) => FamilyCost,
): ActivationGraph {
  const { input } = architecture;
  const { drafts, output } = draftsOf(nodesOf(architecture), familyCost);
  const lastReader = drafts.findLast(({ reader }) => reader !== undefined)?.reader;
  const bits = new Map([[output, lastReader === undefined ? 0 : bitsOf(lastReader)]]);
  const read = new Set<string>();
  for (const { name, inputs, reader } of drafts.toReversed())
    for (const tensor of inputs)
      if (reader !== undefined) {
        bits.set(tensor, Math.max(bitsOf(reader), read.has(tensor) ? bits.get(tensor)! : 0));
        read.add(tensor);
      } else if (!read.has(tensor)) bits.set(tensor, bits.get(name)!);
  const tensor = (name: string, elements: number): ActivationTensor => ({
    name,
    bytes: activationBytes(elements, bits.get(name)!),
  });
  return {
    inputs: [tensor(inputName, input.height * input.width * input.channels)],
    steps: drafts.map(({ name, inputs, elements, elementwise }): GraphStep => ({
      name,
      inputs,
      output: tensor(name, elements),
      ...(elementwise && { mayOverwrite: inputs }),
    })),
    outputs: [output],
  };
}

function draftsOf(
  nodes: readonly Node[],
  familyCost: (family: string) => FamilyCost,
): { readonly drafts: readonly Draft[]; readonly output: string } {
  const drafts: Draft[] = [];
  /** The tensor that holds a node's value. */
  const held = new Map([[inputName, inputName]]);
  const readers = readersOf(nodes);
  const step = (
    name: string,
    inputs: readonly string[],
    { outHeight, outWidth, outChannels }: Node,
    reader?: string,
    elementwise = false,
  ): void => {
    drafts.push({ name, inputs, elements: outHeight * outWidth * outChannels, reader, elementwise });
    held.set(name, name);
  };
  for (const node of nodes) {
    const { name } = node;
    const inputs = node.inputs.map((input) => held.get(input)!);
    switch (node.kind) {
      case NodeKind.Layer: {
        for (const { layer, reads } of partsOf(node, familyCost)) {
          const from = reads.flatMap((read) => (read === layerInput ? inputs : read));
          drafts.push({
            ...{ name: layer.name, inputs: from, elements: outputElements(layer) },
            ...{ reader: layer.name, elementwise: false },
          });
          held.set(layer.name, layer.name);
        }
        break;
      }
      case NodeKind.Attention:
        step(name, inputs, node, productNames(name).scores);
        break;
      case NodeKind.Join:
        step(name, inputs, node, undefined, true);
        break;
      case NodeKind.Flatten:
      case NodeKind.Dropout:
        held.set(name, inputs[0]!);
        break;
      case NodeKind.BatchNorm:
      case NodeKind.LayerNorm:
      case NodeKind.Activation:
      case NodeKind.KWinners:
      case NodeKind.Position:
        if (readers.get(node.inputs[0]!) === 1 && inputs[0] !== inputName) held.set(name, inputs[0]!);
        else step(name, inputs, node, undefined, true);
        break;
      default:
        step(name, inputs, node);
    }
  }
  return { drafts, output: held.get(nodes.at(-1)!.name)! };
}

/** Values that a layer of arithmetic leaves behind. */
function outputElements({ batch, outHeight, outWidth, outChannels, copies = 1 }: LayerDescription): number {
  return copies * batch * outHeight * outWidth * outChannels;
}

/** How many nodes read each value. */
function readersOf(nodes: readonly Node[]): ReadonlyMap<string, number> {
  const readers = new Map<string, number>();
  for (const { inputs } of nodes) for (const name of inputs) readers.set(name, (readers.get(name) ?? 0) + 1);
  return readers;
}

/** SRAM and flash of an architecture, its operands as wide as `profile` has them. */
export function architectureMemory(
  architecture: Architecture,
  familyCost: (family: string) => FamilyCost,
  profile: AcceleratorProfile,
  options: PlanOptions = {},
): MemoryFootprint {
  const parts = pricedParts(architecture, familyCost);
  const byName = new Map(parts.map(({ layer }): [string, LayerDescription] => [layer.name, layer]));
  const stored = new Map(
    planLayers(architecture).map(({ name, family }) => [name, familyCost(family).storedActivationBits]),
  );
  const bitsOf = (name: string): number => {
    const layer = byName.get(name)!;
    const activation = stored.get(name) ?? layer.operandBits.activation;
    return storedBits({ ...layer, operandBits: { ...layer.operandBits, activation } }, profile).activation;
  };
  const graph = activationGraph(architecture, bitsOf, familyCost);
  const stores = parts.filter(({ hasWeights }) => hasWeights).map(({ layer }) => layer);
  return memoryFootprint(graph, stores, profile, options);
}
