/**
 * @file Shift layers, DeepShift-PS (Elhoushi et al., CVPRW'21, arXiv 1905.13298), 5 bits: sign and exponent are trained.
 *
 * A weight is made of an exponent P and a value s: w = sign(round(s)) 2^round(P), with P clamped to [-14, 0] and halves
 * rounded to even, so |s| <= 1/2 makes a zero. 31 values. Gradients are straight-through: rounding and clamp pass them
 * unchanged, dL/dP = dL/dw w ln 2 and, as published, dL/ds = dL/dw without the factor 2^P, since with it small weights
 * would hardly ever change their sign. s itself is never rounded in place; the code of ShiftAddNAS does that in one of
 * its layers, which freezes the signs of the first step.
 */
import { Primitive } from '../../hardware/layer.js';
import { kernels } from '../../tensor/device.js';
import { UnaryKind } from '../../tensor/kinds.js';
import { take } from '../../tensor/pool.js';
import { give, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry, OperatorFamily, SharingMap } from '../contract.js';
import { weightCount } from '../initialisation.js';
import { reparameterised, type Reparameterisation } from '../reparameterised.js';
import { isNegative, wordsOf } from '../sign-bits.js';
import type { Random } from '../../base/random.js';

const weightBits = 5;
const minExponent = -(2 ** (weightBits - 1) - 2);
const smallest = 2 ** minExponent;
/** 2^e at e + 14. */
const powers = Float32Array.from({ length: 1 - minExponent }, (_, n) => 2 ** (minExponent + n));

/** Adding it to a float32 below 2^22 leaves no bits behind the point: rounding to whole numbers, halves to even. */
const roundingOffset = 1.5 * 2 ** 23;

// Without branches: signs are as good as random, and every second guess of the processor would be wrong.

/** 2^round(P) with P clamped to [-14, 0]. NaN stays. */
function powerAt(p: number): number {
  const clamped = Math.max(minExponent, Math.min(0, p));
  return powers[Math.fround(clamped + roundingOffset) - roundingOffset - minExponent] as number;
}

/** sign(round(s)): -1, 0 or 1. NaN stays. */
function ternary(s: number): number {
  return Math.fround(Math.max(-1, Math.min(1, s)) + roundingOffset) - roundingOffset;
}

const weightOf = (p: number, s: number): number => ternary(s) * powerAt(p);

const signAndExponent: Reparameterisation = {
  op: 'signAndExponent',
  planes: 2,
  make(stored, weights) {
    const { length } = weights;
    for (let i = 0; i < length; i++) weights[i] = weightOf(stored[i] as number, stored[length + i] as number);
  },
  chain(stored, dWeights, dStored) {
    const { length } = dWeights;
    for (let i = 0; i < length; i++) {
      const weight = weightOf(stored[i] as number, stored[length + i] as number);
      dStored[i] = (dWeights[i] as number) * weight * Math.LN2;
    }
    dStored.set(dWeights, length);
  },
};

/** P ~ U(-10, -1) and s ~ U(-1, 1), as in DeepShift's convolutions: half of the weights start as zeros. */
function initialWeights(geometry: LayerGeometry, random: Random): Float32Array {
  const count = weightCount(geometry);
  return Float32Array.from({ length: 2 * count }, (_, i) =>
    i < count ? -10 + 9 * random.uniform() : 2 * random.uniform() - 1,
  );
}

/**
 * P = log2 |S| and s = sign(S). The gradient of the exponent goes back as dS = dP / (S ln 2) with |S| not below the
 * smallest power, so that a shared value gets dL/dw w / S: straight-through, as in pot.q. s is constant on either side
 * of zero, and S changes sides by itself.
 */
const logarithmSharing: SharingMap = {
  parameters: [],
  apply: (shared: Tensor) =>
    record(
      'logarithmAndSign',
      [shared],
      [2, ...shared.shape],
      (planes) => {
        const [p, s] = [planes.subarray(0, shared.size), planes.subarray(shared.size)];
        kernels().unary(UnaryKind.Absolute, 0, 0, shared.data, p);
        // An exact zero has s = 0; any finite exponent will do.
        kernels().unary(UnaryKind.Clamp, 2 ** -100, 2 ** 100, p, p);
        kernels().unary(UnaryKind.Logarithm, 0, 0, p, p);
        kernels().scale(Math.LOG2E, p);
        kernels().unary(UnaryKind.Sign, 0, 0, shared.data, s);
      },
      (dPlanes) => {
        const { data, size } = shared;
        const words = wordsOf(data);
        const dShared = take(size);
        for (let i = 0; i < size; i++) {
          const magnitude = Math.max(Math.abs(data[i] as number), smallest);
          const sign = 1 - 2 * isNegative(words[i] as number);
          dShared[i] = (sign * (dPlanes[i] as number)) / (magnitude * Math.LN2);
        }
        give(shared, dShared);
      },
      { tensors: [shared], output: false },
    ),
  invert(stored) {
    const count = stored.length / 2;
    return Float32Array.from(
      { length: count },
      (_, i) => ternary(stored[count + i] as number) * 2 ** (stored[i] as number),
    );
  },
};

export const potPs: OperatorFamily = {
  name: 'pot.ps',
  shortName: 'shift-ps',
  title: 'Shift (DeepShift-PS, 5 bit)',
  colour: '#b8552b',
  ...reparameterised(signAndExponent),
  initialWeights,
  /** P back into [-14, 0], as DeepShift does before each forward pass. */
  project(stored) {
    const exponents = stored.subarray(0, stored.length / 2);
    kernels().unary(UnaryKind.Clamp, minExponent, 0, exponents, exponents);
  },
  /** Decay of P would pull every weight to 2^0; the penalty acts on the weights instead. */
  decay: false,
  /** weightDecay / 2 sum w^2, whose gradient weightDecay w goes back by the same rule as the loss. */
  penalty(stored, weightDecay, gradient) {
    if (weightDecay === 0) return;
    const count = stored.length / 2;
    for (let i = 0; i < count; i++) {
      const weight = weightOf(stored[i] as number, stored[count + i] as number);
      const decayed = weightDecay * weight;
      gradient[i] = (gradient[i] as number) + decayed * weight * Math.LN2;
      gradient[count + i] = (gradient[count + i] as number) + decayed;
    }
  },
  sharing: logarithmSharing,
  primitive: Primitive.Shift,
  operandBits: { weight: weightBits, activation: 32, partialSum: 32 },
};
