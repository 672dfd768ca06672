/**
 * @file Reference multi-head attention (Vaswani et al., NIPS 2017): a row of weights at a time, in float64.
 */
import type { AttentionGeometry } from '../kernels.js';

/** y[i] = sum_j softmax(s)[i,j] v[j], s[i,j] = scale q[i] k[j], of each item and head; logSums[i] = log sum_j exp(s[i,j]). */
export function attentionForward(
  g: AttentionGeometry,
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  y: Float32Array,
  logSums: Float32Array,
): void {
  forEachQuery(g, ({ queryAt, outputAt, keyAt, valueAt, keys, sumAt }) => {
    const { weights, logSum } = attend(g, q, k, queryAt, keyAt, keys);
    logSums[sumAt] = logSum;
    for (let c = 0; c < g.valueChannels; c++) {
      let sum = 0;
      for (let j = 0; j < keys; j++) sum += weights[j]! * v[valueAt(j) + c]!;
      y[outputAt + c] = sum;
    }
  });
}

/**
 * With the weights p of a query and dp[j] = dy v[j]: dv[j] += p[j] dy, and with the slopes of the scores
 * ds[j] = p[j] (dp[j] - sum_i p[i] dp[i]): dq = scale sum_j ds[j] k[j], dk[j] += scale ds[j] q. Takes the weights anew
 * rather than from `logSums`, which are rounded.
 */
export function attentionGradient(
  g: AttentionGeometry,
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  _y: Float32Array,
  _logSums: Float32Array,
  dy: Float32Array,
  dq: Float32Array,
  dk: Float32Array,
  dv: Float32Array,
): void {
  const [queries, keySums, valueSums] = [dq, dk, dv].map(({ length }) => new Float64Array(length)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  forEachQuery(g, ({ queryAt, outputAt, keyAt, valueAt, keys }) => {
    const { weights } = attend(g, q, k, queryAt, keyAt, keys);
    const slopes = weights.map((_, j) => dot(dy, outputAt, v, valueAt(j), g.valueChannels));
    const mean = weights.reduce((sum, weight, j) => sum + weight * slopes[j]!, 0);
    for (let j = 0; j < keys; j++) {
      for (let c = 0; c < g.valueChannels; c++) valueSums[valueAt(j) + c]! += weights[j]! * dy[outputAt + c]!;
      const slope = g.scale * weights[j]! * (slopes[j]! - mean);
      for (let c = 0; c < g.headChannels; c++) {
        queries[queryAt + c]! += slope * k[keyAt(j) + c]!;
        keySums[keyAt(j) + c]! += slope * q[queryAt + c]!;
      }
    }
  });
  dq.set(queries);
  dk.set(keySums);
  dv.set(valueSums);
}

/** Where one query of one head finds its data: offsets of the first channel. */
interface Query {
  readonly queryAt: number;
  readonly outputAt: number;
  readonly sumAt: number;
  readonly keyAt: (key: number) => number;
  readonly valueAt: (key: number) => number;
  /** Keys it sees. */
  readonly keys: number;
}

function forEachQuery(g: AttentionGeometry, visit: (query: Query) => void): void {
  const { heads, headChannels, valueChannels } = g;
  for (let n = 0; n < g.batch; n++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < g.queries; i++) {
        const counted = g.keyCounts?.[n] ?? g.keys;
        visit({
          queryAt: ((n * g.queries + i) * heads + h) * headChannels,
          outputAt: ((n * g.queries + i) * heads + h) * valueChannels,
          sumAt: (n * heads + h) * g.queries + i,
          keyAt: (j) => ((n * g.keys + j) * heads + h) * headChannels,
          valueAt: (j) => ((n * g.keys + j) * heads + h) * valueChannels,
          keys: g.causal ? Math.min(counted, i + 1 + g.keys - g.queries) : counted,
        });
      }
}

function attend(
  g: AttentionGeometry,
  q: Float32Array,
  k: Float32Array,
  queryAt: number,
  keyAt: (key: number) => number,
  keys: number,
): { readonly weights: Float64Array; readonly logSum: number } {
  const scores = new Float64Array(keys).map((_, j) => g.scale * dot(q, queryAt, k, keyAt(j), g.headChannels));
  const largest = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  const powers = scores.map((score) => Math.exp(score - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return { weights: powers.map((power) => power / total), logSum: largest + Math.log(total) };
}

function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, length: number): number {
  let sum = 0;
  for (let c = 0; c < length; c++) sum += a[aAt + c]! * b[bAt + c]!;
  return sum;
}
