import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { add } from './family.js';

const geometry = { inChannels: 4, outChannels: 5, kernel: 3, stride: 1, padding: 0, groups: 1 };
const dense = (inChannels: number, outChannels: number) => ({
  ...geometry,
  kernel: 1,
  inChannels,
  outChannels,
});

function outputs(x: Float32Array, shape: readonly number[], w: Float32Array, at = geometry): Float32Array {
  const weights = Tensor.persistent([at.kernel, at.kernel, at.inChannels, at.outChannels], w);
  const y = tidy(() => add.forward(Tensor.view(shape, x), weights, at));
  const values = y.data.slice();
  y.dispose();
  weights.dispose();
  return values;
}

const shape = [2, 5, 4, 4] as const;
const x = normals(160, 'adder x');
const w = normals(180, 'adder w');

describe('add', () => {
  it('is never positive, and zero where patch and weights agree', () => {
    expect(Math.max(...outputs(x, shape, w))).toBeLessThan(0);
    const patch = normals(4, 'patch');
    const weights = Float32Array.from({ length: 4 }, (_, i) => patch[i]!);
    expect(Math.abs(outputs(patch, [1, 1, 1, 4], weights, dense(4, 1))[0]!)).toBe(0);
  });

  it('does not change when inputs and weights move together, and scales with them', () => {
    const before = outputs(x, shape, w);
    fc.assert(
      fc.property(
        fc.double({ min: -4, max: 4, noNaN: true }),
        fc.double({ min: 0.05, max: 20, noNaN: true }),
        (by, factor) => {
          const moved = outputs(
            x.map((v) => v + by),
            shape,
            w.map((v) => v + by),
          );
          expect(relativeError(moved, before)).toBeLessThan(2e-6);
          const scaled = outputs(
            x.map((v) => v * -factor),
            shape,
            w.map((v) => v * -factor),
          );
          expect(
            relativeError(
              scaled,
              before.map((y) => factor * y),
            ),
          ).toBeLessThan(2e-6);
        },
      ),
      { numRuns: 20 },
    );
  });

  it('zero padding takes part as |0 - w|: the corner of an all-zero image sees every weight', () => {
    const y = outputs(new Float32Array(36), [1, 3, 3, 4], w, { ...geometry, padding: 1 });
    for (let o = 0; o < 5; o++) {
      const expected = -w.reduce((sum, value, i) => sum + (i % 5 === o ? Math.abs(value) : 0), 0);
      for (let position = 0; position < 9; position++) expect(y[position * 5 + o]).toBeCloseTo(expected, 4);
    }
  });

  it('with class means as weights, classifies as the nearest mean in L1 does', () => {
    const [features, classes, samples] = [12, 6, 200];
    const random = Random.stream('templates');
    const means = Array.from({ length: classes }, () =>
      Float32Array.from({ length: features }, () => random.normal()),
    );
    const images = Float32Array.from(
      { length: samples * features },
      (_, i) => means[Math.floor(i / features) % classes]![i % features]! + 1.5 * random.normal(),
    );
    const weights = Float32Array.from(
      { length: features * classes },
      (_, i) => means[i % classes]![Math.floor(i / classes)]!,
    );
    const y = outputs(images, [samples, 1, 1, features], weights, dense(features, classes));
    let right = 0;
    for (let n = 0; n < samples; n++) {
      const image = images.subarray(n * features, (n + 1) * features);
      const distances = means.map((mean) => image.reduce((sum, v, i) => sum + Math.abs(v - mean[i]!), 0));
      const nearest = distances.indexOf(Math.min(...distances));
      const row = [...y.subarray(n * classes, (n + 1) * classes)];
      expect(row.indexOf(Math.max(...row))).toBe(nearest);
      if (nearest === n % classes) right++;
    }
    expect(right / samples).toBeGreaterThan(0.5);
  });

  it('has the moments of a sum of |N(0, 2)|: mean -D sqrt(4 / pi), variance 2 D (1 - 2 / pi)', () => {
    // operators-and-techniques 0.4, for unit variances: mean -162 and deviation 10.2 at D = 144.
    const [inputs, outs] = [144, 200];
    const values = outputs(
      normals(100 * inputs, 'mx'),
      [100, 1, 1, inputs],
      normals(inputs * outs, 'mw'),
      dense(inputs, outs),
    );
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    expect(mean / (-inputs * Math.sqrt(4 / Math.PI))).toBeCloseTo(1, 1);
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
    expect(Math.sqrt(variance)).toBeGreaterThan(8);
    expect(Math.sqrt(variance)).toBeLessThan(13);
  });

  it('starts at unit variance', () => {
    const weights = add.initialWeights(
      { ...geometry, inChannels: 32, outChannels: 64 },
      Random.stream('add'),
    );
    const variance = weights.reduce((sum, v) => sum + v * v, 0) / weights.length;
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / weights.length));
  });
});
