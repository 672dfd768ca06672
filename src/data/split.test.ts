/** @file The three-way split: a partition, stratified, reproducible, and closed towards the test part. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { allocateImages, allocateLabels, countPerClass, type ImageDataset } from './dataset.js';
import { splitDataset } from './split.js';
import { proportionalCounts } from './stratify.js';

function datasetOf(labels: readonly number[], classCount: number, testCount = 5): ImageDataset {
  const shape = { height: 1, width: 1, channels: 1 };
  const part = (values: readonly number[]) => {
    const made = {
      images: allocateImages(values.length, shape),
      labels: allocateLabels(values.length, classCount),
    };
    made.labels.set(values);
    return made;
  };
  return {
    ...shape,
    name: 'made',
    spec: 'made',
    classes: Array.from({ length: classCount }, (_, c) => `class ${c}`),
    train: part(labels),
    test: part(new Array<number>(testCount).fill(0)),
    notices: [],
    fingerprint: '',
  };
}

const labelLists = fc.integer({ min: 2, max: 300 }).chain((classCount) =>
  fc.record({
    classCount: fc.constant(classCount),
    labels: fc.array(fc.integer({ min: 0, max: classCount - 1 }), { minLength: 4, maxLength: 400 }),
  }),
);

describe('splitDataset', () => {
  it('parts train in two without overlap or loss, at the size asked for, keeping every class in train', () => {
    fc.assert(
      fc.property(
        labelLists,
        fc.nat(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        ({ labels, classCount }, seed, part) => {
          const dataset = datasetOf(labels, classCount);
          const sizes = countPerClass(dataset.train.labels, classCount);
          const most = labels.length - sizes.filter((size) => size > 0).length;
          const heldOut = Math.floor(part * most);
          const splits = splitDataset(dataset, { seed, searchValidation: heldOut });
          const train = Array.from(splits.train.indices);
          const validation = Array.from(splits.searchValidation.indices);
          expect(validation).toHaveLength(heldOut);
          expect([...train, ...validation].sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
          const trained = countPerClass(dataset.train.labels, classCount, splits.train.indices);
          sizes.forEach((size, c) => expect(trained[c]! > 0).toBe(size > 0));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is stratified: no class is off its share by one image or more', () => {
    const labels = Array.from({ length: 1000 }, (_, i) => (i % 10 < 6 ? 0 : i % 10 < 9 ? 1 : 2));
    const { searchValidation, train } = splitDataset(datasetOf(labels, 3), {
      seed: 3,
      searchValidation: 0.123,
    });
    const counts = countPerClass(searchValidation.labels, 3, searchValidation.indices);
    expect(counts.reduce((a, b) => a + b)).toBe(123);
    [73.8, 36.9, 12.3].forEach((share, c) => expect(Math.abs(counts[c]! - share)).toBeLessThan(1));
    expect(train.indices.length).toBe(877);
  });

  it('follows the seed and nothing else', () => {
    const dataset = datasetOf(
      Array.from({ length: 200 }, (_, i) => i % 4),
      4,
    );
    const draw = (seed: number) =>
      Array.from(splitDataset(dataset, { seed, searchValidation: 40 }).searchValidation.indices);
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  it('limits train alone, with the classes in proportion', () => {
    const dataset = datasetOf(
      Array.from({ length: 400 }, (_, i) => i % 4),
      4,
    );
    const whole = splitDataset(dataset, { seed: 1, searchValidation: 0.25 });
    const few = splitDataset(dataset, { seed: 1, searchValidation: 0.25, limitTrain: 40 });
    expect(few.searchValidation.indices).toEqual(whole.searchValidation.indices);
    expect(countPerClass(few.train.labels, 4, few.train.indices)).toEqual([10, 10, 10, 10]);
    const all = new Set(whole.train.indices);
    for (const index of few.train.indices) expect(all.has(index)).toBe(true);
    const generous = splitDataset(dataset, { seed: 1, searchValidation: 0.25, limitTrain: 9999 });
    expect(generous.train.indices).toEqual(whole.train.indices);
  });

  it('may hold out nothing', () => {
    const splits = splitDataset(datasetOf([0, 1, 0, 1], 2), { seed: 1, searchValidation: 0 });
    expect(splits.searchValidation.indices.length).toBe(0);
    expect(splits.train.indices.length).toBe(4);
  });

  it('refuses sizes that cannot be', () => {
    const dataset = datasetOf([0, 0, 0, 1, 1, 1], 2);
    for (const searchValidation of [-0.1, -1, 1.5, NaN, 5, 6, Infinity])
      expect(() => splitDataset(dataset, { seed: 1, searchValidation })).toThrow(OptionError);
    expect(() => splitDataset(dataset, { seed: 1, searchValidation: 5 })).toThrow(/at most 4 of the 6/);
    for (const limitTrain of [0, -1, 2.5, NaN])
      expect(() => splitDataset(dataset, { seed: 1, searchValidation: 1, limitTrain })).toThrow(OptionError);
  });
});

describe('the test part', () => {
  /** Every object and buffer that can be reached from a value through its properties. */
  function reachable(value: unknown, seen = new Set<unknown>()): Set<unknown> {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value))
      return seen;
    seen.add(value);
    if (ArrayBuffer.isView(value)) seen.add(value.buffer);
    else for (const key of Reflect.ownKeys(value)) reachable(Reflect.get(value, key), seen);
    return seen;
  }

  it('cannot be reached from what the search is given', () => {
    const dataset = datasetOf([0, 1, 0, 1, 0, 1], 2);
    const splits = splitDataset(dataset, { seed: 1, searchValidation: 2 });
    const found = reachable(splits.forSearch());
    for (const hidden of [
      dataset,
      dataset.test,
      dataset.test.images,
      dataset.test.labels,
      dataset.test.images.buffer,
      dataset.test.labels.buffer,
    ])
      expect(found.has(hidden)).toBe(false);
    expect(found.has(dataset.train.images)).toBe(true);
    expect(splits.testAccesses).toEqual([]);
    // @ts-expect-error the search has no test part by type either
    expect(splits.forSearch().test).toBeUndefined();
  });

  it('is opened with a reason, which is kept', () => {
    const splits = splitDataset(datasetOf([0, 1, 0, 1], 2, 7), { seed: 1, searchValidation: 1 });
    expect(splits.testCount).toBe(7);
    expect(splits.testAccesses).toEqual([]);
    expect(splits.openTest('final accuracy of net 1').indices).toEqual(Uint32Array.of(0, 1, 2, 3, 4, 5, 6));
    splits.openTest('final accuracy of net 2');
    expect(splits.testAccesses).toEqual(['final accuracy of net 1', 'final accuracy of net 2']);
    (splits.testAccesses as string[]).length = 0;
    expect(splits.testAccesses).toHaveLength(2);
    expect(() => splits.openTest(' ')).toThrow(/reason/);
  });
});

describe('proportionalCounts', () => {
  it('meets the total and the caps', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(50), fc.nat(50)), { minLength: 1, maxLength: 20 }),
        fc.nat(600),
        (pairs, total) => {
          const sizes = pairs.map(([a, b]) => Math.max(a, b));
          const caps = pairs.map(([a, b]) => Math.min(a, b));
          const counts = proportionalCounts(sizes, caps, total);
          expect(counts.reduce((a, b) => a + b)).toBe(
            Math.min(
              total,
              caps.reduce((a, b) => a + b),
            ),
          );
          counts.forEach((count, c) => expect(count >= 0 && count <= caps[c]!).toBe(true));
        },
      ),
    );
  });
});

describe('allocateImages', () => {
  it('says how many bytes would be needed where there are fewer', () => {
    const shape = { height: 224, width: 224, channels: 3 };
    expect(allocateImages(2, shape, 2 * 150_528)).toHaveLength(2 * 150_528);
    expect(() => allocateImages(1_281_167, shape, 16e9)).toThrow(
      /1281167 images of 224x224x3 need 192\.9 GB \(192851506176 bytes\), and there are 16\.0 GB/,
    );
  });
});
