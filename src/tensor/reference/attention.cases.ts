/**
 * @file Cases for multi-head attention: definition and gradients on random and usual shapes, and what must hold
 * whatever the kernel does inside.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AttentionGeometry, Kernels } from '../kernels.js';
import {
  type AddTerm,
  centralDifference,
  type Device,
  expectClose,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  type Numbers,
  seeds,
  spread,
  type Sums,
  withBuffers,
} from './support.cases.js';

const results = ['y', 'logSums', 'dq', 'dk', 'dv'] as const;
type Result = (typeof results)[number];
interface Operands<T = Float32Array> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
  readonly dy: T;
}

/** Normal operands; those of the queries times `height`, which sharpens the weights. */
export function attentionOperands(g: AttentionGeometry, seed: number, height = 1): Operands {
  const [queries, keys] = [g.batch * g.queries * g.heads, g.batch * g.keys * g.heads];
  return {
    q: normals(queries * g.headChannels, 'q', seed).map((value) => height * value),
    k: normals(keys * g.headChannels, 'k', seed),
    v: normals(keys * g.valueChannels, 'v', seed),
    dy: normals(queries * g.valueChannels, 'dy', seed),
  };
}

/** Forward and gradient as the device computes them. */
export function attend(
  device: Device,
  g: AttentionGeometry,
  { q, k, v, dy }: Operands,
): Record<Result, Float32Array> {
  return withBuffers(device, (buffers) => {
    const [y, logSums] = [buffers.output(dy.length), buffers.output(g.batch * g.heads * g.queries)];
    const [dq, dk, dv] = [buffers.output(q.length), buffers.output(k.length), buffers.output(v.length)];
    const [inQ, inK, inV] = [buffers.input(q), buffers.input(k), buffers.input(v)];
    device.kernels.attentionForward(g, inQ, inK, inV, y, logSums);
    const [saved, sums] = [buffers.input(y), buffers.input(logSums)];
    device.kernels.attentionGradient(g, inQ, inK, inV, saved, sums, buffers.input(dy), dq, dk, dv);
    return { y, logSums, dq, dk, dv };
  });
}

/** Keys that query i of item n sees. */
function seen(g: AttentionGeometry, n: number, i: number): number {
  const counted = g.keyCounts?.[n] ?? g.keys;
  return g.causal ? Math.min(counted, i + 1 + g.keys - g.queries) : counted;
}

/**
 * All results from the definition, each with a bound of its terms: an error of a score is one of its weight, relative, so
 * every weight counts as often as the terms of the scores of its query make up.
 */
export function attentionSums(
  g: AttentionGeometry,
  { q, k, v, dy }: Operands<Numbers>,
): Record<Result, Sums> {
  const empty = (length: number): Sums => ({
    values: new Float64Array(length),
    magnitudes: new Float64Array(length),
  });
  const sums = {
    y: empty(dy.length),
    logSums: empty(g.batch * g.heads * g.queries),
    dq: empty(q.length),
    dk: empty(k.length),
    dv: empty(v.length),
  };
  const adder =
    (to: Sums, at: number): AddTerm =>
    (term, magnitude = Math.abs(term)) => {
      to.values[at]! += term;
      to.magnitudes[at]! += magnitude;
    };
  const { heads, headChannels: channels, valueChannels } = g;
  for (let n = 0; n < g.batch; n++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < g.queries; i++) {
        const query = ((n * g.queries + i) * heads + h) * channels;
        const output = ((n * g.queries + i) * heads + h) * valueChannels;
        const keys = Array.from({ length: seen(g, n, i) }, (_, j) => (n * g.keys + j) * heads + h);
        const sumOf = (count: number, term: (c: number) => number): number =>
          Array.from({ length: count }, (_, c) => term(c)).reduce((sum, value) => sum + value, 0);
        const scores = keys.map(
          (key) => g.scale * sumOf(channels, (c) => q[query + c]! * k[key * channels + c]!),
        );
        const sizes = keys.map((key) =>
          sumOf(channels, (c) => Math.abs(g.scale * q[query + c]! * k[key * channels + c]!)),
        );
        const slack = 2 * Math.max(...sizes, 1) + 2;
        const top = Math.max(...scores);
        const logSum = top + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - top), 0));
        adder(sums.logSums, (n * heads + h) * g.queries + i)(logSum, Math.abs(logSum) + slack);
        const weights = scores.map((score) => Math.exp(score - logSum));
        const slope = (j: number, of: (x: number) => number): number =>
          sumOf(valueChannels, (c) => of(dy[output + c]! * v[keys[j]! * valueChannels + c]!));
        const slopes = keys.map((_, j) => slope(j, (x) => x));
        const slopeSizes = keys.map((_, j) => slope(j, Math.abs));
        const mean = weights.reduce((sum, weight, j) => sum + weight * slopes[j]!, 0);
        const meanSize = weights.reduce((sum, weight, j) => sum + weight * slopeSizes[j]!, 0);
        weights.forEach((weight, j) => {
          const [key, value] = [keys[j]! * channels, keys[j]! * valueChannels];
          for (let c = 0; c < valueChannels; c++) {
            const [term, back] = [weight * v[value + c]!, weight * dy[output + c]!];
            adder(sums.y, output + c)(term, Math.abs(term) * slack);
            adder(sums.dv, value + c)(back, Math.abs(back) * slack);
          }
          const ofScore = g.scale * weight * (slopes[j]! - mean);
          const size = Math.abs(g.scale) * weight * (slopeSizes[j]! + meanSize) * slack;
          for (let c = 0; c < channels; c++) {
            adder(sums.dq, query + c)(ofScore * k[key + c]!, size * Math.abs(k[key + c]!));
            adder(sums.dk, key + c)(ofScore * q[query + c]!, size * Math.abs(q[query + c]!));
          }
        });
      }
  return sums;
}

const plain = {
  batch: 1,
  heads: 1,
  queries: 1,
  keys: 1,
  headChannels: 1,
  valueChannels: 1,
  causal: false,
  scale: 1,
  keyCounts: undefined,
} as const;

function describeAttentionGeometry(g: AttentionGeometry): string {
  const counts = g.keyCounts === undefined ? '' : `, counts ${[...g.keyCounts].join(' ')}`;
  return (
    `${g.batch} x ${g.heads} heads, ${g.queries} queries of ${g.headChannels}, ` +
    `${g.keys} keys, values of ${g.valueChannels}${g.causal ? ', causal' : ''}${counts}`
  );
}

const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const shapes: fc.Arbitrary<AttentionGeometry> = fc
  .record({
    batch: small(3),
    heads: small(3),
    queries: small(40),
    more: fc.integer({ min: 0, max: 20 }),
    keys: small(50),
    headChannels: small(40),
    valueChannels: small(40),
    causal: fc.boolean(),
    scale: fc.constantFrom(1, 0.3, -0.5, 0),
    counted: fc.option(fc.integer({ min: 0, max: 1_000_000 })),
  })
  .map(({ more, counted, ...g }) => {
    const keys = g.causal ? g.queries + more : g.keys;
    const keyCounts =
      counted === null
        ? undefined
        : Int32Array.from({ length: g.batch }, (_, n) => 1 + ((counted + 7 * n) % keys));
    return { ...g, keys, keyCounts };
  });

/** Shapes that a blocked kernel cuts up: several blocks of queries and of keys, parts of keys, wide heads. */
export const usualAttentions: readonly AttentionGeometry[] = [
  { batch: 2, heads: 4, queries: 49, keys: 49, headChannels: 16, valueChannels: 16, scale: 0.25 },
  { batch: 2, heads: 2, queries: 128, keys: 128, headChannels: 32, valueChannels: 32, scale: 0.2 },
  { heads: 1, queries: 70, keys: 300, headChannels: 64, valueChannels: 64, scale: 0.125 },
  { heads: 2, queries: 150, keys: 150, headChannels: 20, valueChannels: 37, scale: 0.2, causal: true },
  { heads: 1, queries: 5, keys: 530, headChannels: 9, valueChannels: 150, scale: 0.3, causal: true },
  {
    batch: 3,
    heads: 1,
    queries: 17,
    keys: 290,
    headChannels: 8,
    valueChannels: 8,
    scale: 0.3,
    keyCounts: Int32Array.of(290, 131, 3),
  },
  { batch: 30, heads: 1, queries: 3, keys: 4, headChannels: 140, valueChannels: 3, scale: 0.1 },
].map((shape) => ({ ...plain, ...shape }));

export function describeAttention(device: Device): void {
  describe('attention', () => {
    const definitionHolds = (g: AttentionGeometry, seed: number): void => {
      const operands = attentionOperands(g, seed);
      const expected = attentionSums(g, operands);
      const computed = new Map<Kernels, Record<Result, Float32Array>>();
      for (const result of results) {
        const run = (on: Device): Float32Array => {
          const all = computed.get(on.kernels) ?? attend(on, g, operands);
          computed.set(on.kernels, all);
          return all[result];
        };
        expectDefinition(`${result} of ${describeAttentionGeometry(g)}`, device, run, expected[result]);
      }
    };

    it('is its definition on random shapes, forward and back', () => {
      forAll(fc.tuple(shapes, seeds), ([g, seed]) => definitionHolds(g, seed), 60);
    });

    it.each(usualAttentions.map((g) => [describeAttentionGeometry(g), g] as const))(
      'is its definition: %s',
      (_, g) => definitionHolds(g, 7),
    );

    it('gradients are finite differences of the definition', () => {
      const g = {
        ...plain,
        batch: 2,
        heads: 2,
        queries: 4,
        keys: 6,
        headChannels: 5,
        valueChannels: 3,
        scale: 0.4,
      };
      for (const variant of [g, { ...g, causal: true }, { ...g, keyCounts: Int32Array.of(4, 6) }]) {
        const operands = attentionOperands(variant, 11);
        const computed = attend(device, variant, operands);
        for (const name of ['q', 'k', 'v'] as const) {
          const loss = (moved: Float64Array): number =>
            attentionSums(variant, { ...operands, [name]: moved }).y.values.reduce(
              (sum, value, at) => sum + value * operands.dy[at]!,
              0,
            );
          for (let at = 0; at < operands[name].length; at++)
            expect(
              Math.abs(computed[`d${name}`][at]! - centralDifference(operands[name], at, 1e-5, loss)),
            ).toBeLessThan(5e-6);
        }
      }
    });

    it('weights follow the exponential down to where it vanishes', () => {
      // One query against the keys 0 and x, the values 0 and 1: y is the weight of x.
      const keys = Array.from({ length: 4000 }, (_, i) => Math.fround((-86.5 * i) / 3999));
      const g = { ...plain, batch: keys.length, keys: 2 };
      const operands = {
        q: new Float32Array(keys.length).fill(1),
        k: Float32Array.from(keys.flatMap((x) => [0, x])),
        v: Float32Array.from(keys.flatMap(() => [0, 1])),
        dy: new Float32Array(keys.length),
      };
      const weights = keys.map((x) => 1 / (1 + Math.exp(-x)));
      const expected = {
        values: Float64Array.from(weights),
        magnitudes: Float64Array.from(weights, (weight, i) => weight * (4 + Math.abs(keys[i]!))),
      };
      expectClose('y', attend(device, g, operands).y, expected, 1.2e-7);
      const far = { ...operands, k: operands.k.map((x) => (x < 0 ? 3e38 * (x / 86.5) - 200 : x)) };
      expectEqual('y of far keys', attend(device, g, far).y.subarray(1), new Float32Array(keys.length - 1));
    });

    it('scores as large as float32 holds choose the best key', () => {
      const g = { ...plain, heads: 2, queries: 33, keys: 140, headChannels: 3, valueChannels: 18 };
      const operands = attentionOperands(g, 3, 1e18);
      const k = operands.k.map((value) => 1e18 * value);
      const { y } = attend(device, g, { ...operands, k });
      const at = (token: number, head: number, width: number): number => (token * g.heads + head) * width;
      for (let i = 0; i < g.queries; i++)
        for (let h = 0; h < g.heads; h++) {
          const score = (j: number): number =>
            [0, 1, 2].reduce((sum, c) => sum + operands.q[at(i, h, 3) + c]! * k[at(j, h, 3) + c]!, 0);
          let best = 0;
          for (let j = 1; j < g.keys; j++) if (score(j) > score(best)) best = j;
          const [from, value] = [at(i, h, 18), at(best, h, 18)];
          expectEqual('y', y.subarray(from, from + 18), operands.v.subarray(value, value + 18));
        }
    });

    it('equal values come out as they are, and nothing pulls at queries and keys', () => {
      forAll(fc.tuple(shapes, seeds), ([g, seed]) => {
        const operands = attentionOperands(g, seed);
        const { y, dq, dk } = attend(device, g, {
          ...operands,
          v: new Float32Array(operands.v.length).fill(2.5),
        });
        const largest = (values: Numbers, from: number): number =>
          Array.from(values, (value) => Math.abs(value - from)).reduce((a, b) => (b <= a ? a : b), 0);
        expect(largest(y, 2.5)).toBeLessThan(1e-5);
        expect(largest([...dq, ...dk], 0)).toBeLessThan(2e-4);
      });
    });

    it('the one key a query sees gives its value', () => {
      const g = {
        ...plain,
        heads: 3,
        queries: 35,
        keys: 35,
        headChannels: 6,
        valueChannels: 21,
        causal: true,
      };
      const operands = attentionOperands(g, 5);
      const { y, dq } = attend(device, g, operands);
      expectEqual('y of the first query', y.subarray(0, 63), operands.v.subarray(0, 63));
      for (const slope of dq.subarray(0, 18)) expect(Math.abs(slope)).toBeLessThan(1e-5);
    });

    it('a causal query gives what it would give if the later keys were not there', () => {
      const g = {
        ...plain,
        heads: 2,
        queries: 40,
        keys: 45,
        headChannels: 7,
        valueChannels: 9,
        causal: true,
      };
      const { q, k, v, dy } = attentionOperands(g, 9);
      const { y } = attend(device, g, { q, k, v, dy });
      for (const i of [0, 1, 17, 31, 32, 39]) {
        const keys = i + 1 + g.keys - g.queries;
        const alone = { ...g, queries: 1, keys, causal: false };
        const expected = attend(device, alone, {
          q: q.slice(i * 14, (i + 1) * 14),
          k: k.slice(0, keys * 14),
          v: v.slice(0, keys * 18),
          dy: dy.slice(0, 18),
        }).y;
        expected.forEach((value, at) => expect(y[i * 18 + at]).toBeCloseTo(value, 5));
      }
    });

    it('padding is not read, and gets no gradient', () => {
      for (const causal of [false, true]) {
        const g = {
          ...plain,
          batch: 3,
          heads: 2,
          queries: 40,
          keys: 150,
          headChannels: 6,
          valueChannels: 5,
          causal,
        };
        const counted = { ...g, keyCounts: Int32Array.of(150, 129, 20) };
        const operands = attentionOperands(g, 13);
        const isPadding = (at: number, channels: number): boolean => {
          const token = Math.floor(at / (g.heads * channels));
          return token % g.keys >= counted.keyCounts[Math.floor(token / g.keys)]!;
        };
        const clean = attend(device, counted, operands);
        const spoilt = attend(device, counted, {
          ...operands,
          k: operands.k.map((value, at) => (isPadding(at, 6) ? NaN : value)),
          v: operands.v.map((value, at) => (isPadding(at, 5) ? Infinity : value)),
        });
        for (const result of results) expectEqual(result, spoilt[result], clean[result]);
        clean.dk.forEach((slope, at) => expect(slope !== 0).toBe(!isPadding(at, 6)));
        clean.dv.forEach((slope, at) => expect(slope !== 0).toBe(!isPadding(at, 5)));
      }
    });

    it('does not mind the order of the keys', () => {
      const g = {
        ...plain,
        heads: 2,
        queries: 20,
        keys: 200,
        headChannels: 8,
        valueChannels: 8,
        scale: 0.35,
      };
      const { q, k, v, dy } = attentionOperands(g, 17);
      const token = g.heads * 8;
      const turned = (of: Float32Array): Float32Array =>
        of.map((_, at) => of[(g.keys - 1 - Math.floor(at / token)) * token + (at % token)]!);
      const [one, other] = [
        attend(device, g, { q, k, v, dy }),
        attend(device, g, { q, k: turned(k), v: turned(v), dy }),
      ];
      for (const at of spread(one.y.length)) expect(one.y[at]).toBeCloseTo(other.y[at]!, 5);
      const back = turned(other.dk);
      for (const at of spread(back.length)) expect(one.dk[at]).toBeCloseTo(back[at]!, 5);
    });
  });
}
