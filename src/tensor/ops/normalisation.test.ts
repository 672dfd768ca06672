import { describe, expect, it } from 'vitest';
import '../choose-device.js';
import { normals } from '../float64.cases.js';
import { Tape } from '../tape.js';
import { Tensor } from '../tensor.js';
import { batchNorm, batchNormInference, layerNorm } from './normalisation.js';
import { mul } from './binary.js';
import { sum } from './reduction.js';

describe('normalisation by given moments', () => {
  const [rows, channels, epsilon] = [7, 5, 1e-3];
  const x = normals(rows * channels, 'x');
  const weight = normals(rows * channels, 'weight');
  const gamma = normals(channels, 'gamma').map((value) => 1 + 0.3 * value);
  const beta = normals(channels, 'beta');
  const mean = normals(channels, 'mean');
  const variance = normals(channels, 'variance').map((value) => 0.5 + value * value);

  /** The sum of weight times the definition, in float64. */
  function definition(
    of: { x: Float64Array; gamma: Float64Array; beta: Float64Array },
    relu: boolean,
  ): number {
    return of.x.reduce((total, value, i) => {
      const c = i % channels;
      const unit = (value - mean[c]!) / Math.sqrt(variance[c]! + epsilon);
      const y = of.gamma[c]! * unit + of.beta[c]!;
      return total + weight[i]! * (relu ? Math.max(0, y) : y);
    }, 0);
  }

  it.each([
    { relu: false, trained: true },
    { relu: true, trained: true },
    { relu: true, trained: false },
  ])('has the gradient of its definition: %j', ({ relu, trained }) => {
    const tensors = {
      x: Tensor.persistent([rows, channels], x, true),
      gamma: Tensor.persistent([channels], gamma, trained),
      beta: Tensor.persistent([channels], beta, trained),
    };
    const weights = Tensor.persistent([rows, channels], weight);
    const { value, tape } = Tape.record(() => {
      const moments = { mean, variance };
      const y = batchNormInference(tensors.x, tensors.gamma, tensors.beta, moments, { epsilon, relu });
      return sum(mul(y, weights));
    });
    tape.backward(value);
    for (const name of ['x', 'gamma', 'beta'] as const) {
      const { gradient } = tensors[name];
      if (name !== 'x' && !trained) {
        expect(gradient).toBeUndefined();
        continue;
      }
      tensors[name].data.forEach((_, i) => {
        const moved = (by: number): number => {
          const all = {
            x: Float64Array.from(x),
            gamma: Float64Array.from(gamma),
            beta: Float64Array.from(beta),
          };
          all[name][i]! += by;
          return definition(all, relu);
        };
        expect(Math.abs(gradient![i]! - (moved(1e-5) - moved(-1e-5)) / 2e-5)).toBeLessThan(2e-4);
      });
    }
  });
});

it('an epsilon that makes no sense is refused by every norm', () => {
  const [x, one] = [Tensor.persistent([2, 3], normals(6, 'x')), Tensor.persistent([3], [1, 1, 1])];
  const moments = { mean: new Float32Array(3), variance: new Float32Array(3) };
  for (const epsilon of [-5, Number.NaN, Number.POSITIVE_INFINITY]) {
    const options = { epsilon, relu: false };
    expect(() => batchNorm(x, one, one, options)).toThrow(`batchNorm: epsilon ${epsilon} is not`);
    expect(() => layerNorm(x, one, one, options)).toThrow(`layerNorm: epsilon ${epsilon} is not`);
    expect(() => batchNormInference(x, one, one, moments, options)).toThrow(`epsilon ${epsilon} is not`);
  }
});
