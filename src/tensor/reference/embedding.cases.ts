/**
 * @file Cases for rows of a table by their indices.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import type { EmbeddingForm } from '../kernels.js';
import {
  type Device,
  expectDefinition,
  expectEqual,
  forAll,
  normals,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const forms = fc.record({
  count: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(300, 2000)),
  rows: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(50, 700)),
  width: fc.integer({ min: 1, max: 70 }),
});

export function describeEmbedding(device: Device): void {
  const lookUp = (form: EmbeddingForm, table: Float32Array, indices: Int32Array): Float32Array =>
    withBuffers(device, (buffers) => {
      const y = buffers.output(form.count * form.width);
      device.kernels.embedding(form, buffers.input(table), indices, y);
      return y;
    });
  const slopes = (on: Device, form: EmbeddingForm, indices: Int32Array, dy: Float32Array): Float32Array =>
    withBuffers(on, (buffers) => {
      const dtable = buffers.output(form.rows * form.width);
      on.kernels.embeddingGradient(form, indices, buffers.input(dy), dtable);
      return dtable;
    });

  describe('rows of a table', () => {
    it('are copied, and get the sum of the slopes of their uses', () => {
      forAll(fc.tuple(forms, seeds), ([form, seed]) => {
        const { count, rows, width } = form;
        const random = Random.stream('indices', seed);
        const indices = Int32Array.from({ length: count }, () => random.integer(rows));
        const [table, dy] = [normals(rows * width, 'table', seed), normals(count * width, 'dy', seed)];
        const y = lookUp(form, table, indices);
        expectEqual(
          'y',
          y,
          Array.from(y, (_, at) => table[indices[Math.floor(at / width)]! * width + (at % width)]!),
        );
        const uses = Array.from({ length: rows }, (_, row) =>
          [...indices.keys()].filter((i) => indices[i] === row),
        );
        const dtable = tabulate(rows * width, (at, add) => {
          for (const i of uses[Math.floor(at / width)]!) add(dy[i * width + (at % width)]!);
        });
        expectDefinition('dtable', device, (on) => slopes(on, form, indices, dy), dtable);
      });
    });

    it('a row used very often keeps its digits', () => {
      const form = { count: 50_000, rows: 3, width: 17 };
      const dtable = slopes(
        device,
        form,
        new Int32Array(form.count).fill(1),
        new Float32Array(50_000 * 17).fill(0.1),
      );
      dtable.forEach((value, at) => {
        if (Math.floor(at / 17) !== 1) expect(value).toBe(0);
        else expect(Math.abs(value / 5000 - 1)).toBeLessThan(4e-5);
      });
    });

    it.each([NaN, Infinity])('%s in a row or slope goes with it alone', (bad) => {
      const form = { count: 6, rows: 4, width: 19 };
      const indices = Int32Array.of(3, 0, 2, 2, 0, 3);
      const table = new Float32Array(4 * 19).fill(1);
      table[2 * 19 + 18] = bad;
      const y = lookUp(form, table, indices);
      y.forEach((value, at) =>
        expect(value).toBe(indices[Math.floor(at / 19)] === 2 && at % 19 === 18 ? bad : 1),
      );
      const dtable = slopes(device, form, indices, y);
      dtable.forEach((value, at) => {
        const row = Math.floor(at / 19);
        expect(value).toBe(row === 1 ? 0 : row === 2 && at % 19 === 18 ? bad : 2);
      });
    });
  });
}
