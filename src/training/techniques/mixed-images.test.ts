import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import type { LabelledImages } from '../technique.js';
import { cutBox, keptByBox, mixedImages, type MixSettings } from './mixed-images.js';

const shape = { height: 6, width: 8, channels: 3 };
const [count, classes, floats] = [16, 5, 6 * 8 * 3];

/** Every value tells its image: image n is filled with n + 1. */
function batch(): LabelledImages {
  return {
    images: Float32Array.from({ length: count * floats }, (_, i) => 1 + Math.floor(i / floats)),
    labels: Int32Array.from({ length: count }, (_, n) => n % classes),
  };
}

const always: MixSettings = { alpha: 1, probability: 1 };
const mixedBy = (by: { mixup?: MixSettings; cutmix?: MixSettings }, step: number, seed = 1): LabelledImages =>
  mixedImages({ seed, classes, shape, ...by }).batch!(batch(), { step, steps: 1e6, stepsPerEpoch: 1000 });

const row = (values: Float32Array, n: number): number[] => [
  ...values.subarray(n * classes, (n + 1) * classes),
];

describe('mixup', () => {
  it('blends each image with one other and its targets in the same proportion, which sum to one', () => {
    for (let step = 0; step < 20; step++) {
      const { images, targets } = mixedBy({ mixup: always }, step);
      const given = batch();
      const first = Array.from({ length: count }, (_, n) => images[n * floats]!);
      // The sums over a permutation stay: every image goes in once as itself and once as a partner.
      expect(first.reduce((sum, v) => sum + v, 0)).toBeCloseTo((count * (count + 1)) / 2, 3);
      for (let n = 0; n < count; n++) {
        const own = row(targets!, n);
        expect(own.reduce((sum, q) => sum + q, 0)).toBeCloseTo(1, 6);
        for (let i = 0; i < floats; i++) expect(images[n * floats + i]).toBe(first[n]);
        expect(own.filter((q) => q > 0).length).toBeLessThanOrEqual(2);
        expect(own[given.labels[n]!]).toBeGreaterThan(0);
      }
      // One lambda for the batch: the shares of the own class are lambda, or 1 where the partner is of the same class.
      const shares = new Set(
        Array.from({ length: count }, (_, n) => row(targets!, n)[given.labels[n]!]!.toFixed(6)),
      );
      shares.delete('1.000000');
      expect(shares.size).toBeLessThanOrEqual(1);
    }
  });

  it('draws lambda from Beta(alpha, alpha): mean 1/2, variance 1 / (4 (2 alpha + 1)); another for every step', () => {
    const alpha = 0.4;
    const lambdas = Array.from({ length: 4000 }, (_, step) => {
      const { targets, labels } = mixedImages({
        seed: 3,
        classes: 2,
        shape: { height: 1, width: 1, channels: 1 },
        mixup: { alpha, probability: 1 },
      }).batch!(
        { images: new Float32Array(64), labels: Int32Array.from({ length: 64 }, (_, n) => n % 2) },
        { step, steps: 1, stepsPerEpoch: 1 },
      );
      const mixedOnes = Array.from({ length: 64 }, (_, n) => targets![2 * n + (n % 2)]!).filter((q) => q < 1);
      expect(labels.length).toBe(64);
      return mixedOnes[0] ?? 1;
    });
    const mean = lambdas.reduce((sum, v) => sum + v, 0) / lambdas.length;
    const variance = lambdas.reduce((sum, v) => sum + (v - mean) ** 2, 0) / lambdas.length;
    expect(mean).toBeCloseTo(0.5, 1);
    expect(variance / (1 / (4 * (2 * alpha + 1)))).toBeCloseTo(1, 1);
    expect(new Set(lambdas).size).toBeGreaterThan(3900);
  });
});

describe('cutmix', () => {
  it('pastes one box of the partner; the target keeps exactly the part of the image outside', () => {
    for (let step = 0; step < 40; step++) {
      const { images, targets } = mixedBy({ cutmix: always }, step);
      const { labels } = batch();
      for (let n = 0; n < count; n++) {
        const values = images.subarray(n * floats, (n + 1) * floats);
        const foreign = values.filter((v) => v !== n + 1);
        expect(new Set(foreign).size).toBeLessThanOrEqual(1);
        if (foreign.length === 0) continue;
        const partner = foreign[0]! - 1;
        const kept = 1 - foreign.length / floats;
        const expected = new Float64Array(classes);
        expected[labels[n]!]! += kept;
        expected[labels[partner]!]! += 1 - kept;
        row(targets!, n).forEach((q, c) => expect(q).toBeCloseTo(expected[c]!, 6));
      }
    }
  });

  it('box and lambda agree: the area is 1 - lambda where it is not cut, and what is kept is exactly 1 - area', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (lambda, seed) => {
        const size = { height: 200, width: 100, channels: 1 };
        const box = cutBox(Random.stream(seed), size, lambda);
        const { top, bottom, left, right } = box;
        expect(top >= 0 && left >= 0 && bottom <= 200 && right <= 100 && top <= bottom && left <= right).toBe(
          true,
        );
        const area = (bottom - top) * (right - left);
        expect(keptByBox(box, size)).toBe(1 - area / 20_000);
        expect(area / 20_000).toBeLessThanOrEqual(1 - lambda + 1e-9);
        const inside = top > 0 && left > 0 && bottom < 200 && right < 100;
        // Whole pixels: up to one row and one column less.
        if (inside) expect(area / 20_000).toBeGreaterThan(1 - lambda - 0.016);
      }),
    );
  });

  it('counts as right what most of the image shows', () => {
    let swapped = 0;
    for (let step = 0; step < 40; step++) {
      const { labels, targets } = mixedBy({ cutmix: always }, step);
      labels.forEach((label, n) => expect(row(targets!, n)[label]).toBeGreaterThanOrEqual(0.4999));
      if (labels.some((label, n) => label !== n % classes)) swapped++;
    }
    expect(swapped).toBeGreaterThan(0);
  });
});

describe('mixed images', () => {
  it('follow from seed and step alone, and leave the lent batch as it is', () => {
    for (const by of [{ mixup: always }, { cutmix: always }]) {
      expect(mixedBy(by, 7)).toEqual(mixedBy(by, 7));
      expect(mixedBy(by, 7).images).not.toEqual(mixedBy(by, 8).images);
      expect(mixedBy(by, 7).images).not.toEqual(mixedBy(by, 7, 2).images);
      const lent = batch();
      mixedImages({ seed: 1, classes, shape, ...by }).batch!(lent, { step: 7, steps: 9, stepsPerEpoch: 9 });
      expect(lent).toEqual(batch());
    }
  });

  it('mix in the given part of the steps; of both, cutmix is asked first', () => {
    const kinds = Array.from({ length: 2000 }, (_, step) => {
      const { images, targets } = mixedBy(
        { mixup: { alpha: 1, probability: 0.5 }, cutmix: { alpha: 1, probability: 0.4 } },
        step,
      );
      if (targets === undefined) return 'plain';
      return images.every(Number.isInteger) ? 'cutmix' : 'mixup';
    });
    const part = (kind: string): number => kinds.filter((each) => each === kind).length / kinds.length;
    expect(part('cutmix')).toBeCloseTo(0.4, 1);
    expect(part('mixup')).toBeCloseTo(0.3, 1);
    expect(part('plain')).toBeCloseTo(0.3, 1);
  });
});
