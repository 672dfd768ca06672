/**
 * @file The sharing map of add layers: optimal transport from a Gaussian to a Laplacian, in closed form.
 *
 * Convolution weights are close to Gaussian, adder weights close to Laplacian. For a shared tensor S with standard
 * deviation s (about its zero mean) the add layer's weights are r F^-1(Phi(S / s)), where Phi is the normal and F the
 * Laplacian distribution function with scale 1, and r = e^q a learned scale, positive whatever q becomes. The idea is
 * of ShiftAddAug (arXiv 2407.02881); ShiftAddNAS itself multiplies 100 value bins by learned factors, drops the
 * largest weight and flips signs at random. The map is odd, monotone and needs no segments.
 */
import { requireShape } from '../../tensor/shape.js';
import { contribute, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { SharingMap } from '../contract.js';
import { deviationOf } from '../statistics.js';

/** ln r for unit variance: a Laplacian of scale b has variance 2 b^2, and AdderNet starts its weights at variance 1. */
const initialLogScale = Math.log(Math.SQRT1_2);

// T(z) = F^-1(Phi(z)) = -ln(2 (1 - Phi(z))) for z >= 0, tabulated with linear interpolation (error below 1e-6).
const tableEnd = 8;
const cellsPerUnit = 512;
const table = Float64Array.from({ length: tableEnd * cellsPerUnit + 2 }, (_, i) =>
  transportExact(i / cellsPerUnit),
);

/** T(z) for z >= 0, straight from the upper tail of the normal distribution. */
export function transportExact(z: number): number {
  return -Math.log(2 * normalUpperTail(z));
}

/** P(Z > z) for z >= 0 by the continued fraction for large z and the power series of the normal integral for small. */
export function normalUpperTail(z: number): number {
  const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let term = z;
    let sum = z;
    for (let k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) sum += term *= (z * z) / (2 * k + 1);
    return 0.5 - density * sum;
  }
  let fraction = z;
  for (let k = 60; k >= 1; k--) fraction = z + k / fraction;
  return density / fraction;
}

/** The table's cell that holds |z|; beyond its end the last cell goes on linearly. */
function cellOf(magnitude: number): number {
  return Math.min(Math.floor(magnitude * cellsPerUnit), table.length - 2);
}

/** T(z), odd. */
export function transport(z: number): number {
  const magnitude = Math.abs(z);
  const cell = cellOf(magnitude);
  const low = table[cell] as number;
  return Math.sign(z) * (low + ((table[cell + 1] as number) - low) * (magnitude * cellsPerUnit - cell));
}

/** T'(z) of the tabulated map: the normal's inverse Mills ratio, up to the table's step. */
export function transportSlope(z: number): number {
  const cell = cellOf(Math.abs(z));
  return ((table[cell + 1] as number) - (table[cell] as number)) * cellsPerUnit;
}

/** T^-1(t), odd: the z with Phi(z) = F(t), by bisection (for round trips, not for training). */
export function inverseTransport(t: number): number {
  let low = 0;
  let high = tableEnd;
  while (transport(high) < Math.abs(t)) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (transport(middle) < Math.abs(t)) low = middle;
    else high = middle;
  }
  return Math.sign(t) * low;
}

/**
 * r T(S / s). Gradients: dS = r T'(S / s) / s dW with s held fixed, and dq = r sum T(S / s) dW. Batch norm makes every
 * multiplying family indifferent to s, so following it would only couple the elements for nothing.
 */
function applyTransport(shared: Tensor, logScale: Tensor): Tensor {
  requireShape('transport', 'logScale', logScale, [1], shared);
  const deviation = deviationOf(shared.data) || 1;
  return record(
    'transport',
    [shared, logScale],
    shared.shape,
    (weights) => {
      const r = Math.exp(logScale.data[0] as number);
      const source = shared.data;
      for (let i = 0; i < weights.length; i++) weights[i] = r * transport((source[i] as number) / deviation);
    },
    (dWeights) => {
      const source = shared.data;
      const r = Math.exp(logScale.data[0] as number);
      contribute(shared, (gradient) => {
        for (let i = 0; i < gradient.length; i++) {
          const slope = transportSlope((source[i] as number) / deviation);
          gradient[i] = ((dWeights[i] as number) * r * slope) / deviation;
        }
      });
      contribute(logScale, (gradient) => {
        let sum = 0;
        for (let i = 0; i < source.length; i++)
          sum += (dWeights[i] as number) * transport((source[i] as number) / deviation);
        gradient[0] = r * sum;
      });
    },
    { tensors: [shared, logScale], output: false },
  );
}

export const transportSharing: SharingMap = {
  parameters: [{ name: 'logScale', initial: initialLogScale }],
  apply(shared, own) {
    const logScale = own[0];
    if (logScale === undefined) throw new Error('the transport map needs its scale');
    return applyTransport(shared, logScale);
  },
  invert(weights, own, sharedStd) {
    const r = Math.exp(own[0] ?? initialLogScale);
    return weights.map((w) => sharedStd * inverseTransport(w / r));
  },
};
