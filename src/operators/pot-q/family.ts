/**
 * @file Shift layers, DeepShift-Q (Elhoushi et al., CVPRW'21, arXiv 1905.13298), 5 bits.
 *
 * Every weight is rounded to sign(W) 2^round(log2 |W|) with the exponent in [-15, 0]: 32 values, none of them zero, so
 * a product is a bit shift. The gradient passes the rounding unchanged (straight-through estimator). `pot.q.nearest`
 * rounds to the nearest value in the place of the nearest exponent.
 */
import { Primitive } from '../../hardware/layer.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { kernels } from '../../tensor/device.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { passOn, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { OperatorFamily } from '../contract.js';
import { kaimingUniform } from '../initialisation.js';
import { maskedByZero } from '../masking.js';
import { identitySharing } from '../sharing.js';
import { powerOfTwoSquare, productVariance } from '../variance.js';

const weightBits = 5;
const minExponent = -(2 ** (weightBits - 1) - 1);
const maxExponent = 0;

/** Writes the powers of two that weights stand for. */
type Rounding = (weights: Float32Array, powers: Float32Array) => void;

/** In the log domain: the border between 2^k and 2^(k + 1) is sqrt(2) 2^k. */
const inLogarithm: Rounding = (weights, powers) =>
  kernels().powerOfTwo(minExponent, maxExponent, weights, powers);

const [float, bits] = sameBits();
function sameBits(): readonly [Float32Array, Int32Array] {
  const memory = new ArrayBuffer(4);
  return [new Float32Array(memory), new Int32Array(memory)];
}

/** By value: the border is 1.5 2^k, where the upper half of the mantissa begins. Zeros and NaN stay. */
const byValue: Rounding = (weights, powers) => {
  const [least, most] = [2 ** minExponent, 2 ** maxExponent];
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i] as number;
    if (w === 0 || Number.isNaN(w)) {
      powers[i] = w;
      continue;
    }
    float[0] = Math.min(most, Math.max(least, Math.abs(w)));
    bits[0] = ((bits[0] as number) + 0x400000) & 0x7f800000;
    powers[i] = Math.sign(w) * (float[0] as number);
  }
};

/** DeepShift-Q with this rounding, whose gradient is straight-through. */
function deepShiftQ(
  shown: Pick<OperatorFamily, 'name' | 'shortName' | 'title' | 'colour'>,
  round: Rounding,
  /** Between 1 and 2. */
  border: number,
): OperatorFamily {
  const effectiveWeights = (weights: Float32Array): Float32Array => {
    const rounded = new Float32Array(weights.length);
    round(weights, rounded);
    return rounded;
  };
  const rounded = (weights: Tensor): Tensor =>
    record(
      'roundToPowerOfTwo',
      [weights],
      weights.shape,
      (q) => round(weights.data, q),
      (dq) => passOn(weights, dq),
      { tensors: [], output: false },
    );
  const layer: Pick<OperatorFamily, 'forward' | 'effectiveWeights' | 'lower'> = {
    forward: (x, weights, geometry) => conv2d(x, rounded(weights), geometry),
    effectiveWeights,
    lower: (graph, name, input, weights, geometry) =>
      lowerConvolution(graph, name, input, effectiveWeights(weights), geometry),
  };
  return {
    ...shown,
    initialWeights: kaimingUniform,
    ...layer,
    masking: maskedByZero(layer),
    project,
    sharing: identitySharing,
    piecewise: {},
    variance: productVariance(powerOfTwoSquare(border)),
    primitive: Primitive.Shift,
    operandBits: { weight: weightBits, activation: 32, partialSum: 32 },
  };
}

/** |W| back into [2^-15, 1], as DeepShift does before each forward pass; exact zeros stay. */
function project(weights: Float32Array): void {
  const smallest = 2 ** minExponent;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i] as number;
    const magnitude = Math.abs(w);
    if (magnitude > 1) weights[i] = Math.sign(w);
    else if (magnitude < smallest && w !== 0) weights[i] = Math.sign(w) * smallest;
  }
}

export const potQ = deepShiftQ(
  { name: 'pot.q', shortName: 'shift', title: 'Shift (DeepShift-Q, 5 bit)', colour: '#d98f1f' },
  inLogarithm,
  Math.SQRT2,
);

/** Rounded by value, as ShiftAddNet rounds: the largest relative error is 1/3 in the place of sqrt(2) - 1. */
export const potQNearest = deepShiftQ(
  {
    name: 'pot.q.nearest',
    shortName: 'shift-nearest',
    title: 'Shift (DeepShift-Q, nearest value)',
    colour: '#ecc07a',
  },
  byValue,
  1.5,
);
