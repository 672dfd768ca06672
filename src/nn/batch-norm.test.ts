import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { array64, batchNorm64, moments64, normals, relativeError } from '../tensor/float64.cases.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { BatchNorm } from './batch-norm.js';
import { Linear } from './linear.js';
import { Mode, stateOf } from './module.js';
import { loadState } from './state.js';

const channels = 3;
const shape = [4, 3, 2, channels] as const;
const rows = 24;

/** Batch number k of normal values with mean and deviation of its own, as the network would see it. */
const batch = (k: number, scale = 1): Float32Array =>
  normals(rows * channels, 'bn', k).map((v, i) => scale * ((1 + k) * v + (i % channels) - 2 * k));

function pass(norm: BatchNorm, values: Float32Array, mode: Mode): Float32Array {
  const y = tidy(() => norm.forward(Tensor.view(shape, values), mode));
  const copy = y.data.slice();
  y.dispose();
  return copy;
}
const buffer = (norm: BatchNorm, which: string): Float32Array =>
  norm.buffers.find(({ name }) => name === `n.${which}`)!.data;
const dispose = (norm: BatchNorm): void => norm.parameters.forEach(({ tensor }) => tensor.dispose());

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes).toBe(baseline);
});

describe('BatchNorm', () => {
  it('normalises by the batch in training, and the running statistics follow at a tenth, variance unbiased', () => {
    const norm = new BatchNorm('n', channels, true);
    norm.parameters[0]!.tensor.data.set([0.5, 2, -1]);
    norm.parameters[1]!.tensor.data.set([0.1, -0.2, 0.3]);
    const [mean, variance] = [new Float64Array(channels), new Float64Array(channels).fill(1)];
    for (let k = 0; k < 3; k++) {
      const x = array64(shape, batch(k));
      const expected = batchNorm64(x, array64([3], [0.5, 2, -1]), array64([3], [0.1, -0.2, 0.3]), 1e-5, true);
      expect(relativeError(pass(norm, batch(k), Mode.Training), expected.data)).toBeLessThan(2e-6);
      const moments = moments64(x);
      for (let c = 0; c < channels; c++) {
        mean[c]! += 0.1 * (moments.mean[c]! - mean[c]!);
        variance[c]! += 0.1 * ((moments.variance[c]! * rows) / (rows - 1) - variance[c]!);
      }
    }
    expect(relativeError(buffer(norm, 'mean'), mean)).toBeLessThan(2e-6);
    expect(relativeError(buffer(norm, 'variance'), variance)).toBeLessThan(2e-6);
    dispose(norm);
  });

  it('evaluates by the stored statistics and leaves them alone', () => {
    const norm = new BatchNorm('n', channels, false);
    for (let k = 0; k < 5; k++) pass(norm, batch(k), Mode.Training);
    const [mean, variance] = [buffer(norm, 'mean').slice(), buffer(norm, 'variance').slice()];
    const y = pass(norm, batch(9), Mode.Evaluation);
    const expected = batch(9).map(
      (v, i) => (v - mean[i % channels]!) / Math.sqrt(variance[i % channels]! + 1e-5),
    );
    expect(relativeError(y, expected)).toBeLessThan(2e-6);
    expect(buffer(norm, 'mean')).toEqual(mean);
    expect(buffer(norm, 'variance')).toEqual(variance);
    dispose(norm);
  });

  it('recalibrates to the plain average of the moments of the batches', () => {
    const norm = new BatchNorm('n', channels, false);
    const moments = [0, 1, 2, 3, 4].map((k) => {
      pass(norm, batch(k), Mode.Recalibration);
      return moments64(array64(shape, batch(k)));
    });
    for (let c = 0; c < channels; c++) {
      const average = (of: (each: (typeof moments)[0]) => number): number =>
        moments.reduce((sum, each) => sum + of(each), 0) / moments.length;
      expect(buffer(norm, 'mean')[c]).toBeCloseTo(
        average(({ mean }) => mean[c]!),
        4,
      );
      expect(
        buffer(norm, 'variance')[c]! / average(({ variance }) => (variance[c]! * rows) / (rows - 1)),
      ).toBeCloseTo(1, 5);
    }
    dispose(norm);
  });

  it.each([
    ['training', 1],
    ['statistics a million times as large', 1e6],
    ['statistics beyond all bounds', 3e18],
    ['statistics that are not finite', Infinity],
  ])('recalibration forgets what was there before, to the bit: %s', (_, scale) => {
    const used = new BatchNorm('n', channels, false);
    pass(used, batch(7, Math.min(scale, 1e18)), Mode.Training);
    pass(used, batch(8, 3), Mode.Recalibration);
    if (scale === Infinity) {
      buffer(used, 'mean').fill(NaN);
      buffer(used, 'variance').fill(Infinity);
    }
    used.resetStatistics();
    const fresh = new BatchNorm('n', channels, false);
    for (const norm of [used, fresh])
      for (let k = 0; k < 3; k++) pass(norm, batch(k, 1e-3), Mode.Recalibration);
    expect(buffer(used, 'mean')).toEqual(buffer(fresh, 'mean'));
    expect(buffer(used, 'variance')).toEqual(buffer(fresh, 'variance'));
    dispose(used);
    dispose(fresh);
  });

  it('takes a batch of one row without a division by zero', () => {
    const norm = new BatchNorm('n', channels, false);
    const y = tidy(() =>
      norm.forward(Tensor.view([1, 1, 1, channels], Float32Array.of(1, -2, 3)), Mode.Training),
    );
    // Scale 1 / sqrt(epsilon) and shift are rounded separately.
    expect(Math.max(...y.data.map(Math.abs))).toBeLessThan(1e-3);
    expect(buffer(norm, 'variance').every(Number.isFinite)).toBe(true);
    y.dispose();
    dispose(norm);
  });

  it('decays neither scale nor offset, and learns in evaluation too, its statistics staying where they are', () => {
    const norm = new BatchNorm('n', channels, false);
    expect(norm.parameters.map(({ decay }) => decay)).toEqual([false, false]);
    const before = norm.buffers.map(({ data }) => data.slice());
    const images = batch(0);
    const { value, tape } = Tape.record(() => norm.forward(Tensor.view(shape, images), Mode.Evaluation));
    tape.backward(value);
    const [gamma, beta] = norm.parameters.map(({ tensor }) => tensor.gradient!);
    // The statistics of a new norm are 0 and 1: gamma's gradient is the sum of what it scales, nearly x itself.
    const sums = new Float64Array(channels);
    images.forEach((pixel, i) => (sums[i % channels]! += pixel / Math.sqrt(1 + 1e-5)));
    sums.forEach((sum, c) => expect(gamma![c]).toBeCloseTo(sum, 3));
    expect([...beta!]).toEqual(Array(channels).fill(images.length / channels));
    expect(norm.buffers.map(({ data }) => data)).toEqual(before);
    dispose(norm);
  });
});

describe('Linear and its state', () => {
  const linear = (seed: number): Linear => new Linear('fc', 4, 3, Random.stream(seed));
  const release = (...layers: Linear[]): void =>
    layers.forEach(({ parameters }) => parameters.forEach(({ tensor }) => tensor.dispose()));

  it('computes x w + b and decays only the weights', () => {
    const layer = linear(1);
    layer.parameters[1]!.tensor.data.set([1, 2, 3]);
    const w = layer.parameters[0]!.tensor.data;
    expect(Math.max(...w.map(Math.abs))).toBeLessThanOrEqual(0.5);
    const x = normals(8, 'x');
    const y = tidy(() => layer.forward(Tensor.view([2, 1, 1, 4], x)));
    for (let n = 0; n < 2; n++)
      for (let o = 0; o < 3; o++) {
        let sum = o + 1;
        for (let i = 0; i < 4; i++) sum += x[4 * n + i]! * w[3 * i + o]!;
        expect(y.data[3 * n + o]).toBeCloseTo(sum, 5);
      }
    expect(layer.parameters.map(({ decay }) => decay)).toEqual([true, false]);
    y.dispose();
    release(layer);
  });

  it('loadState copies everything or, when anything does not fit, nothing', () => {
    const [from, to] = [linear(1), linear(2)];
    const saved = stateOf(from);
    const before = stateOf(to).get('fc.weight')!.data.slice();
    const wrong: readonly [string, Map<string, { shape: readonly number[]; data: Float32Array }>][] = [
      ["no tensor 'fc.bias'", new Map([...saved].slice(0, 1))],
      ["'other' is unknown", new Map([...saved, ['other', { shape: [1], data: new Float32Array(1) }]])],
      ["'fc.weight' has shape [4, 3]", new Map([...saved, ['fc.weight', { shape: [4, 3], data: before }]])],
    ];
    for (const [message, state] of wrong) {
      expect(() => loadState(to, state, 'model.safetensors')).toThrow(FileError);
      expect(() => loadState(to, state, 'model.safetensors')).toThrow(`model.safetensors`);
      expect(() => loadState(to, state, 'model.safetensors')).toThrow(message);
      expect(stateOf(to).get('fc.weight')!.data).toEqual(before);
    }
    loadState(to, saved, 'model.safetensors');
    expect(stateOf(to)).toEqual(saved);
    release(from, to);
  });
});
