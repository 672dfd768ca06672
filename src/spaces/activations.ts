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
import { BlockKind, type Architecture } from './architecture.js';
import {
  classifierName,
  hasShortcutLayer,
  layersOf,
  planLayers,
  precedingName,
  stemName,
  type FamilyCost,
} from './layers.js';

const inputName = 'input';
const pooledName = 'pool';

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
 * (`bitsOf`, by name of the layer; `familyCost` says which of them are two layers of arithmetic); where no layer does, as what is made of it; the logits as the classifier's input.
 */
export function activationGraph(
  architecture: Architecture,
  bitsOf: (layer: string) => number,
  familyCost: (family: string) => Pick<FamilyCost, 'preceding'> = () => ({}),
): ActivationGraph {
  const { input, stem, blocks, classes } = architecture;
  const drafts: Draft[] = [];
  const step = (name: string, inputs: readonly string[], elements: number, isLayer = true): string => {
    drafts.push({ name, inputs, elements, isLayer });
    return name;
  };
  /** A layer of a block: one step, or two where the family has a layer of arithmetic in front. */
  const layer = (name: string, family: string | undefined, from: string, elements: number): string => {
    const preceding = family === undefined ? undefined : familyCost(family).preceding;
    const inner = preceding === undefined ? from : step(precedingName(name, preceding), [from], elements);
    return step(name, [inner], elements);
  };
  let [height, width] = [Math.ceil(input.height / stem.stride), Math.ceil(input.width / stem.stride)];
  let channels = stem.channels;
  let x = step(stemName, [inputName], height * width * channels);
  for (const block of blocks) {
    if (block.kind === BlockKind.Skip) continue;
    const { name, family, stride, midChannels, outChannels } = block;
    [height, width, channels] = [Math.ceil(height / stride), Math.ceil(width / stride), outChannels];
    const map = height * width;
    const first = layer(`${name}.conv1`, family, x, map * midChannels);
    const outer = layer(`${name}.conv2`, family, first, map * outChannels);
    const straight = hasShortcutLayer(block) ? layer(`${name}.shortcut`, family, x, map * outChannels) : x;
    x = step(`${name}.join`, [outer, straight], map * outChannels, false);
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
      ...(inputs.length === 2 && { mayOverwrite: inputs }),
    })),
    outputs: [logits],
  };
}

/** SRAM and flash of an architecture, its operands as wide as `profile` has them. */
export function architectureMemory(
  architecture: Architecture,
  familyCost: (family: string) => FamilyCost,
  profile: AcceleratorProfile,
  options: PlanOptions = {},
): MemoryFootprint {
  const layers = layersOf(architecture, familyCost);
  const byName = new Map(layers.map((layer): [string, LayerDescription] => [layer.name, layer]));
  const stored = new Map(
    planLayers(architecture).map(({ name, family }) => [name, familyCost(family).storedActivationBits]),
  );
  const bitsOf = (name: string): number => {
    const layer = byName.get(name)!;
    const activation = stored.get(name) ?? layer.operandBits.activation;
    return storedBits({ ...layer, operandBits: { ...layer.operandBits, activation } }, profile).activation;
  };
  const graph = activationGraph(architecture, bitsOf, familyCost);
  return memoryFootprint(graph, layers, profile, options);
}
