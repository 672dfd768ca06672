/**
 * @file The layers of our networks as ONNX nodes, NCHW. Every builder takes the graph, the name of the layer and the
 * name of its input, and returns the name of its output, which is the name of the layer.
 */
import { ShapeError } from '../../base/errors.js';
import type { OnnxAttributes, OnnxGraph } from './graph.js';

/** Static geometry of a convolution-like layer: square kernel, equal strides, `padding` zeros on each side. */
export interface FilterGeometry {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

/** Statistics and parameters of one batch normalisation, one value per channel. */
export interface BatchNormValues {
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  readonly epsilon: number;
}

/** y = conv(x, w), without bias. `weights` are [kernel, kernel, in / groups, out]. @throws ShapeError when they are not */
export function lowerConvolution(
  graph: OnnxGraph,
  name: string,
  input: string,
  weights: Float32Array,
  geometry: FilterGeometry,
): string {
  const filter = filterInitializer(graph, name, weights, geometry);
  return graph.node('Conv', [input, filter], filterAttributes(geometry), { name });
}

/**
 * Stores weights [kernel, kernel, in / groups, out] as the initializer `<name>.weight`, [out, in / groups, kernel,
 * kernel] as ONNX has them, and returns its name.
 * @throws ShapeError when the geometry is impossible or the weights do not have its size
 */
export function filterInitializer(
  graph: OnnxGraph,
  name: string,
  weights: Float32Array,
  geometry: FilterGeometry,
): string {
  const { dims, values } = filterOf(name, weights, geometry);
  return graph.initializer(`${name}.weight`, dims, values);
}

/** Weights [kernel, kernel, in / groups, out] in the order of ONNX. @throws ShapeError as {@link filterInitializer} */
export function filterOf(
  name: string,
  weights: Float32Array,
  { inChannels, outChannels, kernel, groups }: FilterGeometry,
): { readonly dims: readonly number[]; readonly values: Float32Array } {
  if (inChannels % groups !== 0 || outChannels % groups !== 0)
    throw new ShapeError(`${name}: ${groups} groups do not divide ${inChannels} -> ${outChannels} channels`);
  const groupChannels = inChannels / groups;
  const taps = kernel * kernel * groupChannels;
  if (weights.length !== taps * outChannels)
    throw new ShapeError(
      `${name}: ${weights.length} weights do not fill [${kernel}, ${kernel}, ${groupChannels}, ${outChannels}]`,
    );
  const filter = new Float32Array(weights.length);
  let at = 0;
  for (let out = 0; out < outChannels; out++)
    for (let channel = 0; channel < groupChannels; channel++)
      for (let position = 0; position < kernel * kernel; position++)
        filter[at++] = weights[(position * groupChannels + channel) * outChannels + out]!;
  return { dims: [outChannels, groupChannels, kernel, kernel], values: filter };
}

/** The attributes of ONNX's Conv for this geometry; functions that stand in for a convolution take the same. */
export function filterAttributes({ kernel, stride, padding, groups }: FilterGeometry): OnnxAttributes {
  return {
    kernel_shape: { ints: [kernel, kernel] },
    strides: { ints: [stride, stride] },
    pads: { ints: [padding, padding, padding, padding] },
    group: { int: groups },
  };
}

/** y = gamma * (x - mean) / sqrt(variance + epsilon) + beta for each channel. */
export function lowerBatchNorm(
  graph: OnnxGraph,
  name: string,
  input: string,
  values: BatchNormValues,
): string {
  const perChannel = (['gamma', 'beta', 'mean', 'variance'] as const).map((key) =>
    graph.initializer(`${name}.${key}`, [values.gamma.length], values[key]),
  );
  const attributes = { epsilon: { float: values.epsilon } };
  return graph.node('BatchNormalization', [input, ...perChannel], attributes, { name });
}

/** y = max(0, x). */
export function lowerRelu(graph: OnnxGraph, name: string, input: string): string {
  return graph.node('Relu', [input], {}, { name });
}

/** y = a + b, of one shape. */
export function lowerAdd(graph: OnnxGraph, name: string, a: string, b: string): string {
  return graph.node('Add', [a, b], {}, { name });
}

/** [N, C, H, W] -> [N, C, 1, 1], the mean over the positions. */
export function lowerGlobalAveragePool(graph: OnnxGraph, name: string, input: string): string {
  return graph.node('GlobalAveragePool', [input], {}, { name });
}

/** Largest or mean value of each window, as our pooling has them: zeros of the padding count for the mean alone. */
export function lowerPool(
  graph: OnnxGraph,
  name: string,
  input: string,
  { op, kernel, stride, padding }: Window & { readonly op: 'MaxPool' | 'AveragePool' },
): string {
  const attributes = {
    kernel_shape: { ints: [kernel, kernel] },
    strides: { ints: [stride, stride] },
    pads: { ints: [padding, padding, padding, padding] },
    ...(op === 'AveragePool' && { count_include_pad: { int: 1 } }),
  };
  return graph.node(op, [input], attributes, { name });
}

/** Square windows over a map. */
export interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** One value per channel, to be combined with [N, C, H, W]. */
export function channelInitializer(graph: OnnxGraph, name: string, values: Float32Array): string {
  return graph.initializer(name, [1, values.length, 1, 1], values);
}

/** [N, C, H, W] -> [N, H, W, C], and back. */
export const toChannelsLast = [0, 2, 3, 1];
export const toChannelsFirst = [0, 3, 1, 2];

/** Output axis i is axis `order`[i] of the input. */
export function lowerTranspose(
  graph: OnnxGraph,
  name: string,
  input: string,
  order: readonly number[],
): string {
  return graph.node('Transpose', [input], { perm: { ints: order } }, { name });
}

/** Another shape for the same values; a size of 0 stands for that of the input. */
export function lowerReshape(
  graph: OnnxGraph,
  name: string,
  input: string,
  shape: readonly number[],
): string {
  const sizes = graph.initializer(`${name}.shape`, [shape.length], BigInt64Array.from(shape, BigInt));
  return graph.node('Reshape', [input, sizes], {}, { name });
}

/** [N, C] -> [N, C, 1, 1]. */
export function lowerVectorAsMap(graph: OnnxGraph, name: string, input: string): string {
  const axes = graph.initializer(`${name}.axes`, [2], BigInt64Array.of(2n, 3n));
  return graph.node('Unsqueeze', [input, axes], {}, { name });
}

/** [N, ...] -> [N, the product of the rest]. */
export function lowerFlatten(graph: OnnxGraph, name: string, input: string): string {
  return graph.node('Flatten', [input], { axis: { int: 1 } }, { name });
}

/** [N, in] -> [N, out]: y = x w + bias with `weights` [in, out] and `bias` [out]. */
export function lowerLinear(
  graph: OnnxGraph,
  name: string,
  input: string,
  weights: Float32Array,
  bias: Float32Array,
): string {
  const matrix = graph.initializer(`${name}.weight`, [weights.length / bias.length, bias.length], weights);
  const offset = graph.initializer(`${name}.bias`, [bias.length], bias);
  return graph.node('Gemm', [input, matrix, offset], {}, { name });
}

/** y = (x - mean) / std for each channel of [N, C, H, W]; how images enter a network. */
export function lowerNormalise(
  graph: OnnxGraph,
  name: string,
  input: string,
  mean: readonly number[],
  std: readonly number[],
): string {
  const perChannel = (key: string, values: readonly number[]) =>
    graph.initializer(`${name}.${key}`, [1, values.length, 1, 1], Float32Array.from(values));
  const centred = graph.node('Sub', [input, perChannel('mean', mean)], {}, { name: `${name}.centred` });
  return graph.node('Div', [centred, perChannel('std', std)], {}, { name });
}
