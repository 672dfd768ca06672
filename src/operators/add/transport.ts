/**
 * @file The sharing map of add layers: optimal transport from a Gaussian to a Laplacian, in closed form.
 *
 * Convolution weights are close to Gaussian, adder weights close to Laplacian. For a shared tensor S with standard
 * deviation s (about its zero mean) the add layer's weights are r F^-1(Phi(S / s)), where Phi is the normal and F the
 * Laplacian distribution function with scale 1, and r = e^q a learned scale, positive whatever q becomes. The idea is
 * of ShiftAddAug (arXiv 2407.02881); ShiftAddNAS itself multiplies 100 value bins by learned factors, drops the
 * largest weight and flips signs at random. The map is odd, monotone and needs no segments.
 */
import { kernels } from '../../tensor/device.js';
import type { OddTable } from '../../tensor/kernels.js';
import { take } from '../../tensor/pool.js';
import { requireShape } from '../../tensor/shape.js';
import { contribute, give, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { InvertibleSharingMap } from '../contract.js';
import { deviationOf } from '../statistics.js';

/** ln r for unit variance: a Laplacian of scale b has variance 2 b^2, and AdderNet starts its weights at variance 1. */
const initialLogScale = Math.log(Math.SQRT1_2);

// T(z) = F^-1(Phi(z)) = -ln(2 (1 - Phi(z))) for z >= 0, tabulated with linear interpolation (error below 1e-6).
const tableEnd = 8;
const pointsPerUnit = 512;
const exact = Float64Array.from({ length: tableEnd * pointsPerUnit + 2 }, (_, i) =>
  transportExact(i / pointsPerUnit),
);
const slopes = exact.slice(1).map((next, i) => (next - (exact[i] as number)) * pointsPerUnit);
const table: OddTable = {
  pointsPerUnit,
  values: Float32Array.from(exact.subarray(0, -1)),
  slopes: Float32Array.from(slopes),
};

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

/** The last grid point at or below |z|; beyond the table's end its last cell goes on linearly. */
function pointBelow(magnitude: number): number {
  return Math.min(Math.floor(magnitude * pointsPerUnit), slopes.length - 1);
}

/** T(z), odd. */
export function transport(z: number): number {
  const magnitude = Math.abs(z);
  const point = pointBelow(magnitude);
  const beyond = magnitude - point / pointsPerUnit;
  return Math.sign(z) * ((exact[point] as number) + (slopes[point] as number) * beyond);
}

/** T'(z) of the tabulated map: the normal's inverse Mills ratio, up to the table's step. */
export function transportSlope(z: number): number {
  return slopes[pointBelow(Math.abs(z))] as number;
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
  const scale = (): number => Math.exp(logScale.data[0] as number);
  return record(
    'transport',
    [shared, logScale],
    shared.shape,
    (weights) => kernels().oddTable(table, 1 / deviation, scale(), shared.data, weights),
    (dWeights) => {
      const dShared = take(shared.size);
      const r = scale();
      const sum = kernels().oddTableGradient(table, 1 / deviation, r, shared.data, dWeights, dShared);
      give(shared, dShared);
      contribute(logScale, (gradient) => (gradient[0] = r * sum));
    },
    { tensors: [shared, logScale], output: false },
  );
}

export const transportSharing: InvertibleSharingMap = {
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
