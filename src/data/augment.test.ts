/** @file Augmentation and evaluation batches against a plainly written oracle. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { channelStatistics, fillBatch, normalisationTable } from './augment.js';
import { batchesOf } from './batches.js';
import type { ImageShape } from './dataset.js';

const cases = fc
  .record({
    height: fc.integer({ min: 1, max: 7 }),
    width: fc.integer({ min: 1, max: 7 }),
    channels: fc.constantFrom(1, 2, 3, 4),
    count: fc.integer({ min: 1, max: 5 }),
    cropPadding: fc.integer({ min: 0, max: 9 }),
    flip: fc.boolean(),
    seed: fc.nat(),
  })
  .map((made) => {
    const random = Random.stream(made.seed, 'pixels');
    const length = made.count * made.height * made.width * made.channels;
    return {
      ...made,
      images: Uint8Array.from({ length }, () => random.integer(256)),
      mean: Array.from({ length: made.channels }, () => random.uniform()),
      std: Array.from({ length: made.channels }, () => 0.1 + random.uniform()),
    };
  });

/** Pad with black, crop at (dy, dx), flip, normalise: each as its own step. */
function oracle(
  image: (y: number, x: number, c: number) => number,
  shape: ImageShape,
  padding: number,
  offset: readonly [number, number],
  flip: boolean,
  mean: readonly number[],
  std: readonly number[],
): number[] {
  const { height, width, channels } = shape;
  const padded = (y: number, x: number, c: number): number => {
    const inside = y >= padding && y < padding + height && x >= padding && x < padding + width;
    return inside ? image(y - padding, x - padding, c) : 0;
  };
  const cropped = (y: number, x: number, c: number): number => padded(y + offset[0], x + offset[1], c);
  const flipped = (y: number, x: number, c: number): number => cropped(y, flip ? width - 1 - x : x, c);
  const out: number[] = [];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < channels; c++) out.push(Math.fround((flipped(y, x, c) / 255 - mean[c]!) / std[c]!));
  return out;
}

describe('fillBatch', () => {
  it('equals pad, crop, flip and normalise done one after the other', () => {
    fc.assert(
      fc.property(cases, ({ images, count, cropPadding, flip, seed, mean, std, ...shape }) => {
        const length = shape.height * shape.width * shape.channels;
        const out = new Float32Array(count * length).fill(NaN);
        const order = Random.stream(seed, 'order').shuffle(Uint32Array.from({ length: count }, (_, i) => i));
        const table = normalisationTable({ mean, std });
        fillBatch(
          images,
          order,
          0,
          count,
          shape,
          table,
          out,
          { cropPadding, flip },
          Random.stream(seed, 'draws'),
        );

        const draws = Random.stream(seed, 'draws');
        const expected = Array.from(order, (index) => {
          const dy = draws.integer(2 * cropPadding + 1);
          const dx = draws.integer(2 * cropPadding + 1);
          const mirrored = draws.uint32() >= 2 ** 31 && flip;
          const at = (y: number, x: number, c: number): number =>
            images[index * length + (y * shape.width + x) * shape.channels + c]!;
          return oracle(at, shape, cropPadding, [dy, dx], mirrored, mean, std);
        });
        expect(Array.from(out)).toEqual(expected.flat());
      }),
      { numRuns: 300 },
    );
  });

  it('draws every offset and both flips, evenly', () => {
    const shape = { height: 3, width: 3, channels: 1 };
    const image = Uint8Array.from({ length: 9 }, (_, i) => i + 1);
    const count = 18000;
    const out = new Float32Array(count * 9);
    const table = normalisationTable({ mean: [0], std: [1 / 255] });
    fillBatch(
      image,
      new Uint32Array(count),
      0,
      count,
      shape,
      table,
      out,
      { cropPadding: 1, flip: true },
      Random.stream(5),
    );
    const seen = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const key = Array.from(out.subarray(9 * i, 9 * i + 9), Math.round).join();
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    expect(seen.size).toBe(18);
    // Binomial with p = 1/18: sd 31; five of them.
    for (const times of seen.values()) expect(Math.abs(times - 1000)).toBeLessThan(155);
  });
});

describe('channelStatistics', () => {
  it('equals the two-pass formula', () => {
    fc.assert(
      fc.property(cases, ({ images, count, ...shape }) => {
        const indices = Uint32Array.from({ length: count }, (_, i) => i).filter((i) => i % 2 === 0);
        const length = shape.height * shape.width * shape.channels;
        const { mean, std } = channelStatistics(images, indices, shape);
        for (let c = 0; c < shape.channels; c++) {
          const values = Array.from(indices).flatMap((i) =>
            Array.from(images.subarray(i * length, (i + 1) * length))
              .filter((_, p) => p % shape.channels === c)
              .map((value) => value / 255),
          );
          const average = values.reduce((a, b) => a + b) / values.length;
          const variance = values.reduce((a, b) => a + (b - average) ** 2, 0) / values.length;
          expect(mean[c]).toBeCloseTo(average, 10);
          expect(std[c]).toBeCloseTo(Math.max(1 / 255, Math.sqrt(variance)), 10);
        }
      }),
    );
  });

  it('keeps the deviation of a constant channel above zero', () => {
    const { mean, std } = channelStatistics(new Uint8Array(12).fill(51), [0], {
      height: 2,
      width: 6,
      channels: 1,
    });
    expect(mean).toEqual([0.2]);
    expect(std).toEqual([1 / 255]);
  });
});

describe('batchesOf', () => {
  it('gives every image once, in order, normalised, in one buffer', () => {
    fc.assert(
      fc.property(
        cases,
        fc.integer({ min: 1, max: 7 }),
        ({ images, count, mean, std, ...shape }, batchSize) => {
          const length = shape.height * shape.width * shape.channels;
          const indices = Uint32Array.from({ length: count }, (_, i) => count - 1 - i);
          const labels = Uint8Array.from({ length: count }, (_, i) => 10 + i);
          const buffers = new Set<unknown>();
          const got: number[] = [];
          const gotLabels: number[] = [];
          for (const batch of batchesOf({ images, labels, shape, indices, batchSize, mean, std })) {
            expect(batch.images.length).toBe(batch.count * length);
            got.push(...batch.images);
            gotLabels.push(...batch.labels);
            buffers.add(batch.images.buffer);
          }
          const expected = Array.from(indices).flatMap((i) =>
            Array.from(images.subarray(i * length, (i + 1) * length), (value, p) => {
              const c = p % shape.channels;
              return Math.fround((value / 255 - mean[c]!) / std[c]!);
            }),
          );
          expect(got).toEqual(expected);
          expect(gotLabels).toEqual(Array.from(indices, (i) => 10 + i));
          expect(buffers.size).toBe(1);
        },
      ),
    );
  });

  it('is empty for no images and refuses a senseless batch size', () => {
    const options = {
      images: new Uint8Array(4),
      labels: new Uint8Array(4),
      shape: { height: 1, width: 1, channels: 1 },
      mean: [0],
      std: [1],
    };
    expect([...batchesOf({ ...options, indices: new Uint32Array(0), batchSize: 2 })]).toEqual([]);
    for (const batchSize of [0, 1.5, -1])
      expect(() => [...batchesOf({ ...options, indices: new Uint32Array(1), batchSize })]).toThrow(
        RangeError,
      );
  });
});
