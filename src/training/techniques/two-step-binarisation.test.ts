import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { binary } from '../../operators/binary/family.js';
import { conv } from '../../operators/conv/family.js';
import { OperatorLayer } from '../../operators/layer.js';
import { array64, conv64, normals, relativeError } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { twoStepBinarisation } from './two-step-binarisation.js';

const geometry = { inChannels: 3, outChannels: 4, kernel: 3, stride: 1, padding: 1, groups: 1 };
const place = (step: number): { step: number; steps: number; stepsPerEpoch: number } => ({
  step,
  steps: 10,
  stepsPerEpoch: 5,
});

describe('two-step binarisation', () => {
  let layers: OperatorLayer[];
  beforeEach(() => {
    const random = Random.stream('two steps');
    layers = [
      new OperatorLayer('b', binary, geometry, random),
      new OperatorLayer('c', conv, geometry, random),
    ];
    layers[0]!.parameters[1]!.tensor.data.set([0.3, -0.2, 0]);
  });
  afterEach(() => {
    for (const { parameters } of layers) for (const { tensor } of parameters) tensor.dispose();
  });
  const x = Tensor.view([1, 5, 4, 3], normals(60, 'x'));
  const output = (layer: OperatorLayer): Float32Array => {
    const y = tidy(() => layer.forward(x));
    const data = y.data.slice();
    y.dispose();
    return data;
  };

  it('has real weights over signs of activations first, then signs of both', () => {
    const technique = twoStepBinarisation(layers, { realWeights: 0.3, weightDecay: 1e-5 });
    const [layer] = layers as [OperatorLayer, OperatorLayer];
    const untouched = output(layers[1]!);
    const second = output(layer);
    const thresholds = layer.parameters[1]!.tensor.data;
    const signs = x.data.map((v, i) => (v > thresholds[i % 3]! ? 1 : -1));
    const weights = array64(layer.weight.shape, layer.weight.data);
    const first = conv64(array64(x.shape, signs), weights, geometry).data;
    for (let step = 0; step < 10; step++) {
      technique.beforeStep!(place(step));
      if (step < 3) expect(relativeError(output(layer), first)).toBeLessThan(1e-5);
      else expect(output(layer)).toEqual(second);
      expect(output(layers[1]!)).toEqual(untouched);
    }
    // A training that ended in its first part is judged as the binary network it is for.
    technique.beforeStep!(place(0));
    technique.finish!();
    expect(output(layer)).toEqual(second);
  });

  it('decays the weights of binary layers in the first part alone', () => {
    const technique = twoStepBinarisation(layers, { realWeights: 0.3, weightDecay: 0.1 });
    const given = layers.map(({ weight }) => normals(weight.size, 'gradient'));
    const after = (step: number): Float32Array[] =>
      layers.map(({ weight }, i) => {
        const holder = Tensor.persistent(weight.shape, given[i]!);
        weight.gradient = holder.data;
        if (i === 1) technique.afterGradients!(place(step));
        return weight.gradient;
      });
    const [first, conv1] = after(2) as [Float32Array, Float32Array];
    const expected = Float64Array.from(given[0]!, (g, i) => g + 0.1 * layers[0]!.weight.data[i]!);
    expect(relativeError(first, expected)).toBeLessThan(1e-6);
    expect(conv1).toEqual(given[1]);
    for (const { weight } of layers) weight.dropGradient();
    expect(after(3)).toEqual(given);
  });
});
