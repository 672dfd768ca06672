/**
 * @file Cases for the reductions: every inner extent from one to beyond a few vectors, few and many rows and matrices.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReductionForm } from '../kernels.js';
import {
  type Device,
  eighths,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const forms = fc
  .record({
    outer: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(40)),
    reduced: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 10, max: 700 })),
    inner: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 140 }), fc.constant(600)),
  })
  .filter(({ outer, reduced, inner }) => outer * reduced * inner < 60_000);

/** Long ones, whose rows are split among threads. */
const longForms: readonly ReductionForm[] = [
  { outer: 1, reduced: 150_001, inner: 1 },
  { outer: 2, reduced: 40_003, inner: 3 },
  { outer: 1, reduced: 3001, inner: 65 },
  { outer: 1, reduced: 3, inner: 50_001 },
  { outer: 3, reduced: 1500, inner: 513 },
  { outer: 20_000, reduced: 3, inner: 2 },
];

const sizes = ({ outer, reduced, inner }: ReductionForm): [number, number] => [
  outer * reduced * inner,
  outer * inner,
];

/** The indices into x of the terms of result `at`. */
function* termsOf({ reduced, inner }: ReductionForm, at: number): Generator<number> {
  const [n, i] = [Math.floor(at / inner), at % inner];
  for (let r = 0; r < reduced; r++) yield (n * reduced + r) * inner + i;
}

export function describeReductions(device: Device): void {
  const run = (
    on: Device,
    form: ReductionForm,
    inputs: readonly Float32Array[],
    call: (inputs: readonly Float32Array[], y: Float32Array) => void,
    size = sizes(form)[1],
  ): Float32Array =>
    withBuffers(on, (buffers) => {
      const y = buffers.output(size);
      call(
        inputs.map((input) => buffers.input(input)),
        y,
      );
      return y;
    });
  const sumOf = (on: Device, form: ReductionForm, scale: number, x: Float32Array): Float32Array =>
    run(on, form, [x], ([from], y) => on.kernels.reduceSum(form, scale, from!, y));
  const productsOf = (on: Device, form: ReductionForm, a: Float32Array, b: Float32Array): Float32Array =>
    run(on, form, [a, b], ([left, right], y) => on.kernels.reduceProducts(form, left!, right!, y));
  const maximumOf = (on: Device, form: ReductionForm, x: Float32Array): Float32Array =>
    run(on, form, [x], ([from], y) => on.kernels.reduceMaximum(form, from!, y));
  const maximumSlopes = (
    form: ReductionForm,
    x: Float32Array,
    y: Float32Array,
    dy: Float32Array,
  ): Float32Array =>
    run(
      device,
      form,
      [x, y, dy],
      ([from, most, slope], dx) => device.kernels.reduceMaximumGradient(form, from!, most!, slope!, dx),
      x.length,
    );

  const check = (form: ReductionForm, seed: number): void => {
    const [size, results] = sizes(form);
    const [a, b] = [normals(size, 'a', seed), normals(size, 'b', seed)];
    const sums = tabulate(results, (at, add) => {
      for (const i of termsOf(form, at)) add(-0.3 * a[i]!);
    });
    const products = tabulate(results, (at, add) => {
      for (const i of termsOf(form, at)) add(a[i]! * b[i]!);
    });
    expectDefinition('sum', device, (on) => sumOf(on, form, -0.3, a), sums);
    expectDefinition('products', device, (on) => productsOf(on, form, a, b), products);

    const x = eighths(size, seed); // with ties
    const most = Array.from({ length: results }, (_, at) => {
      let largest = -Infinity;
      for (const i of termsOf(form, at)) largest = Math.max(largest, x[i]!);
      return largest;
    });
    expectEqual('maximum', maximumOf(device, form, x), most);
    const dy = normals(results, 'dy', seed);
    const slopes = new Float32Array(size);
    most.forEach((largest, at) => {
      for (const i of termsOf(form, at))
        if (x[i] === largest) {
          slopes[i] = dy[at]!;
          return;
        }
    });
    expectEqual('maximum gradient', maximumSlopes(form, x, Float32Array.from(most), dy), slopes);
  };

  describe('reductions', () => {
    it('are their definitions', () => {
      forAll(fc.tuple(forms, seeds), ([form, seed]) => check(form, seed), 60);
    });

    it.each(longForms)('in pieces: $outer x $reduced x $inner', (form) => check(form, 3));

    it('a long sum keeps its digits', () => {
      const form = { outer: 1, reduced: 1_000_000, inner: 1 };
      const x = new Float32Array(form.reduced).fill(0.1);
      const [sum] = sumOf(device, form, 1, x);
      expect(Math.abs(sum! / (form.reduced * Math.fround(0.1)) - 1)).toBeLessThan(2e-6);
    });

    it.each([NaN, Infinity, -Infinity])('%s reaches its own result and no other', (bad) => {
      for (const inner of [1, 3, 19, 70])
        for (const reduced of [2, 37, 40_000 / inner]) {
          const form = { outer: 2, reduced: Math.floor(reduced), inner };
          const [size, results] = sizes(form);
          const at = Math.floor(form.reduced * 1.4) * inner + inner - 1;
          const x = new Float32Array(size).fill(1);
          x[at] = bad;
          const hit = results - 1;
          const sum = sumOf(device, form, 1, x);
          expectEqual(
            'sum',
            sum,
            Array.from(sum, (_, i) => (i === hit ? bad : form.reduced)),
          );
          const products = productsOf(device, form, x, new Float32Array(size).fill(1));
          expectEqual('products', products, sum);
          const most = maximumOf(device, form, x);
          expectEqual(
            'maximum',
            most,
            Array.from(most, (_, i) => (i === hit ? Math.max(bad, 1) : 1)),
          );
          const dx = maximumSlopes(form, x, most, new Float32Array(results).fill(2));
          // Of the last column; minus infinity is not the largest, so that the first one that is 1 gets the gradient.
          const column = [...termsOf(form, hit)];
          const first = bad === -Infinity ? column.find((i) => x[i] === 1) : at;
          for (const i of column) expect(dx[i]).toBe(i === first ? 2 : 0);
        }
    });

    it('a maximum of minus infinities is one, and the first of them gets the gradient', () => {
      for (const inner of [1, 5]) {
        const form = { outer: 1, reduced: 4, inner };
        const x = new Float32Array(4 * inner).fill(-Infinity);
        expectEqual('maximum', maximumOf(device, form, x), new Float32Array(inner).fill(-Infinity));
        const dx = maximumSlopes(
          form,
          x,
          new Float32Array(inner).fill(-Infinity),
          new Float32Array(inner).fill(1),
        );
        expectEqual(
          'dx',
          dx,
          Array.from(dx, (_, i) => (i < inner ? 1 : 0)),
        );
      }
    });
  });
}
