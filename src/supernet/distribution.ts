/**
 * @file Terms of the loss that shape how the weights of a tensor are distributed, each with its exact gradient.
 *
 * `sorted` and `moment` are distances of standardised weights: the law is brought to the tensor's own size, so that the
 * terms shape the form and leave the norm, which weight decay and batch norms rule, alone. `published` is what was
 * released as a Kullback-Leibler divergence. It compares each weight with an unsorted random number after a softmax over
 * all of them: on average over the samples its minimum is at equal weights, whatever the law.
 */
import { argsort } from '../base/argsort.js';
import type { Random } from '../base/random.js';
import { deviationOf } from '../operators/statistics.js';
import { drawFrom, kurtosisOf, quantilesOf, WeightLaw } from '../operators/weight-laws.js';
import { contribute, record } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';

/** `weight` times a value, whose derivative by element i is `slope(i)`. */
function term(
  op: string,
  weights: Tensor,
  weight: number,
  of: (values: Float32Array) => { readonly value: number; readonly slope: (i: number) => number },
): Tensor {
  let slope: ((i: number) => number) | undefined;
  return record(
    op,
    [weights],
    [1],
    (output) => {
      const { value, slope: found } = of(weights.data);
      slope = found;
      output[0] = weight * value;
    },
    (dOutput) =>
      contribute(weights, (gradient) => {
        const factor = weight * (dOutput[0] as number);
        for (let i = 0; i < gradient.length; i++) gradient[i] = factor * slope!(i);
      }),
    { tensors: [weights], output: false },
  );
}

/**
 * `weight` times the mean square of z_(i) - q_i, where z_(i) are the weights in ascending order over their root mean
 * square and q_i the quantiles of the law with a root mean square of 1: 2 (1 - C) with C = mean of z_(i) q_i, one less
 * the root of the Shapiro-Francia statistic. Its gradient, -2 (q_i - C z_i) / (N rms), is orthogonal to the weights. All
 * zeros have no form: 0.
 */
export function sortedDistance(weights: Tensor, law: WeightLaw, weight: number): Tensor {
  return term('sortedDistance', weights, weight, (values) => {
    const count = values.length;
    const size = deviationOf(values);
    if (size === 0) return { value: 0, slope: () => 0 };
    const quantiles = quantilesOf(law, count);
    const aim = new Float64Array(count);
    const order = argsort(values);
    let product = 0;
    for (let rank = 0; rank < count; rank++) {
      const at = order[rank] as number;
      aim[at] = quantiles[rank] as number;
      product += (aim[at] as number) * (values[at] as number);
    }
    const alike = product / (count * size);
    return {
      value: 2 * (1 - alike),
      slope: (i) => (-2 / (count * size)) * ((aim[i] as number) - (alike * (values[i] as number)) / size),
    };
  });
}

/**
 * `weight` times skewness^2 / 6 + k^2 / 24 ln(kurtosis / k)^2 with k the kurtosis of the law. To second order about the
 * Gaussian that is the statistic of Jarque and Bera per weight, and the logarithm keeps a single outlier, by whose fourth
 * power kurtosis grows, from sending steps past the goal. With z the standardised weights,
 * d skewness = 3 (z^2 - 1 - skewness z) / (N s) and d kurtosis = 4 (z^3 - skewness - kurtosis z) / (N s). Equal weights
 * have no form: 0.
 */
export function momentDistance(weights: Tensor, law: WeightLaw, weight: number): Tensor {
  return term('momentDistance', weights, weight, (values) => {
    const count = values.length;
    const { mean, deviation, skewness, kurtosis } = momentsOf(values);
    if (deviation === 0) return { value: 0, slope: () => 0 };
    const aim = kurtosisOf[law];
    const excess = Math.log(kurtosis / aim);
    const byKurtosis = ((aim * aim) / 12) * (excess / kurtosis);
    return {
      value: skewness ** 2 / 6 + (aim * excess) ** 2 / 24,
      slope: (i) => {
        const z = ((values[i] as number) - mean) / deviation;
        const dSkewness = 3 * (z * z - 1 - skewness * z);
        const dKurtosis = 4 * (z * z * z - skewness - kurtosis * z);
        return ((skewness / 3) * dSkewness + byKurtosis * dKurtosis) / (count * deviation);
      },
    };
  });
}

/** Mean, standard deviation, and third and fourth standardised moments; those are NaN where all values are equal. */
export function momentsOf(values: Float32Array): {
  readonly mean: number;
  readonly deviation: number;
  readonly skewness: number;
  readonly kurtosis: number;
} {
  const count = values.length;
  let total = 0;
  for (let i = 0; i < count; i++) total += values[i] as number;
  const mean = total / count;
  let [second, third, fourth] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const from = (values[i] as number) - mean;
    const square = from * from;
    second += square;
    third += square * from;
    fourth += square * square;
  }
  const variance = second / count;
  const deviation = Math.sqrt(variance);
  return {
    mean,
    deviation,
    skewness: third / count / (variance * deviation),
    kurtosis: fourth / count / variance ** 2,
  };
}

/** Scale of the released Laplacian samples; those of its Gaussian, whose term the release throws away, are N(0, 1). */
const publishedScale = 2;

/**
 * `weight` times (1 / N) sum of q (log q - log p) with p = softmax(weights) and q the softmax of a fresh sample of the
 * law, in no order. Gradient: (p - q) / N.
 */
export function publishedDivergence(weights: Tensor, law: WeightLaw, weight: number, random: Random): Tensor {
  return term('publishedDivergence', weights, weight, (values) => {
    const count = values.length;
    const p = logSoftmax(values);
    const sample = new Float64Array(count);
    for (let i = 0; i < count; i++) sample[i] = drawFrom(law, publishedScale, random);
    const q = logSoftmax(sample);
    let sum = 0;
    for (let i = 0; i < count; i++) sum += Math.exp(q[i] as number) * ((q[i] as number) - (p[i] as number));
    return {
      value: sum / count,
      slope: (i) => (Math.exp(p[i] as number) - Math.exp(q[i] as number)) / count,
    };
  });
}

function logSoftmax(values: Float32Array | Float64Array): Float64Array {
  let top = -Infinity;
  for (let i = 0; i < values.length; i++) top = Math.max(top, values[i] as number);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp((values[i] as number) - top);
  const normaliser = top + Math.log(sum);
  const result = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = (values[i] as number) - normaliser;
  return result;
}
