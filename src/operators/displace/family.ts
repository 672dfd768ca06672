/**
 * @file Spatial displacement, the layer without arithmetic of GhostSR (Nie et al., TMLR 2022, arXiv 2101.08525, which calls it
 * a shift; not the bit shift of `pot`): every output channel is one input channel, moved by an offset inside the window, with
 * zeros from outside of the map. A stride leaves out positions.
 *
 * The direction is learned. What is stored is a logit for each offset of the window and output channel; the layer takes the
 * offset of the largest one, and the gradient is that of the softmax of the logits, straight through. GhostSR adds Gumbel
 * noise to the logits in training, so that offsets are tried by chance; a family has no stream of chance in its passes, so
 * here there is none: a channel changes its offset only when the gradient says that another would be better (it gets one
 * for every offset at every step), and training and evaluation compute the same.
 *
 * Where the channels differ in number, output o of a group reads the group's input o mod (its inputs): of more outputs,
 * some read the same input and can differ in their offsets; of fewer, the inputs beyond them are not read. Channels are
 * never mixed, and a kernel of 1 has nothing to learn, so a network needs layers of other families beside it (GhostSR has
 * half of the channels of each layer from a convolution).
 *
 * On this machine the layer runs as the depth-wise convolution with the one-hot kernel that it equals, which is fast here;
 * hardware fetches one value for each output.
 */
import { asMoves, Primitive, type OperandBits } from '../../hardware/layer.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { tidy } from '../../tensor/tape.js';
import { layerInput, type LayerGeometry, type OperatorFamily } from '../contract.js';
import { identitySharing } from '../sharing.js';
import { movedVariance } from '../variance.js';
import { chosenOffsets, inOrder, oneHot, takeChannels } from './offsets.js';

/** Small beside the 1 at which a softmax has made up its mind. */
const initialDeviation = 0.1;

/** The input channel that an output channel is made of, for each output channel. */
export function sourceChannels({ inChannels, outChannels, groups }: LayerGeometry): readonly number[] {
  const [inputs, outputs] = [inChannels / groups, outChannels / groups];
  return Array.from(
    { length: outChannels },
    (_, o) => Math.floor(o / outputs) * inputs + ((o % outputs) % inputs),
  );
}

/** The layer once its input channels have been taken. */
const depthWise = (geometry: LayerGeometry): LayerGeometry => ({
  ...geometry,
  inChannels: geometry.outChannels,
  groups: geometry.outChannels,
});

const offsetBits = (kernel: number): OperandBits => ({
  weight: Math.max(1, Math.ceil(Math.log2(kernel ** 2))),
  activation: 32,
  partialSum: 32,
});

export const displace: OperatorFamily = {
  name: 'displace',
  shortName: 'displace',
  title: 'Displacement (GhostSR)',
  colour: '#7c8b93',
  weightShape: ({ kernel, outChannels }) => [kernel, kernel, 1, outChannels],
  initialWeights: ({ kernel, outChannels }, random) =>
    Float32Array.from({ length: kernel ** 2 * outChannels }, () => initialDeviation * random.normal()),
  forward: (x, logits, geometry) =>
    tidy(() => conv2d(takeChannels(x, sourceChannels(geometry)), chosenOffsets(logits), depthWise(geometry))),
  effectiveWeights(logits, geometry) {
    if (geometry === undefined) throw new Error('displace: its weights mean nothing without the geometry');
    return oneHot(logits, geometry.outChannels);
  },
  // Decay would only make the choice softer.
  decay: false,
  sharing: identitySharing,
  variance: movedVariance,
  primitive: Primitive.Move,
  operandBits: offsetBits(3),
  parts: (layer) => [
    {
      ...asMoves(layer),
      ...{ primitive: Primitive.Move, operandBits: offsetBits(layer.kernel), reads: [layerInput] },
    },
  ],
  lower(graph, name, input, logits, geometry) {
    const { inChannels, outChannels } = geometry;
    const sources = sourceChannels(geometry);
    const indices = (): string =>
      graph.initializer(`${name}.channels`, [outChannels], BigInt64Array.from(sources, BigInt));
    const taken = inOrder(sources, inChannels)
      ? input
      : graph.node('Gather', [input, indices()], { axis: { int: 1 } }, { name: `${name}.taken` });
    return lowerConvolution(graph, name, taken, oneHot(logits, outChannels), depthWise(geometry));
  },
};
