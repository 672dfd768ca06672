/**
 * @file The layers of our networks once more, in float64 and written from their definitions, so that the derivative of
 * a whole graph can be had by central differences without the noise of float32. Tests only.
 */
import { Random } from '../base/random.js';

/** Dense values, NHWC or [kh, kw, in / groups, out]. */
export interface Array64 {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export interface Filter64 {
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
}

export function array64(shape: readonly number[], values: ArrayLike<number>): Array64 {
  return { shape, data: Float64Array.from(values) };
}

/** Normal values that float32 holds exactly. */
export function normals(count: number, ...labels: readonly (string | number)[]): Float32Array {
  const random = Random.stream('float64', ...labels);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** y[n, i, j, o] = sum over the window and the group's channels of term(x, w); x is 0 outside the map. */
export function filter64(
  x: Array64,
  w: Array64,
  term: (x: number, w: number) => number,
  options: Filter64 = {},
): Array64 {
  const [outHeight, outWidth] = outputSize(x, w, options);
  const y = new Float64Array((x.shape[0] as number) * outHeight * outWidth * (w.shape[3] as number));
  eachTap(x, w, options, (from, tap, to) => {
    y[to]! += term(from < 0 ? 0 : x.data[from]!, w.data[tap]!);
  });
  return { shape: [x.shape[0]!, outHeight, outWidth, w.shape[3]!], data: y };
}

/** Calls `use` with the indices of x (-1 in the padding), w and y of every product of a filter. */
export function eachTap(
  x: Pick<Array64, 'shape'>,
  w: Pick<Array64, 'shape'>,
  options: Filter64,
  use: (from: number, tap: number, to: number) => void,
): void {
  const { stride = 1, padding = 0, groups = 1 } = options;
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const [kernelHeight, kernelWidth, groupChannels, outChannels] = w.shape as [number, number, number, number];
  const [outHeight, outWidth] = outputSize(x, w, options);
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < outHeight; i++)
      for (let j = 0; j < outWidth; j++)
        for (let o = 0; o < outChannels; o++) {
          const to = ((n * outHeight + i) * outWidth + j) * outChannels + o;
          const firstChannel = Math.floor(o / (outChannels / groups)) * groupChannels;
          for (let u = 0; u < kernelHeight; u++)
            for (let v = 0; v < kernelWidth; v++)
              for (let c = 0; c < groupChannels; c++) {
                const [row, column] = [i * stride - padding + u, j * stride - padding + v];
                const inside = row >= 0 && row < height && column >= 0 && column < width;
                const from = ((n * height + row) * width + column) * channels + firstChannel + c;
                use(inside ? from : -1, ((u * kernelWidth + v) * groupChannels + c) * outChannels + o, to);
              }
        }
}

function outputSize(
  x: Pick<Array64, 'shape'>,
  w: Pick<Array64, 'shape'>,
  options: Filter64,
): [number, number] {
  const { stride = 1, padding = 0 } = options;
  const extent = (size: number, kernel: number): number =>
    Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return [extent(x.shape[1]!, w.shape[0]!), extent(x.shape[2]!, w.shape[1]!)];
}

export const conv64 = (x: Array64, w: Array64, options?: Filter64): Array64 =>
  filter64(x, w, (a, b) => a * b, options);

/** a [m, k] * b [k, n], or item by item with a leading batch, b perhaps without one. */
export function matmul64(
  a: Array64,
  b: Array64,
  {
    transposeA = false,
    transposeB = false,
  }: { readonly transposeA?: boolean; readonly transposeB?: boolean } = {},
): Array64 {
  const lastTwo = (shape: readonly number[], transposed: boolean): [number, number] =>
    (transposed ? shape.slice(-2).reverse() : shape.slice(-2)) as [number, number];
  const [rows, depth] = lastTwo(a.shape, transposeA);
  const [, columns] = lastTwo(b.shape, transposeB);
  const at = (t: Array64, transposed: boolean, item: number, row: number, column: number): number => {
    const [height, width] = t.shape.slice(-2) as [number, number];
    const matrix = t.shape.length > 2 ? item : 0;
    return t.data[matrix * height * width + (transposed ? column * width + row : row * width + column)]!;
  };
  const data = new Float64Array((a.data.length / depth) * columns).map((_, i) => {
    const [item, row] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows];
    let sum = 0;
    for (let k = 0; k < depth; k++)
      sum += at(a, transposeA, item, row, k) * at(b, transposeB, item, k, i % columns);
    return sum;
  });
  return { shape: [...a.shape.slice(0, -2), rows, columns], data };
}

/** Softmax over the last dimension. */
export function softmax64(x: Array64): Array64 {
  const columns = x.shape.at(-1) as number;
  const data = x.data.map((value, i) => {
    const from = Math.floor(i / columns) * columns;
    const row = x.data.subarray(from, from + columns);
    const top = Math.max(...row);
    return Math.exp(value - top) / row.reduce((sum, other) => sum + Math.exp(other - top), 0);
  });
  return { shape: x.shape, data };
}

/** softmax(scale q k') v in each head, causal or not: q [N, T, C], k [N, S, C], v [N, S, D] -> [N, T, D]. */
export function attention64(
  q: Array64,
  k: Array64,
  v: Array64,
  {
    heads,
    scale,
    causal = false,
  }: { readonly heads: number; readonly scale: number; readonly causal?: boolean },
): Array64 {
  const head = (t: Array64, n: number, h: number): Array64 => {
    const [, tokens, channels] = t.shape as [number, number, number];
    const width = channels / heads;
    const data = Array.from({ length: tokens * width }, (_, i) => {
      const token = Math.floor(i / width);
      return t.data[(n * tokens + token) * channels + h * width + (i % width)]!;
    });
    return array64([tokens, width], data);
  };
  const [batch, queries] = q.shape as [number, number];
  const [keys, channels] = v.shape.slice(1) as [number, number];
  const y = new Float64Array(batch * queries * channels);
  for (let n = 0; n < batch; n++)
    for (let h = 0; h < heads; h++) {
      const scores = matmul64(head(q, n, h), head(k, n, h), { transposeB: true });
      const masked = scores.data.map((score, at) => {
        const [i, j] = [Math.floor(at / keys), at % keys];
        return causal && j > i + keys - queries ? -Infinity : scale * score;
      });
      const out = matmul64(softmax64({ ...scores, data: masked }), head(v, n, h));
      const width = channels / heads;
      out.data.forEach((value, at) => {
        y[(n * queries + Math.floor(at / width)) * channels + h * width + (at % width)] = value;
      });
    }
  return { shape: [batch, queries, channels], data: y };
}

/** gamma (x - mean) / sqrt(variance + epsilon) + beta by the biased moments of the batch. */
export function batchNorm64(
  x: Array64,
  gamma: Array64,
  beta: Array64,
  epsilon: number,
  relu: boolean,
): Array64 {
  const channels = gamma.data.length;
  const rows = x.data.length / channels;
  const { mean, variance } = moments64(x);
  const data = new Float64Array(x.data.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < channels; c++) {
      const scaled = (x.data[r * channels + c]! - mean[c]!) / Math.sqrt(variance[c]! + epsilon);
      const value = gamma.data[c]! * scaled + beta.data[c]!;
      data[r * channels + c] = relu ? Math.max(0, value) : value;
    }
  return { shape: x.shape, data };
}

/** Mean and biased variance of each channel. */
export function moments64(x: Array64): { readonly mean: Float64Array; readonly variance: Float64Array } {
  const channels = x.shape.at(-1) as number;
  const rows = x.data.length / channels;
  const [mean, variance] = [new Float64Array(channels), new Float64Array(channels)];
  x.data.forEach((value, i) => (mean[i % channels]! += value / rows));
  x.data.forEach((value, i) => (variance[i % channels]! += (value - mean[i % channels]!) ** 2 / rows));
  return { mean, variance };
}

export function add64(a: Array64, b: Array64, relu: boolean): Array64 {
  return {
    shape: a.shape,
    data: a.data.map((value, i) => (relu ? Math.max(0, value + b.data[i]!) : value + b.data[i]!)),
  };
}

/** [N, H, W, C] -> [N, 1, 1, C]. */
export function averagePool64(x: Array64): Array64 {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const positions = height * width;
  const data = new Float64Array(batch * channels);
  x.data.forEach((value, i) => {
    data[Math.floor(i / (positions * channels)) * channels + (i % channels)]! += value / positions;
  });
  return { shape: [batch, 1, 1, channels], data };
}

export function addBias64(x: Array64, bias: Array64): Array64 {
  return { shape: x.shape, data: x.data.map((value, i) => value + bias.data[i % bias.data.length]!) };
}

/** Mean over the batch of -sum q log softmax, q = (1 - smoothing) onehot + smoothing / C. */
export function crossEntropy64(logits: Array64, labels: Int32Array, smoothing: number): number {
  const classes = logits.data.length / labels.length;
  let loss = 0;
  labels.forEach((label, n) => {
    const row = logits.data.subarray(n * classes, (n + 1) * classes);
    const top = Math.max(...row);
    const logSum = top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0));
    row.forEach((value, c) => {
      const target = (c === label ? 1 - smoothing : 0) + smoothing / classes;
      loss -= (target * (value - logSum)) / labels.length;
    });
  });
  return loss;
}

/** d f / d each element of `at`, by central differences; `at` is restored. */
export function centralDifferences(f: () => number, at: Float64Array, step = 1e-5): Float64Array {
  return at.map((held, i) => {
    at[i] = held + step;
    const above = f();
    at[i] = held - step;
    const below = f();
    at[i] = held;
    return (above - below) / (2 * step);
  });
}

/** Largest |actual - expected| relative to the largest |expected|. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let [error, size] = [0, 1e-12];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Infinity;
    error = Math.max(error, difference);
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return error / size;
}
