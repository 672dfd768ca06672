/**
 * @file The activations of a network as a memory planner sees them, in the order of execution of {@link planLayers}.
 *
 * Batch norm and ReLU are done by the layer in front of them. The join of a residual block adds the shortcut to the
 * second layer's output, over one of the two where it is not read again, so a block's input is kept until its join, or
 * until its shortcut layer has read it. A skipped block is nothing at all.
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
import { BlockKind, type Architecture } from './architecture.js';
import {
  classifierName,
  hasShortcutLayer,
  partsOf,
  planLayers,
  stemName,
  type FamilyCost,
  type PlannedLayer,
  type PricedPart,
} from './layers.js';

const inputName = 'input';
const pooledName = 'pool';
const joinSuffix = '.join';

/** A step before the widths of its tensors are known. */
interface Draft {
  readonly name: string;
  readonly inputs: readonly string[];
  /** Elements of its output, which has the step's name. */
  readonly elements: number;
  /** A layer reads its input at a width of its own; the join and the pooling take what comes. */
  readonly isLayer: boolean;
}

/**
 * The activations of one inference (batch 1). A tensor is as wide as the layers that read it have their inputs
 * (`bitsOf`, by name of the layer; `familyCost` says which of them are several layers of arithmetic); where no layer
 * does, as what is made of it; the logits as the classifier's input.
 */
export function activationGraph(
  architecture: Architecture,
  bitsOf: (layer: string) => number,
  familyCost: (family: string) => FamilyCost,
): ActivationGraph {
  const { input, stem, blocks, classes } = architecture;
  const planned = new Map(planLayers(architecture).map((layer) => [layer.name, layer]));
  const drafts: Draft[] = [];
  const step = (name: string, inputs: readonly string[], elements: number, isLayer = true): string => {
    drafts.push({ name, inputs, elements, isLayer });
    return name;
  };
  /** A layer of a block: a step for each of its parts. */
  const layer = (name: string, from: string): string => {
    for (const part of partsOf(planned.get(name) as PlannedLayer, familyCost))
      step(part.layer.name, inputsOf(part, from), outputElements(part.layer));
    return name;
  };
  let [height, width] = [Math.ceil(input.height / stem.stride), Math.ceil(input.width / stem.stride)];
  let channels = stem.channels;
  let x = step(stemName, [inputName], height * width * channels);
  for (const block of blocks) {
    if (block.kind === BlockKind.Skip) continue;
    const { name, stride, outChannels } = block;
    [height, width, channels] = [Math.ceil(height / stride), Math.ceil(width / stride), outChannels];
    const map = height * width;
    const outer = layer(`${name}.conv2`, layer(`${name}.conv1`, x));
    const straight = hasShortcutLayer(block) ? layer(`${name}.shortcut`, x) : x;
    x = step(`${name}${joinSuffix}`, [outer, straight], map * outChannels, false);
  }
  const logits = step(classifierName, [step(pooledName, [x], channels, false)], classes);

  const bits = new Map([[logits, bitsOf(logits)]]);
  const read = new Set<string>();
  for (const { name, inputs, isLayer } of drafts.toReversed())
    for (const tensor of inputs) {
      if (isLayer) bits.set(tensor, Math.max(bitsOf(name), read.has(tensor) ? bits.get(tensor)! : 0));
      else if (!read.has(tensor)) bits.set(tensor, bits.get(name)!);
      if (isLayer) read.add(tensor);
    }
  const tensor = (name: string, elements: number): ActivationTensor => ({
    name,
    bytes: activationBytes(elements, bits.get(name)!),
  });
  return {
    inputs: [tensor(inputName, input.height * input.width * input.channels)],
    steps: drafts.map(({ name, inputs, elements }): GraphStep => ({
      name,
      inputs,
      output: tensor(name, elements),
      // The join alone works element by element.
      ...(name.endsWith(joinSuffix) && { mayOverwrite: inputs }),
    })),
    outputs: [logits],
  };
}

const inputsOf = ({ reads }: PricedPart, input: string): readonly string[] =>
  reads.map((read) => (read === layerInput ? input : read));

/** Values that a layer of arithmetic leaves behind. */
function outputElements(layer: LayerDescription): number {
  const { batch, outHeight, outWidth, outChannels, copies = 1 } = layer;
  return copies * batch * outHeight * outWidth * outChannels;
}

/** SRAM and flash of an architecture, its operands as wide as `profile` has them. */
export function architectureMemory(
  architecture: Architecture,
  familyCost: (family: string) => FamilyCost,
  profile: AcceleratorProfile,
  options: PlanOptions = {},
): MemoryFootprint {
  const parts = planLayers(architecture).flatMap((planned) => partsOf(planned, familyCost));
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
