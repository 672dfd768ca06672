import { describe, expect, it } from 'vitest';
import { ShapeError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { Mode, stateOf } from '../nn/module.js';
import { normals } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { poolUsage } from '../tensor/pool.js';
import { firstNonFinite, Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { BlockKind } from './architecture.js';
import { planLayers } from './layers.js';
import { createMiniSpace } from './mini/space.js';
import { Network } from './network.js';
import { productMoves } from './product.js';

const space = createMiniSpace({
  input: { height: 19, width: 16, channels: 2 },
  classes: 3,
  stemChannels: 8,
  stemStride: 2,
  stageChannels: [8, 12],
  blocksPerStage: [2, 2],
});
const images = (count = 4): Tensor => Tensor.view([count, 19, 16, 2], normals(count * 19 * 16 * 2, 'images'));
const labels = Int32Array.of(0, 1, 2, 1);

describe('Network', () => {
  it('has exactly the layers that are planned, with their names and shapes, whatever the genome', () => {
    const random = Random.stream('genomes');
    for (let i = 0; i < 15; i++) {
      const architecture = space.architecture(productMoves(space.optionCounts).sample(random));
      const network = new Network(architecture, random);
      const state = stateOf(network);
      const expected = new Map<string, string>();
      for (const layer of planLayers(architecture)) {
        const shape = [layer.kernel, layer.kernel, layer.inChannels, layer.outChannels];
        expected.set(`${layer.name}.weight`, shape.join());
        if (layer.fullyConnected) expected.set(`${layer.name}.bias`, String(layer.outChannels));
        else
          for (const key of ['gamma', 'beta', 'mean', 'variance'])
            expected.set(`${layer.name}.norm.${key}`, String(layer.outChannels));
      }
      expect(Object.fromEntries([...state].map(([name, { shape }]) => [name, shape.join()]))).toEqual(
        Object.fromEntries(expected),
      );
      const logits = network.forward(images(), Mode.Evaluation);
      expect(logits.shape).toEqual([4, 1, 1, 3]);
      logits.dispose();
      network.dispose();
    }
  });

  it('sends gradient to every parameter and gives every buffer back', () => {
    const before = poolUsage().usedBytes;
    const random = Random.stream('gradient');
    for (let i = 0; i < 6; i++) {
      const network = new Network(space.architecture(space.sample(random)), random);
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(network.forward(images(), Mode.Training), labels),
      );
      tape.backward(value);
      for (const { name, tensor } of network.parameters) {
        expect(tensor.gradient, name).toBeDefined();
        expect(tensor.gradient!.every(Number.isFinite), name).toBe(true);
        expect(
          tensor.gradient!.some((g) => g !== 0),
          name,
        ).toBe(true);
      }
      network.dispose();
    }
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('names the layer where a NaN begins by its name in the architecture, once', () => {
    const architecture = space.architecture(space.optionCounts.map((count) => count - 1));
    expect(architecture.blocks.every(({ kind }) => kind === BlockKind.Residual)).toBe(true);
    const network = new Network(architecture, Random.stream('nan'));
    for (const { name, tensor } of network.parameters) {
      const held = tensor.data[0]!;
      tensor.data[0] = NaN;
      const pass = () => softmaxCrossEntropy(network.forward(images(), Mode.Training), labels);
      expect(firstNonFinite(pass)?.place).toBe(name.replace(/\.(weight|bias|gamma|beta)$/, ''));
      tensor.data[0] = held;
    }
    network.dispose();
  });

  it('does not mix images in evaluation: a batch gives the logits of its images one by one', () => {
    const network = new Network(space.architecture([1, 3, 4, 5]), Random.stream('mix'));
    network.forward(images(), Mode.Training).dispose();
    const all = network.forward(images(), Mode.Evaluation);
    for (let n = 0; n < 4; n++) {
      const one = Tensor.view([1, 19, 16, 2], images().data.slice(n * 608, (n + 1) * 608));
      const logits = network.forward(one, Mode.Evaluation);
      for (let c = 0; c < 3; c++) expect(logits.data[c]).toBeCloseTo(all.data[3 * n + c]!, 4);
      logits.dispose();
    }
    all.dispose();
    network.dispose();
  });

  it('is the same for the same stream, and refuses images of other channels', () => {
    const build = (seed: number): Network =>
      new Network(space.architecture([1, 0, 1, 1]), Random.stream(seed));
    const [a, b, c] = [build(1), build(1), build(2)];
    expect(stateOf(a)).toEqual(stateOf(b));
    expect(stateOf(a)).not.toEqual(stateOf(c));
    const wrong = Tensor.view([1, 19, 16, 3], new Float32Array(912));
    const before = poolUsage().usedBytes;
    expect(() => a.forward(wrong, Mode.Evaluation)).toThrow(ShapeError);
    expect(poolUsage().usedBytes).toBe(before);
    for (const network of [a, b, c]) network.dispose();
  });
});
