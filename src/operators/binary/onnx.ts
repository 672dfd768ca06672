/**
 * @file A binary layer in ONNX: one node `shiftaddnas.BinaryConv` with the attributes of a Conv, whose model-local
 * function takes the signs of the input against its thresholds, convolves them with the signs of the weights, and
 * multiplies each channel of the result by its scale. The weights in the file are 1 and -1.
 */
import { functionDomain, OnnxGraph, ReferenceType, type OnnxFunction } from '../../nn/onnx/graph.js';
import { filterAttributes, filterInitializer } from '../../nn/onnx/layers.js';
import type { LayerGeometry } from '../contract.js';
import { scalesInto, signsInto } from './ops.js';

/**
 * Emits the layer as the node `name` and returns the name of its output, NCHW.
 * @param weights [kernel, kernel, in / groups, out]
 * @param thresholds per input channel
 * @throws ShapeError when the weights or thresholds do not fit the geometry
 */
export function lowerBinary(
  graph: OnnxGraph,
  name: string,
  input: string,
  weights: Float32Array,
  geometry: LayerGeometry,
  thresholds: Float32Array,
): string {
  const { inChannels, outChannels } = geometry;
  const [signs, scales] = [new Float32Array(weights.length), new Float32Array(outChannels)];
  signsInto(weights, signs);
  scalesInto(weights, scales);
  const filter = filterInitializer(graph, name, signs, geometry);
  const threshold = graph.initializer(`${name}.threshold`, [1, inChannels, 1, 1], thresholds);
  const scale = graph.initializer(`${name}.scale`, [1, outChannels, 1, 1], scales);
  graph.useFunction(binaryConv);
  return graph.node(binaryConv.name, [input, filter, threshold, scale], filterAttributes(geometry), {
    name,
    domain: functionDomain,
  });
}

const convAttributes = ['kernel_shape', 'strides', 'pads', 'group'] as const;

const binaryConv: OnnxFunction = {
  name: 'BinaryConv',
  description:
    'y = scale * conv(x > threshold ? 1 : -1, w) with weights of 1 and -1 (ReActNet, arXiv 2003.03488); attributes as those of Conv; padded positions take part as zeros',
  attributes: [...convAttributes],
  body: binaryBody(),
};

function binaryBody(): OnnxGraph {
  const body = new OnnxGraph('BinaryConv');
  const [x, w, threshold, scale] = ['x', 'w', 'threshold', 'scale'].map((name) => body.input(name)) as [
    string,
    string,
    string,
    string,
  ];
  const constant = (name: string, value: number): string =>
    body.node('Constant', [], { value: { tensor: { dims: [1], data: Float32Array.of(value) } } }, { name });
  const above = body.node('Greater', [x, threshold], {}, { name: 'above' });
  const signs = body.node(
    'Where',
    [above, constant('plus', 1), constant('minus', -1)],
    {},
    { name: 'signs' },
  );
  const counts = body.node(
    'Conv',
    [signs, w],
    Object.fromEntries(
      convAttributes.map((name) => [
        name,
        { reference: name, type: name === 'group' ? ReferenceType.Int : ReferenceType.Ints },
      ]),
    ),
    { name: 'counts' },
  );
  body.output(body.node('Mul', [counts, scale], {}, { name: 'y' }));
  return body;
}
