/**
 * @file Attention in float64, forward and backward, written out head by head. Tests only.
 */
import { array64, matmul64, softmax64, type Array64 } from '../../tensor/float64.cases.js';

/** An output and dL/d the queries, keys and values. */
export interface Attended64 {
  readonly y: Array64;
  readonly dq: Array64;
  readonly dk: Array64;
  readonly dv: Array64;
}

type HeadPass = (q: Array64, k: Array64, v: Array64, dy: Array64) => Attended64;

const zip = (a: Array64, b: Array64, f: (a: number, b: number) => number): Array64 => ({
  shape: a.shape,
  data: a.data.map((value, i) => f(value, b.data[i]!)),
});
const scaled = (a: Array64, factor: number): Array64 => ({ ...a, data: a.data.map((x) => factor * x) });
const plus = (a: Array64, b: Array64): Array64 => zip(a, b, (x, y) => x + y);
const first = { transposeA: true };
const second = { transposeB: true };

/** Weights by softmax, contracted over the keys, or over the queries as in the released code of ShiftAddNAS. */
export const softmaxHead =
  (swapped: boolean): HeadPass =>
  (q, k, v, dy) => {
    const scale = 1 / Math.sqrt(q.shape[1]!);
    const weights = softmax64(scaled(matmul64(q, k, second), scale));
    const dWeights = swapped ? matmul64(v, dy, second) : matmul64(dy, v, second);
    const [, columns] = weights.shape as [number, number];
    const slope = zip(weights, dWeights, (p, d) => p * d);
    const dScores = {
      ...weights,
      data: weights.data.map((p, i) => {
        const from = Math.floor(i / columns) * columns;
        const along = slope.data.subarray(from, from + columns).reduce((sum, value) => sum + value, 0);
        return scale * p * (dWeights.data[i]! - along);
      }),
    };
    return {
      y: swapped ? matmul64(weights, v, first) : matmul64(weights, v),
      dq: matmul64(dScores, k),
      dk: matmul64(dScores, q, first),
      dv: swapped ? matmul64(weights, dy) : matmul64(weights, dy, first),
    };
  };

const lengthOf = (x: Array64, i: number): number => {
  const columns = x.shape[1]!;
  const from = Math.floor(i / columns) * columns;
  return Math.sqrt(x.data.subarray(from, from + columns).reduce((sum, value) => sum + value * value, 0));
};
export const unitRows64 = (x: Array64): Array64 => ({
  ...x,
  data: x.data.map((value, i) => value / lengthOf(x, i)),
});
/** Of the rows of x divided by their length. */
const unitGradient = (x: Array64, dy: Array64): Array64 => {
  const unit = unitRows64(x);
  const columns = x.shape[1]!;
  return {
    ...x,
    data: x.data.map((_, i) => {
      const from = Math.floor(i / columns) * columns;
      let along = 0;
      for (let c = 0; c < columns; c++) along += unit.data[from + c]! * dy.data[from + c]!;
      return (dy.data[i]! - along * unit.data[i]!) / lengthOf(x, i);
    }),
  };
};

/** Softmax attention of queries and keys of length sqrt C. */
const normalisedHead: HeadPass = (q, k, v, dy) => {
  const length = Math.sqrt(q.shape[1]!);
  const of = (x: Array64): Array64 => scaled(unitRows64(x), length);
  const { y, dq, dk, dv } = softmaxHead(false)(of(q), of(k), v, dy);
  return { y, dq: scaled(unitGradient(q, dq), length), dk: scaled(unitGradient(k, dk), length), dv };
};

/** ShiftAddViT; queries and keys of zeros and ones against the means given, which are those of an item's heads. */
const linearBinaryHead =
  (meanOfQueries: number, meanOfKeys: number): HeadPass =>
  (q, k, v, dy) => {
    const [unitQueries, unitKeys] = [unitRows64(q), unitRows64(k)];
    const bits = (x: Array64, mean: number): Array64 => ({
      ...x,
      data: x.data.map((value) => (value > mean ? 1 : 0)),
    });
    const [ofQueries, ofKeys] = [bits(unitQueries, meanOfQueries), bits(unitKeys, meanOfKeys)];
    const sums = matmul64(ofKeys, v, first);
    const z = plus(scaled(v, 0.5), scaled(matmul64(ofQueries, sums), 1 / Math.PI));
    const dz = unitGradient(z, dy);
    const dSums = scaled(matmul64(ofQueries, dz, first), 1 / Math.PI);
    const clipped = (x: Array64, d: Array64): Array64 =>
      zip(x, d, (at, slope) => (at >= 0 && at <= 1 ? slope : 0));
    return {
      y: unitRows64(z),
      dq: unitGradient(q, clipped(unitQueries, scaled(matmul64(dz, sums, second), 1 / Math.PI))),
      dk: unitGradient(k, clipped(unitKeys, matmul64(v, dSums, second))),
      dv: plus(scaled(dz, 0.5), matmul64(ofKeys, dSums)),
    };
  };

export type Rule64 = 'softmax' | 'normalised' | 'swapped' | 'linearBinary';

/** q, k, v and dy [N, T, C], in `heads` heads. */
export function attended64(
  rule: Rule64,
  q: Array64,
  k: Array64,
  v: Array64,
  dy: Array64,
  heads: number,
): Attended64 {
  const [items, tokens, channels] = q.shape as [number, number, number];
  const width = channels / heads;
  const place = (item: number, head: number, i: number): number =>
    (item * tokens + Math.floor(i / width)) * channels + head * width + (i % width);
  const headOf = (x: Array64, item: number, head: number): Array64 =>
    array64(
      [tokens, width],
      Array.from({ length: tokens * width }, (_, i) => x.data[place(item, head, i)]!),
    );
  const whole = (): Array64 => array64(q.shape, new Float64Array(q.data.length));
  const result = { y: whole(), dq: whole(), dk: whole(), dv: whole() };
  const meanOf = (x: Array64, item: number): number => {
    let sum = 0;
    for (let head = 0; head < heads; head++)
      for (const value of unitRows64(headOf(x, item, head)).data) sum += value;
    return sum / (tokens * channels);
  };
  for (let item = 0; item < items; item++)
    for (let head = 0; head < heads; head++) {
      const passes: Readonly<Record<Rule64, () => HeadPass>> = {
        softmax: () => softmaxHead(false),
        normalised: () => normalisedHead,
        swapped: () => softmaxHead(true),
        linearBinary: () => linearBinaryHead(meanOf(q, item), meanOf(k, item)),
      };
      const pass = passes[rule]();
      const of = (x: Array64): Array64 => headOf(x, item, head);
      const part = pass(of(q), of(k), of(v), of(dy));
      for (const key of ['y', 'dq', 'dk', 'dv'] as const)
        part[key].data.forEach((value, i) => (result[key].data[place(item, head, i)] = value));
    }
  return result;
}
