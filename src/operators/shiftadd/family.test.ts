import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { add } from '../add/family.js';
import type { LayerGeometry, OperatorFamily } from '../contract.js';
import { OperatorLayer } from '../layer.js';
import { shiftAdd } from './family.js';
import { shiftAddFixed } from './fixed.js';

const geometry = (inChannels: number, outChannels: number, kernel: number, stride = 1): LayerGeometry => ({
  ...{ inChannels, outChannels, kernel, stride },
  ...{ padding: Math.floor(kernel / 2), groups: 1 },
});

function outputs(
  family: OperatorFamily,
  at: LayerGeometry,
  x: Tensor,
  weights: Float32Array,
  addWeights?: Float32Array,
): Float32Array {
  const { kernel, inChannels, outChannels } = at;
  const w = Tensor.view([kernel, kernel, inChannels, outChannels], weights);
  const own = addWeights && [Tensor.view([kernel, kernel, outChannels, outChannels], addWeights)];
  const y = tidy(() => family.forward(x, w, at, own));
  const values = y.data.slice();
  y.dispose();
  return values;
}

/** The identity as weights: a one in the middle of the kernel of each channel on itself. */
function identity(channels: number, kernel: number): Float32Array {
  const weights = new Float32Array(kernel ** 2 * channels ** 2);
  const middle = (kernel ** 2 - 1) / 2;
  for (let c = 0; c < channels; c++) weights[(middle * channels + c) * channels + c] = 1;
  return weights;
}

describe.each([shiftAdd, shiftAddFixed])('$name', (family) => {
  it.each([1, 3])('is the add layer where the shift is the identity: kernel %i', (kernel) => {
    const at = geometry(5, 5, kernel);
    const x = Tensor.view([2, 4, 6, 5], normals(240, 'x'));
    const w = normals(kernel ** 2 * 25, 'w');
    expect(outputs(family, at, x, identity(5, kernel), w)).toEqual(outputs(add, at, x, w));
  });

  it('scales with its input and its add weights together, and is never positive', () => {
    const at = geometry(4, 6, 3, 2);
    const shift = family.initialWeights(at, Random.stream('shift'));
    const [x, w] = [normals(200, 'x'), normals(9 * 36, 'w')];
    const view = (values: Float32Array): Tensor => Tensor.view([2, 5, 5, 4], values);
    const before = outputs(family, at, view(x), shift, w);
    expect(Math.max(...before)).toBeLessThan(0);
    for (const factor of [0.3, 7]) {
      const scaled = outputs(
        family,
        at,
        view(x.map((v) => factor * v)),
        shift,
        w.map((v) => factor * v),
      );
      expect(
        relativeError(
          scaled,
          before.map((y) => factor * y),
        ),
      ).toBeLessThan(2e-6);
    }
  });

  it('refuses an even kernel, which cannot keep the map', () => {
    expect(() => new OperatorLayer('even', family, geometry(2, 2, 2), Random.stream('even'))).toThrow(
      ShapeError,
    );
  });

  it('gives the adaptive rate to the add weights alone', () => {
    const layer = new OperatorLayer('layer', family, geometry(3, 4, 3), Random.stream('rates'));
    expect(layer.parameters.map(({ name, adaptiveRate }) => [name, adaptiveRate])).toEqual([
      ['layer.weight', undefined],
      ['layer.addWeight', add.adaptiveRate],
    ]);
    for (const { tensor } of layer.parameters) tensor.dispose();
  });
});

describe('fixed shifts', () => {
  it('are half zeros, half signed powers 2^-7 to 1 with exponents around -3.5', () => {
    const weights = shiftAddFixed.initialWeights(geometry(64, 64, 3), Random.stream('fixed'));
    const count = weights.length;
    const share = (holds: (w: number) => boolean): number => weights.filter(holds).length / count;
    const within = (p: number): number => 5 * Math.sqrt((p * (1 - p)) / count);
    expect(Math.abs(share((w) => w === 0) - 0.5)).toBeLessThan(within(0.5));
    expect(Math.abs(share((w) => w > 0) - 0.25)).toBeLessThan(within(0.25));
    const powers = new Set(weights.filter((w) => w !== 0).map((w) => Math.log2(Math.abs(w))));
    expect([...powers].sort((a, b) => b - a).map(Math.abs)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    // P(|N| < 1) of those that are not zero have exponent -3 or -4.
    const central = share((w) => w !== 0 && Math.abs(Math.log2(Math.abs(w)) + 3.5) < 1);
    expect(Math.abs(central - 0.5 * 0.6827)).toBeLessThan(within(0.34));
  });
});
