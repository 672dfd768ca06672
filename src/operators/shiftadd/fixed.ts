/**
 * @file Shift-add layers with fixed random shifts: the variant of ShiftAddNet (NeurIPS'20) whose add layers alone learn.
 *
 * As in the release: exponents round(N(-3.5, 1)) clamped to [-7, 0] (powers below 5e-3 are not used), and signs from
 * U(-1, 1), zero within 1/2: half of the weights are zero.
 */
import type { Random } from '../../base/random.js';
import { Primitive } from '../../hardware/layer.js';
import { lowerConvolution } from '../../nn/onnx/layers.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import type { LayerGeometry, OperatorFamily } from '../contract.js';
import { weightCount } from '../initialisation.js';
import { identitySharing } from '../sharing.js';
import { productVariance } from '../variance.js';
import { addBehind } from './composite.js';

const minExponent = -7;

function randomShift(random: Random): number {
  const exponent = Math.min(0, Math.max(minExponent, Math.round(minExponent / 2 + random.normal())));
  const sign = 2 * random.uniform() - 1;
  return Math.abs(sign) <= 0.5 ? 0 : Math.sign(sign) * 2 ** exponent;
}

export const shiftAddFixed: OperatorFamily = {
  name: 'shiftadd.fixed',
  shortName: 'shiftadd-fixed',
  title: 'Shift-add, fixed shifts (ShiftAddNet)',
  colour: '#b493d6',
  fixedWeights: true,
  initialWeights: (geometry: LayerGeometry, random: Random) =>
    Float32Array.from({ length: weightCount(geometry) }, () => randomShift(random)),
  effectiveWeights: (weights) => weights,
  sharing: identitySharing,
  ...addBehind({
    forward: conv2d,
    lower: lowerConvolution,
    primitive: Primitive.Shift,
    // 17 values: eight exponents with a sign, and zero.
    operandBits: { weight: 5, activation: 32, partialSum: 32 },
    // They are drawn as powers of two; their own deviation is the unit.
    variance: productVariance(1),
  }),
};
