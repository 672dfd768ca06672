/**
 * @file Linear attention with binary queries and keys, ShiftAddViT (You et al., NeurIPS'23, arXiv 2306.06446).
 *
 * Of its two products one operand is of zeros and ones, so both are additions of chosen rows; by Q (K' V) their cost
 * grows with the positions and not with their square. Beside it, and against the loss of what is near, the values pass
 * a depth-wise convolution. The release convolves nine neighbours in the list of tokens, with one kernel for each head;
 * the tokens here are positions of a map, so the nine neighbours are those around a position, and each channel has its own
 * nine weights (which a supernet can slice). The rule itself is in core.ts.
 */
import { Primitive, type OperandBits } from '../../hardware/layer.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { add } from '../../tensor/ops/binary.js';
import { tidy } from '../../tensor/tape.js';
import type { LayerGeometry, LayerOnMap, OperatorFamily, OwnTensor } from '../contract.js';
import { kaimingNormal, kaimingUniform } from '../initialisation.js';
import { weightShape } from '../layer.js';
import { identitySharing } from '../sharing.js';
import { productVariance } from '../variance.js';
import { headsOf, linearBinaryAttention, overPositions } from './core.js';
import {
  fp32,
  headSizes,
  lowerProjections,
  ownOf,
  productPart,
  projectionParts,
  projections,
  queryAndKey,
} from './layer.js';

const neighbours = ({ outChannels }: LayerGeometry): LayerGeometry => ({
  ...{ inChannels: outChannels, outChannels, groups: outChannels },
  ...{ kernel: 3, stride: 1, padding: 1 },
});

const local: OwnTensor = {
  name: 'local',
  shape: (geometry) => weightShape(neighbours(geometry)),
  initialValues: (geometry, random) => kaimingUniform(neighbours(geometry), random),
  decay: true,
};

/** One operand is a bit, by which the other is added or not. */
const chosen = { primitive: Primitive.Add, operandBits: { ...fp32, weight: 1 } satisfies OperandBits };

export const attentionLinear: OperatorFamily = {
  name: 'attention.linear',
  shortName: 'attention-linear',
  title: 'Attention, linear and binary (ShiftAddViT)',
  colour: '#2d7f97',
  initialWeights: kaimingNormal,
  own: [...queryAndKey, local],
  forward: (x, weights, geometry, own) =>
    tidy(() => {
      const [q, k, v] = projections(x, weights, geometry, own);
      const attended = overPositions(linearBinaryAttention, q, k, v, headsOf(geometry.outChannels));
      return add(attended, conv2d(v, ownOf(own, 2), neighbours(geometry)));
    }),
  effectiveWeights: (weights) => weights,
  sharing: identitySharing,
  // Of the values; weights of positions that add up to one leave that when one position has them all.
  variance: productVariance(1),
  primitive: Primitive.Multiply,
  operandBits: fp32,
  // An addition of chosen values costs an accumulation; as a part it is priced like the distance of an add layer, which
  // profiles that charge the accumulation apart make two.
  parts(layer: LayerOnMap) {
    const { tokens, heads, width } = headSizes(layer);
    const { outHeight, outWidth, outChannels } = layer;
    return [
      ...projectionParts(layer),
      { ...productPart(width, tokens, width, heads), ...chosen, name: 'sums', reads: ['key', 'value'] },
      { ...productPart(width, width, tokens, heads), ...chosen, name: 'reached', reads: ['query', 'sums'] },
      {
        ...{ ...layer, inHeight: outHeight, inWidth: outWidth, inChannels: outChannels },
        ...{ kernel: 3, stride: 1, groups: outChannels, primitive: Primitive.Multiply, operandBits: fp32 },
        reads: ['value', 'reached'],
      },
    ];
  },
  lower(graph, name, input, weights, geometry, own) {
    const heads = headsOf(geometry.outChannels);
    const width = geometry.outChannels / heads;
    const [q, k, v] = lowerProjections(graph, name, input, weights, geometry, own);
    const split = graph.initializer(
      `${name}.heads`,
      [4],
      BigInt64Array.of(0n, BigInt(heads), BigInt(width), -1n),
    );
    const constant = (part: string, value: number): string =>
      graph.initializer(`${name}.${part}`, [1], Float32Array.of(value));
    const node = (
      part: string,
      opType: string,
      inputs: readonly string[],
      attributes: Parameters<typeof graph.node>[2] = {},
    ): string => graph.node(opType, inputs, attributes, { name: `${name}.${part}` });
    // [N, heads, C, T]: a token's channels along axis 2.
    const inHeads = (of: string, part: string): string => node(`${part}.heads`, 'Reshape', [of, split]);
    const unit = (of: string, part: string): string =>
      node(`${part}.unit`, 'LpNormalization', [of], { axis: { int: 2 }, p: { int: 2 } });
    const bits = (of: string, part: string): string => {
      const rows = unit(inHeads(of, part), part);
      const axes = { axes: { ints: [1, 2, 3] }, keepdims: { int: 1 } };
      const above = node(`${part}.above`, 'Greater', [
        rows,
        node(`${part}.mean`, 'ReduceMean', [rows], axes),
      ]);
      return node(`${part}.bits`, 'Cast', [above], { to: { int: floatType } });
    };
    const keys = node('key.turned', 'Transpose', [bits(k, 'key')], { perm: { ints: [0, 1, 3, 2] } });
    const values = inHeads(v, 'value');
    const sums = node('sums', 'MatMul', [values, keys]);
    const reached = node('reached', 'MatMul', [sums, bits(q, 'query')]);
    const kernel = node('kernel', 'Add', [
      node('kept', 'Mul', [values, constant('half', 0.5)]),
      node('angles', 'Mul', [reached, constant('part', 1 / Math.PI)]),
    ]);
    const attended = node('attended', 'Reshape', [unit(kernel, 'kernel'), node('shape', 'Shape', [v])]);
    const near = lowerConvolution(graph, name, v, ownOf(own, 2), neighbours(geometry));
    return node('sum', 'Add', [attended, near]);
  },
};

/** ONNX's number of the type float32. */
const floatType = 1;
