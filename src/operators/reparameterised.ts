/**
 * @file Convolutions whose weights are each made of several trained values: sign and exponent, sign and bits.
 *
 * The values of one kind form a plane, one value per weight in the order of the weights, and the planes follow each
 * other in memory. A family says how weights are made of planes and by which rule their gradient goes back; the layer,
 * its export and the values it computes with follow.
 */
import { lowerConvolution } from '../nn/onnx/layers.js';
import { kernels } from '../tensor/device.js';
import { BinaryKind } from '../tensor/kinds.js';
import { conv2d } from '../tensor/ops/convolution.js';
import { contribute, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { LayerGeometry, OperatorFamily } from './contract.js';
import { weightCount } from './initialisation.js';
import type { Random } from '../base/random.js';

/** How `planes` trained values make a weight. In every buffer of planes, those of weight i are at i + plane * weights. */
export interface Reparameterisation {
  /** Name of the op on the tape. */
  readonly op: string;
  readonly planes: number;
  /** Writes the weights. A NaN in one of its values makes a weight NaN. */
  make(stored: Float32Array, weights: Float32Array): void;
  /** Writes the gradient of every stored value, given that of the weights. */
  chain(stored: Float32Array, dWeights: Float32Array, dStored: Float32Array): void;
}

/** The part of a family that follows from its reparameterisation. */
export function reparameterised(
  by: Reparameterisation,
): Required<Pick<OperatorFamily, 'planes' | 'forward' | 'effectiveWeights' | 'lower'>> {
  const effectiveWeights = (stored: Float32Array): Float32Array => {
    const weights = new Float32Array(stored.length / by.planes);
    by.make(stored, weights);
    return weights;
  };
  const made = (stored: Tensor): Tensor =>
    record(
      by.op,
      [stored],
      stored.shape.slice(1),
      (weights) => by.make(stored.data, weights),
      (dWeights) => contribute(stored, (dStored) => by.chain(stored.data, dWeights, dStored)),
      { tensors: [stored], output: false },
    );
  return {
    planes: by.planes,
    forward: (x, stored, geometry) => conv2d(x, made(stored), geometry),
    effectiveWeights,
    lower: (graph, name, input, stored, geometry) =>
      lowerConvolution(graph, name, input, effectiveWeights(stored), geometry),
  };
}

/** Plane `plane` of stored values of `weights` weights. */
export function planeOf(stored: Float32Array, plane: number, weights: number): Float32Array {
  return stored.subarray(plane * weights, (plane + 1) * weights);
}

/** y = x + value; `y` may be `x`. */
export function addScalar(x: Float32Array, value: number, y: Float32Array): void {
  const axes = [{ extent: x.length, a: true, b: false }];
  kernels().binary(BinaryKind.Add, axes, x, Float32Array.of(value), y);
}

/** y = a * b; `y` may be either. */
export function multiply(a: Float32Array, b: Float32Array, y: Float32Array): void {
  kernels().binary(BinaryKind.Multiply, [{ extent: a.length, a: true, b: true }], a, b, y);
}

/**
 * N(0, 0.001^2) for every plane: DenseShift's low-variance initialisation. All values start next to the border where
 * they change the weight, so that few steps decide on each.
 */
export const lowVarianceNormal =
  (planes: number) =>
  (geometry: LayerGeometry, random: Random): Float32Array =>
    Float32Array.from({ length: planes * weightCount(geometry) }, () => 1e-3 * random.normal());
