/**
 * @file Shift layers, DeepShift-PS (Elhoushi et al., CVPRW'21, arXiv 1905.13298), 5 bits: sign and exponent are trained.
 *
 * A weight is made of an exponent P and a value s: w = sign(round(s)) 2^round(P), with P clamped to [-14, 0] and halves
 * rounded to even, so |s| <= 1/2 makes a zero. 31 values. Gradients are straight-through: rounding and clamp pass them
 * unchanged, dL/dP = dL/dw w ln 2 and, as published, dL/ds = dL/dw without the factor 2^P, since with it small weights
 * would hardly ever change their sign. s itself is never rounded in place. The code of ShiftAddNAS does that in some of its
 * layers, with a threshold of 0.3: steps of a thousandth then never cross it, and the signs of the first step are frozen.
 * `pot.ps.compat` does so too, to compare with its accuracies.
 */
import { Primitive } from '../../hardware/layer.js';
import { kernels } from '../../tensor/device.js';
import { BinaryKind, UnaryKind } from '../../tensor/kinds.js';
import { release, take } from '../../tensor/pool.js';
import { give, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry, OperatorFamily, InvertibleSharingMap } from '../contract.js';
import { weightCount } from '../initialisation.js';
import {
  addScalar,
  multiply,
  planeOf,
  reparameterised,
  type Reparameterisation,
} from '../reparameterised.js';
import { maskedByZero } from '../masking.js';
import { powerOfTwoSquare, productVariance } from '../variance.js';
import type { Random } from '../../base/random.js';

const weightBits = 5;
const minExponent = -(2 ** (weightBits - 1) - 2);

/** Adding it to a float32 below 2^22 leaves no bits behind the point. */
const roundingOffset = 1.5 * 2 ** 23;

/** y = round(min(max(x, low), high)), halves to even. */
function roundClamped(x: Float32Array, low: number, high: number, y: Float32Array): void {
  kernels().unary(UnaryKind.Clamp, low, high, x, y);
  addScalar(y, roundingOffset, y);
  addScalar(y, -roundingOffset, y);
}

/** How s becomes a sign. */
interface Signs {
  /** Writes -1, 0 or 1 for each s. */
  readonly of: (s: Float32Array, signs: Float32Array) => void;
  /** Whether s becomes its sign in place, at the start and after every step. */
  readonly inPlace: boolean;
}

const rounded: Signs = { of: (s, signs) => roundClamped(s, -1, 1, signs), inPlace: false };

/** The default of the released layers. */
const releasedThreshold = Math.fround(0.3);
const releasedSigns: Signs = {
  of(s, signs) {
    for (let i = 0; i < s.length; i++) {
      const value = s[i] as number;
      signs[i] = Math.abs(value) <= releasedThreshold ? 0 : Math.sign(value);
    }
  },
  inPlace: true,
};

const signAndExponent = (signsBy: Signs): Reparameterisation => ({
  op: 'signAndExponent',
  planes: 2,
  make(stored, weights) {
    const { length } = weights;
    roundClamped(planeOf(stored, 0, length), minExponent, 0, weights);
    // The exponential is not exact to the last bit; the nearest power of two is.
    kernels().scale(Math.LN2, weights);
    kernels().unary(UnaryKind.Exponential, 0, 0, weights, weights);
    kernels().powerOfTwo(minExponent, 0, weights, weights);
    const signs = take(length);
    signsBy.of(planeOf(stored, 1, length), signs);
    multiply(weights, signs, weights);
    release(signs);
  },
  chain(stored, dWeights, dStored) {
    const { length } = dWeights;
    const dExponents = planeOf(dStored, 0, length);
    this.make(stored, dExponents);
    multiply(dExponents, dWeights, dExponents);
    kernels().scale(Math.LN2, dExponents);
    planeOf(dStored, 1, length).set(dWeights);
  },
});

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
const logarithmSharing: InvertibleSharingMap = {
  parameters: [],
  apply: (shared: Tensor) =>
    record(
      'logarithmAndSign',
      [shared],
      [2, ...shared.shape],
      (planes) => {
        const [p, s] = [planeOf(planes, 0, shared.size), planeOf(planes, 1, shared.size)];
        kernels().unary(UnaryKind.Absolute, 0, 0, shared.data, p);
        // An exact zero has s = 0; any finite exponent will do.
        kernels().unary(UnaryKind.Clamp, 2 ** -100, 2 ** 100, p, p);
        kernels().unary(UnaryKind.Logarithm, 0, 0, p, p);
        kernels().scale(Math.LOG2E, p);
        kernels().unary(UnaryKind.Sign, 0, 0, shared.data, s);
      },
      (dPlanes) => {
        const { size } = shared;
        const [dShared, magnitudes] = [take(size), take(size)];
        kernels().unary(UnaryKind.Sign, 0, 0, shared.data, dShared);
        multiply(dShared, planeOf(dPlanes, 0, size), dShared);
        kernels().unary(UnaryKind.Absolute, 0, 0, shared.data, magnitudes);
        kernels().unary(UnaryKind.Clamp, 2 ** minExponent, Infinity, magnitudes, magnitudes);
        kernels().binary(
          BinaryKind.Divide,
          [{ extent: size, a: true, b: true }],
          dShared,
          magnitudes,
          dShared,
        );
        kernels().scale(Math.LOG2E, dShared);
        release(magnitudes);
        give(shared, dShared);
      },
      { tensors: [shared], output: false },
    ),
  /** A zero is nothing but zero; of other weights the exponent counts unrounded. */
  invert(stored) {
    const count = stored.length / 2;
    return Float32Array.from({ length: count }, (_, i) => {
      const s = stored[count + i] as number;
      return Math.abs(s) <= 0.5 ? 0 : Math.sign(s) * 2 ** (stored[i] as number);
    });
  },
};

function deepShiftPs(
  shown: Pick<OperatorFamily, 'name' | 'shortName' | 'title' | 'colour'>,
  signs: Signs,
): OperatorFamily {
  const planes = signAndExponent(signs);
  const settle = (stored: Float32Array): Float32Array => {
    const s = stored.subarray(stored.length / 2);
    if (signs.inPlace) signs.of(s, s);
    return stored;
  };
  const layer = reparameterised(planes);
  return {
    ...shown,
    ...layer,
    // s = 0 makes a zero.
    masking: maskedByZero(layer, 1),
    initialWeights: (geometry, random) => settle(initialWeights(geometry, random)),
    /** P back into [-14, 0], as DeepShift does before each forward pass. */
    project(stored) {
      const exponents = stored.subarray(0, stored.length / 2);
      kernels().unary(UnaryKind.Clamp, minExponent, 0, exponents, exponents);
      settle(stored);
    },
    /** Decay of P would pull every weight to 2^0; the penalty acts on the weights instead. */
    decay: false,
    /** weightDecay / 2 sum w^2, whose gradient weightDecay w goes back by the same rule as the loss. */
    penalty(stored, weightDecay, gradient) {
      if (weightDecay === 0) return;
      const count = stored.length / 2;
      const weights = take(count);
      planes.make(stored, weights);
      kernels().axpy(weightDecay, weights, planeOf(gradient, 1, count));
      kernels().unary(UnaryKind.Square, 0, 0, weights, weights);
      kernels().axpy(weightDecay * Math.LN2, weights, planeOf(gradient, 0, count));
      release(weights);
    },
    sharing: logarithmSharing,
    piecewise: { stored: (values) => logarithmSharing.apply(values, []), publishedPlanes: 2 },
    variance: productVariance(powerOfTwoSquare(Math.SQRT2)),
    primitive: Primitive.Shift,
    operandBits: { weight: weightBits, activation: 32, partialSum: 32 },
  };
}

export const potPs = deepShiftPs(
  { name: 'pot.ps', shortName: 'shift-ps', title: 'Shift (DeepShift-PS, 5 bit)', colour: '#b8552b' },
  rounded,
);

export const potPsCompat = deepShiftPs(
  {
    name: 'pot.ps.compat',
    shortName: 'shift-ps-compat',
    title: 'Shift (DeepShift-PS, frozen signs as released, compat)',
    colour: '#d9a184',
  },
  releasedSigns,
);
