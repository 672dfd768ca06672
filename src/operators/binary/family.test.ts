import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { estimateLayer, loadProfile, operationCount, Primitive } from '../../hardware/index.js';
import { normals } from '../../tensor/float64.cases.js';
import { sum } from '../../tensor/ops/reduction.js';
import { Tape, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry } from '../contract.js';
import { weightCount } from '../initialisation.js';
import { weightShape } from '../layer.js';
import { binary } from './family.js';
import { approxSign, scalesInto, signsInto } from './ops.js';
import { onesOf, packBinaryLayer, runBinaryLayer } from './xnor.js';

describe('the sign', () => {
  it('is 1 above zero and -1 at zero and below, never 0', () => {
    const x = Float32Array.of(2, 1e-30, 0, -0, -1e-30, -5, Infinity, -Infinity);
    const signs = new Float32Array(x.length);
    signsInto(x, signs);
    expect([...signs]).toEqual([1, 1, -1, -1, -1, -1, 1, -1]);
  });

  it('passes the gradient of an odd, continuous function from -1 to 1 whose integral is 2: x (2 - |x|)', () => {
    const steps = 4000;
    const points = Float32Array.from({ length: 2 * steps + 1 }, (_, i) => (1.5 * (i - steps)) / steps);
    const x = Tensor.persistent([points.length], points, true);
    const { value, tape } = Tape.record(() => sum(approxSign(x)));
    tape.backward(value);
    const slope = x.gradient!.slice();
    x.dispose();
    const step = 1.5 / steps;
    let integral = -1;
    slope.forEach((value, i) => {
      const at = points[i]!;
      expect(value).toBeCloseTo(slope[slope.length - 1 - i]!, 6);
      if (i > 0) {
        expect(Math.abs(value - slope[i - 1]!)).toBeLessThan(2.01 * step);
        integral += (step * (value + slope[i - 1]!)) / 2;
      }
      const expected = Math.abs(at) < 1 ? at * (2 - Math.abs(at)) : Math.sign(at);
      expect(integral).toBeCloseTo(expected, 4);
    });
    expect(slope[steps]).toBe(2);
  });
});

describe('the scale of a channel', () => {
  it('is the one that brings the signs closest to the weights', () => {
    const [rows, channels] = [45, 6];
    const weights = normals(rows * channels, 'scale');
    const scales = new Float32Array(channels);
    scalesInto(weights, scales);
    const distance = (channel: number, scale: number): number => {
      let total = 0;
      for (let row = 0; row < rows; row++) {
        const w = weights[row * channels + channel]!;
        total += (w - scale * (w > 0 ? 1 : -1)) ** 2;
      }
      return total;
    };
    scales.forEach((scale, channel) => {
      for (const factor of [0.5, 0.98, 1.02, 2])
        expect(distance(channel, scale * factor)).toBeGreaterThan(distance(channel, scale));
    });
  });
});

const geometries: Readonly<Record<string, LayerGeometry>> = {
  'one word, not full': { inChannels: 5, outChannels: 7, kernel: 3, stride: 1, padding: 1, groups: 1 },
  'exactly one word': { inChannels: 32, outChannels: 4, kernel: 3, stride: 2, padding: 1, groups: 1 },
  'one channel more': { inChannels: 33, outChannels: 3, kernel: 3, stride: 1, padding: 1, groups: 1 },
  'three words': { inChannels: 70, outChannels: 9, kernel: 1, stride: 2, padding: 0, groups: 1 },
  'wide padding': { inChannels: 3, outChannels: 4, kernel: 5, stride: 1, padding: 3, groups: 1 },
  groups: { inChannels: 68, outChannels: 4, kernel: 3, stride: 1, padding: 1, groups: 2 },
  'depth-wise': { inChannels: 6, outChannels: 12, kernel: 3, stride: 2, padding: 1, groups: 6 },
};

describe('XNOR and count', () => {
  it('counts the ones of any word', () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (word) => {
        let ones = 0;
        for (let bit = 0; bit < 32; bit++) ones += (word >>> bit) & 1;
        expect(onesOf(word)).toBe(ones);
      }),
    );
    expect([onesOf(0), onesOf(-1), onesOf(0xffffffff)]).toEqual([0, 32, 32]);
  });

  it.each(Object.entries(geometries))('gives what the layer gives, to the bit: %s', (label, geometry) => {
    const size = [2, 6, 7] as const;
    const x = normals(84 * geometry.inChannels, label, 'x').map((v, i) => (i % 5 === 0 ? 0 : v));
    const thresholds = normals(geometry.inChannels, label, 't').map((v, i) => (i % 3 === 0 ? 0 : 0.3 * v));
    const weights = binary.initialWeights(geometry, Random.stream(label));
    const y = tidy(() =>
      binary.forward(
        Tensor.view([...size, geometry.inChannels], x),
        Tensor.view(weightShape(geometry), weights),
        geometry,
        [Tensor.view([1, 1, 1, geometry.inChannels], thresholds)],
      ),
    );
    const packed = packBinaryLayer(weights, thresholds, geometry);
    expect(runBinaryLayer(packed, x, size)).toEqual(y.data);
    expect(new Set(y.data).size).toBeGreaterThan(5);
    y.dispose();
  });

  it('refuses weights, thresholds and inputs of another size', () => {
    const geometry = geometries['groups']!;
    const weights = new Float32Array(weightCount(geometry));
    expect(() => packBinaryLayer(weights.subarray(1), new Float32Array(68), geometry)).toThrow(ShapeError);
    expect(() => packBinaryLayer(weights, new Float32Array(67), geometry)).toThrow(ShapeError);
    const packed = packBinaryLayer(weights, new Float32Array(68), geometry);
    expect(() => runBinaryLayer(packed, new Float32Array(68), [1, 1, 2])).toThrow(ShapeError);
  });
});

describe('the price of a binary layer', () => {
  const layer = {
    ...{ name: 'layer', fullyConnected: false, batch: 1, inHeight: 16, inWidth: 16, inChannels: 32 },
    ...{ kernel: 3, outHeight: 16, outWidth: 16, outChannels: 32, stride: 1, groups: 1 },
    primitive: Primitive.Multiply,
  };
  const wide = { weight: 32, activation: 32, partialSum: 32 };
  const computeMj = (operandBits: typeof wide, profile: string): number =>
    estimateLayer({ ...layer, operandBits }, profile).byLevel.computeMj;

  it.each(['fair', 'fair-int8'])('is that of an XNOR and a count under %s', (name) => {
    const word = loadProfile(name).wordSizes[name === 'fair' ? '32' : '8']!;
    const operations = operationCount({ ...layer, operandBits: binary.operandBits });
    const pj = (computeMj(binary.operandBits, name) * 1e9) / operations;
    expect(pj).toBeCloseTo(0.2 / 64 + 0.05, 3);
    expect(pj).toBeLessThan(word.computePj.add.value + word.computePj.accumulate.value);
    // One operand of 1 bit alone still needs more than an XNOR; integers of few bits less than words.
    for (const bits of [
      { ...wide, weight: 1 },
      { ...wide, activation: 1 },
    ]) {
      expect(computeMj(bits, name)).toBeGreaterThan(2 * computeMj(binary.operandBits, name));
      if (name === 'fair') expect(computeMj(bits, name)).toBe(computeMj(wide, name));
      else expect(computeMj(bits, name)).toBeLessThan(computeMj(wide, name));
    }
  });

  it('is that of a convolution where a profile knows machine words only, as the published ones', () => {
    const [signs, words] = [binary.operandBits, wide].map((operandBits) =>
      estimateLayer({ ...layer, operandBits }, 'paper-cv-168'),
    );
    expect(signs!.energyMj).toBe(words!.energyMj);
  });
});
