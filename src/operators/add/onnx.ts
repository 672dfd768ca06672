/**
 * @file The L1 layer of AdderNet (Chen et al., CVPR 2020) in ONNX, which has no such operator: one node
 * `shiftaddnas.L1Conv` with the attributes of a Conv, whose model-local function spells out y = -sum |x - w| in
 * standard operators. It runs in any ONNX runtime with functions (IR 8), and a viewer shows one node per layer with
 * its weights [out, in / groups, kernel, kernel] as a plain initializer.
 *
 * The body: a convolution with the identity matrix as its filters lays the patches out (padding zeros take part, as
 * the layer wants), then a Scan over the `in / groups * kernel^2` taps subtracts |patch - weight| from the result,
 * all positions and output channels at a time. Its temporaries have the size of the patches or of the result, never
 * of patches times output channels, and depth-wise layers take only `kernel^2` steps. The shortest times seen in ONNX
 * Runtime Web 1.30 (WebAssembly, one thread) on a shared machine, in ms, and the memory of the process, which is
 * 190 MB with a Conv instead, for 3x3 layers; `onnx-bench.cases.ts` prints the first row again:
 *
 *                                             28x28x16      28x28x16, batch 32   56x56x64
 *     this Scan over taps                     1.0           29 (269 MB)           48 (248 MB)
 *     broadcast Sub, Abs, ReduceSum           0.8           47 (721 MB)           76 (1170 MB)
 *     broadcast Sub, ReduceL1                 2.2           80 (490 MB)          121 (708 MB)
 *     Scan over output channels, ReduceSum    1.3           45 (288 MB)          132 (229 MB)
 */
import { OnnxGraph, ReferenceType, functionDomain, type OnnxFunction } from '../../nn/onnx/graph.js';
import { filterAttributes, filterInitializer } from '../../nn/onnx/layers.js';
import type { LayerGeometry } from '../contract.js';

/**
 * Emits the layer as the node `name` and returns the name of its output, NCHW. The input must be finite.
 * @param weights [kernel, kernel, in / groups, out]
 * @throws ShapeError when the weights do not fit the geometry
 */
export function lowerL1(
  graph: OnnxGraph,
  name: string,
  input: string,
  weights: Float32Array,
  geometry: LayerGeometry,
): string {
  return lowerL1By(graph, name, input, filterInitializer(graph, name, weights, geometry), geometry);
}

/** As {@link lowerL1}, its weights a value [out, in / groups, kernel, kernel] of the graph. */
export function lowerL1By(
  graph: OnnxGraph,
  name: string,
  input: string,
  filter: string,
  geometry: LayerGeometry,
): string {
  graph.useFunction(l1Conv);
  return graph.node(l1Conv.name, [input, filter], filterAttributes(geometry), {
    name,
    domain: functionDomain,
  });
}

/**
 * As {@link lowerL1} for y = -sum |x - w|^exponent: a node of the function `LpConv`, whose third input is the exponent.
 * @throws ShapeError when the weights do not fit the geometry
 */
export function lowerLp(
  graph: OnnxGraph,
  name: string,
  input: string,
  weights: Float32Array,
  geometry: LayerGeometry,
  exponent: number,
): string {
  if (exponent === 1) return lowerL1(graph, name, input, weights, geometry);
  const filter = filterInitializer(graph, name, weights, geometry);
  const power = graph.initializer(`${name}.exponent`, [1], Float32Array.of(exponent));
  graph.useFunction(lpConv);
  return graph.node(lpConv.name, [input, filter, power], filterAttributes(geometry), {
    name,
    domain: functionDomain,
  });
}

/** Everything but the attributes is read from the shapes when the model is loaded, so one function serves all layers. */
const l1Conv: OnnxFunction = {
  name: 'L1Conv',
  description:
    'y = -sum |x - w| over the patch under the kernel (adder layer, arXiv 1912.13200); attributes as those of Conv; padded positions take part as zeros',
  attributes: ['kernel_shape', 'strides', 'pads', 'group'],
  body: distanceBody('L1Conv', false),
};

const lpConv: OnnxFunction = {
  name: 'LpConv',
  description:
    'y = -sum |x - w|^p over the patch under the kernel (arXiv 2105.14202); inputs x, w, p; attributes as those of Conv; padded positions take part as zeros',
  attributes: ['kernel_shape', 'strides', 'pads', 'group'],
  body: distanceBody('LpConv', true),
};

function distanceBody(name: string, withExponent: boolean): OnnxGraph {
  const body = new OnnxGraph(name);
  const x = body.input('x');
  const w = body.input('w');
  const exponent = withExponent ? body.input('exponent') : undefined;
  const constant = (name: string, value: number) =>
    body.node('Constant', [], { value: int64(value) }, { name });
  const dims = (name: string, of: string, start: number, end?: number) =>
    body.node('Shape', [of], { start: { int: start }, ...(end && { end: { int: end } }) }, { name });
  const shape = (...parts: readonly string[]) => body.node('Concat', parts, { axis: { int: 0 } });
  const reshape = (name: string, of: string, ...parts: readonly string[]) =>
    body.node('Reshape', [of, shape(...parts)], {}, { name });

  const one = constant('one', 1);
  const rest = constant('rest', -1);
  const group = body.node('Constant', [], { value_int: { reference: 'group', type: ReferenceType.Int } });
  const groups = body.node('Reshape', [group, one], {}, { name: 'groups' });
  const batch = dims('batch', x, 0, 1);
  const outChannels = dims('out_channels', w, 0, 1);
  const groupChannels = dims('group_channels', w, 1, 2);
  const kernel = dims('kernel', w, 2);
  const positions = body.node('ReduceProd', [kernel], { keepdims: { int: 1 } }, { name: 'positions' });
  const taps = body.node('Mul', [groupChannels, positions], {}, { name: 'taps' });

  // Patches [batch * in, kernel^2, height', width']: filter i is the kernel with a one at position i and zeros elsewhere.
  const square = body.node('ConstantOfShape', [shape(positions, positions)]);
  const identity = body.node('EyeLike', [square], { dtype: { int: 1 } }, { name: 'identity' });
  const planes = reshape('planes', x, rest, one, dims('size', x, 2));
  const patches = body.node(
    'Conv',
    [planes, reshape('pickers', identity, positions, one, kernel)],
    Object.fromEntries(
      ['kernel_shape', 'strides', 'pads'].map((name) => [
        name,
        { reference: name, type: ReferenceType.Ints },
      ]),
    ),
    { name: 'patches' },
  );

  // Taps first: patches [taps, batch, groups, 1, height' * width'], weights [taps, groups, out / groups, 1].
  const patchTaps = body.node(
    'Transpose',
    [reshape('grouped_patches', patches, batch, groups, taps, one, rest)],
    { perm: { ints: [2, 0, 1, 3, 4] } },
    { name: 'patch_taps' },
  );
  const weightTaps = body.node(
    'Transpose',
    [reshape('grouped_weights', w, groups, rest, taps, one)],
    { perm: { ints: [2, 0, 1, 3] } },
    { name: 'weight_taps' },
  );
  const zeros = body.node('ConstantOfShape', [
    shape(batch, dims('weight_shape', weightTaps, 1, 3), dims('out_positions', patchTaps, 4)),
  ]);
  const total = body.node(
    'Scan',
    [zeros, patchTaps, weightTaps],
    { body: { graph: tapBody(body, exponent) }, num_scan_inputs: { int: 2 } },
    { name: 'total' },
  );
  body.output(reshape('y', total, batch, outChannels, dims('out_size', patches, 2)));
  return body;
}

/** One tap: total [batch, groups, out / groups, positions] minus |x - w|, or its power. */
function tapBody(outer: OnnxGraph, exponent: string | undefined): OnnxGraph {
  const tap = new OnnxGraph('tap', outer);
  const total = tap.input('total_before');
  const difference = tap.node('Sub', [tap.input('x_tap'), tap.input('w_tap')]);
  const distance = tap.node('Abs', [difference]);
  const term = exponent === undefined ? distance : tap.node('Pow', [distance, exponent]);
  tap.output(tap.node('Sub', [total, term], {}, { name: 'total_after' }));
  return tap;
}

function int64(value: number) {
  return { tensor: { dims: [1], data: BigInt64Array.of(BigInt(value)) } };
}
