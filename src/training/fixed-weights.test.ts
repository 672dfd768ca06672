/**
 * Weights that are drawn once and never trained, beside the same ones where they learn.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { freeze, thaw } from '../nn/module.js';
import { OperatorLayer } from '../operators/layer.js';
import { familyNamed } from '../operators/registry.js';
import { normals } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { Sgd } from './optimiser.js';

const geometry = { inChannels: 6, outChannels: 4, kernel: 1, stride: 1, padding: 0, groups: 1 };

/** Weights before and after ten steps. */
function trained(family: string, prepare: (layer: OperatorLayer) => void) {
  const layer = new OperatorLayer('layer', familyNamed(family), geometry, Random.stream('steps'));
  prepare(layer);
  const before = layer.parameters.map(({ tensor }) => tensor.data.slice());
  const x = Tensor.view([8, 1, 1, 6], normals(48, 'steps'));
  const optimiser = new Sgd(layer.parameters, { momentum: 0.9, weightDecay: 0.1 });
  for (let step = 0; step < 10; step++) {
    const { value, tape } = Tape.record(() =>
      softmaxCrossEntropy(
        layer.forward(x),
        Int32Array.from({ length: 8 }, (_, i) => i % 4),
      ),
    );
    tape.backward(value);
    optimiser.step(0.1);
    layer.project();
  }
  const after = layer.parameters.map(({ tensor }) => tensor.data.slice());
  optimiser.dispose();
  for (const { tensor } of layer.parameters) tensor.dispose();
  return { before, after };
}

describe('training a shift-add layer', () => {
  it('leaves fixed shifts as they are to the bit while the add weights move, also when thawed', () => {
    for (const prepare of [
      () => undefined,
      (layer: OperatorLayer) => {
        freeze(layer);
        thaw(layer);
      },
    ]) {
      const { before, after } = trained('shiftadd.fixed', prepare);
      expect(after[0]).toEqual(before[0]);
      expect(after[1]).not.toEqual(before[1]);
    }
  });

  it('moves learned shifts and add weights', () => {
    const { before, after } = trained('shiftadd', () => undefined);
    before.forEach((values, i) => expect(after[i]).not.toEqual(values));
  });
});
