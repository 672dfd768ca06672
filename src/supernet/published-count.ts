/**
 * @file The parameters of the supernets that were published with ShiftAddNAS (ICML 2022), counted and never allocated: all 14
 * candidates in each of the 16 layers, reachable or not, under each of the published ways to share weights (`compat`).
 *
 * Of a candidate, 1x1, 3x3 and shortcut layers are shared; depth-wise layers, norms, attention and what stands before and
 * behind the blocks never are. A map between families is 100 factors for each of the six tensors that a place can have,
 * whether it has them or not. How many layers a network can reach is {@link reachableCandidates}.
 */
import { attentionFamilies } from '../spaces/blocks/attention-bottleneck.js';
import { ruleOf } from '../spaces/blocks/registry.js';
import { candidateBlock, expansion, supernetStyle } from '../spaces/hytra/candidates.js';
import { adapterBlock, mapOfStem, stemOf } from '../spaces/hytra/networks.js';
import { hytraImagenet } from '../spaces/hytra/options.js';
import type { HytraSpace } from '../spaces/hytra/space.js';
import { stagesOfLayers } from '../spaces/hytra/splits.js';
import { expandStem } from '../spaces/blocks/ends.js';
import { nodeParameters } from '../spaces/layers.js';
import { inputName, NodeKind, NodeList, type Node } from '../spaces/nodes.js';

/** The published ways to share, by folder of the released code (cv-search 1.4). */
export enum PublishedSharing {
  /** v1 and v2: nothing is shared. */
  None = 'none',
  /** v3: convolutions and additions. */
  Add = 'add',
  /** v4: shifts too, exponents and signs mapped apart. */
  AddShiftBoth = 'addShiftBoth',
  /** v5 on CIFAR-100: shifts round the mapped tensor. */
  AddShift = 'addShift',
  /** v5 on ImageNet-100: shifts with mapped exponents and signs of their own. */
  AddShiftOwnSigns = 'addShiftOwnSigns',
}

/** Of each the runs that were logged with it, as the released code names them. */
export const publishedRuns: Readonly<Record<PublishedSharing, string>> = {
  none: 'v1 and v2, CIFAR-100',
  add: 'v3, CIFAR-100',
  addShiftBoth: 'v4, CIFAR-100',
  addShift: 'v5, CIFAR-100',
  addShiftOwnSigns: 'v5, ImageNet-100',
};

const factorsOfMap = 6 * 100;
/** Of the published data sets. */
const classes = 100;

/** Parameters of one family in one place beside the shared tensors, given those of its layers. */
interface SharingRule {
  readonly addShared: boolean;
  /** Values of a shift's weight that it has for itself. */
  readonly shiftOwn: number;
  readonly shiftMaps: number;
  /** Values of a weight of the depth-wise layer of shifts, and whether it has biases. */
  readonly shiftPlanes: number;
  readonly shiftBias: boolean;
}

const rules: Readonly<Record<PublishedSharing, SharingRule>> = {
  none: { addShared: false, shiftOwn: 2, shiftMaps: 0, shiftPlanes: 2, shiftBias: true },
  add: { addShared: true, shiftOwn: 2, shiftMaps: 0, shiftPlanes: 2, shiftBias: true },
  addShiftBoth: { addShared: true, shiftOwn: 0, shiftMaps: 2, shiftPlanes: 2, shiftBias: false },
  addShift: { addShared: true, shiftOwn: 0, shiftMaps: 1, shiftPlanes: 1, shiftBias: false },
  addShiftOwnSigns: { addShared: true, shiftOwn: 1, shiftMaps: 1, shiftPlanes: 2, shiftBias: false },
};

/** Parameters of a published supernet, 100 classes. */
export function publishedSupernetParameters(sharing: PublishedSharing): number {
  const { addShared, shiftOwn, shiftMaps, shiftPlanes, shiftBias } = rules[sharing];
  let total = endsParameters();
  for (let layer = 0; layer < hytraImagenet.layers; layer++)
    for (const stage of hytraImagenet.stageChannels.keys()) {
      const { shareable, depthwise, biases, norms } = sizesOf(nodesOfPlace(layer, stage, 'conv'));
      const conv = shareable + depthwise + biases + norms;
      const add = (addShared ? factorsOfMap : shareable) + depthwise + norms;
      const shift =
        shiftOwn * shareable +
        shiftMaps * factorsOfMap +
        shiftPlanes * depthwise +
        (shiftBias ? biases : 0) +
        norms;
      total += conv + add + shift;
      if (stage >= firstAttention)
        total += nodesOfPlace(layer, stage, attentionFamilies[0]!).reduce(
          (sum, node) => sum + nodeParameters(node),
          0,
        );
    }
  return total;
}

/** Attention is a candidate on the two smallest maps alone. */
const firstAttention = 2;

/** Stem, the adapters of all four maps (networks use the first), classifier. */
function endsParameters(): number {
  const { input, stageChannels } = hytraImagenet;
  const stem = new NodeList(input);
  expandStem(stemOf(hytraImagenet), stem, inputName);
  const before = mapOfStem(hytraImagenet);
  const adapters = stageChannels.flatMap((channels, stage) => {
    const nodes = new NodeList(before);
    const block = adapterBlock(before, channels / expansion, 2 ** stage);
    ruleOf(block).expand(block, nodes, inputName);
    return nodes.nodes;
  });
  const sum = [...stem.nodes, ...adapters].reduce((total, node) => total + nodeParameters(node), 0);
  return sum + stageChannels.at(-1)! * classes + classes;
}

/** The layers of a candidate: those of both branches, what they have in common once. */
function nodesOfPlace(layer: number, stage: number, family: string): readonly Node[] {
  const outChannels = hytraImagenet.stageChannels[stage]!;
  const side = mapOfStem(hytraImagenet).height / 2 ** stage;
  const branch = (stride: 1 | 2, channels: number): readonly Node[] => {
    const input = { height: stride * side, width: stride * side, channels };
    const block = candidateBlock(family, { name: 'place', stage, input, stride, outChannels }, supernetStyle);
    const nodes = new NodeList(input);
    ruleOf(block).expand(block, nodes, inputName);
    return nodes.nodes;
  };
  const plain = branch(1, layer === 0 ? outChannels / expansion : outChannels);
  const down = stage === 0 ? [] : branch(2, outChannels / 2);
  return [...new Map([...plain, ...down].map((node) => [node.name, node])).values()];
}

interface Sizes {
  readonly shareable: number;
  readonly depthwise: number;
  /** Of the depth-wise layers. */
  readonly biases: number;
  readonly norms: number;
}

function sizesOf(nodes: readonly Node[]): Sizes {
  const sizes = { shareable: 0, depthwise: 0, biases: 0, norms: 0 };
  for (const node of nodes)
    if (node.kind !== NodeKind.Layer) sizes.norms += nodeParameters(node);
    else {
      const { kernel, inChannels, outChannels, groups, bias } = node;
      sizes[groups > 1 ? 'depthwise' : 'shareable'] += kernel * kernel * (inChannels / groups) * outChannels;
      if (bias) sizes.biases += outChannels;
    }
  return sizes;
}

/** How many pairs of a layer and a candidate networks of the space can visit, of how many there are in all. */
export function reachableCandidates({ splits, options }: HytraSpace): {
  readonly reachable: number;
  readonly all: number;
} {
  const { layers, stageFamilies } = options;
  const visited = new Set(
    splits.flatMap((split) => stagesOfLayers(split).map((stage, layer) => `${layer}.${stage}`)),
  );
  const inStage = (stage: number): number => stageFamilies[stage]!.length;
  return {
    reachable: [...visited].reduce((sum, place) => sum + inStage(Number(place.split('.')[1])), 0),
    all: layers * stageFamilies.reduce((sum, families) => sum + families.length, 0),
  };
}
