/**
 * @file What the layers of ShiftAddNet (You et al., NeurIPS'20, arXiv 2010.12785) have in common: a shift layer from in
 * to out channels, and behind it, with nothing between, an add layer from out to out channels on the output map.
 *
 * The add layer is that of AdderNet with its gradient rules and its adaptive rate, and the chain rule goes through both.
 * The release also rounds activations to multiples of 2^-15; here they are float32.
 */
import { ShapeError } from '../../base/errors.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { tidy } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { add } from '../add/family.js';
import { layerInput, type LayerGeometry, type OperatorFamily, type OwnTensor } from '../contract.js';
import { weightShape } from '../layer.js';
import { chainedVariance } from '../variance.js';

/** The add layer behind a shift layer of this geometry. @throws ShapeError for an even kernel, which moves the map */
export function addGeometry({ outChannels, kernel, groups }: LayerGeometry): LayerGeometry {
  if (kernel % 2 === 0)
    throw new ShapeError(
      `shiftadd: its add layer keeps the map, which a kernel of ${kernel} cannot; choose an odd one`,
    );
  return { inChannels: outChannels, outChannels, kernel, stride: 1, padding: (kernel - 1) / 2, groups };
}

const addWeight: OwnTensor = {
  name: 'addWeight',
  shape: (geometry) => weightShape(addGeometry(geometry)),
  initialValues: (geometry, random) => add.initialWeights(addGeometry(geometry), random),
  decay: true,
  ...(add.adaptiveRate !== undefined && { adaptiveRate: add.adaptiveRate }),
};

/** What a shift layer needs to be the first half. */
export type ShiftHalf = Pick<OperatorFamily, 'forward' | 'lower' | 'primitive' | 'operandBits' | 'variance'>;

type Composite = Pick<
  OperatorFamily,
  'own' | 'needsNorm' | 'forward' | 'lower' | 'primitive' | 'operandBits' | 'parts' | 'variance'
>;

/** The layer made of `shift` and an add layer behind it. Exported as two nodes, `NAME.shift` and `NAME`. */
export function addBehind(shift: ShiftHalf): Composite {
  const { primitive, operandBits } = shift;
  return {
    own: [addWeight],
    needsNorm: true,
    forward: (x, weights, geometry, own) =>
      tidy(() =>
        add.forward(shift.forward(x, weights, geometry), first(own, 'forward'), addGeometry(geometry)),
      ),
    variance: chainedVariance(shift.variance, add.variance, addGeometry),
    primitive: add.primitive,
    operandBits: add.operandBits,
    parts: (layer) => {
      const { outHeight, outWidth, outChannels } = layer;
      const behind = { inHeight: outHeight, inWidth: outWidth, inChannels: outChannels, stride: 1 };
      return [
        { ...layer, name: 'shift', primitive, operandBits, reads: [layerInput] },
        { ...layer, ...behind, primitive: add.primitive, operandBits: add.operandBits, reads: ['shift'] },
      ];
    },
    lower(graph: OnnxGraph, name, input, weights, geometry, own) {
      const shifted = shift.lower(graph, `${name}.shift`, input, weights, geometry);
      return add.lower(graph, name, shifted, first(own, 'lower'), addGeometry(geometry));
    },
  };
}

function first<T extends Tensor | Float32Array>(own: readonly T[] | undefined, method: string): T {
  const weights = own?.[0];
  if (weights === undefined) throw new Error(`shiftadd: ${method} needs the weights of the add layer`);
  return weights;
}
