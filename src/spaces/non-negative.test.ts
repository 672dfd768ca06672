/**
 * @file What nodes say of the signs of values, against the values.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode } from '../nn/module.js';
import { normals } from '../tensor/float64.cases.js';
import { tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Architecture } from './architecture.js';
import { createHytraCifar } from './hytra/space.js';
import { planLayers } from './layers.js';
import { createMiniSpace } from './mini/space.js';
import { architectureOfModel } from './models/contract.js';
import { listModels } from './models/registry.js';
import { Network } from './network.js';

/** Of every layer whether it is said to read no negative value, and whether it reads none of these images. */
function signsOf(
  architecture: Architecture,
): readonly (readonly [name: string, said: boolean, seen: boolean])[] {
  const network = new Network(architecture, Random.stream('signs'));
  const { height, width, channels } = architecture.input;
  const least = new Map([['input', -1]]);
  const images = Tensor.view([4, height, width, channels], normals(4 * height * width * channels, 'signs'));
  const logits = tidy(() =>
    network.forward(images, Mode.Training, {
      chance: { seed: 1, step: 0 },
      onNode: ({ name }, { data }) =>
        least.set(
          name,
          data.reduce((a, b) => Math.min(a, b), 0),
        ),
    }),
  );
  logits.dispose();
  network.dispose();
  return planLayers(architecture).map(({ name, inputs, nonNegativeInput }) => [
    ...([name, nonNegativeInput, least.get(inputs[0]!)! >= 0] as const),
  ]);
}

const input = { height: 32, width: 32, channels: 3 };
const random = Random.stream('spaces');
const hytra = createHytraCifar({ classes: 4 });
const mini = createMiniSpace({ input, classes: 4 });

const networks: readonly (readonly [string, Architecture])[] = [
  ...listModels()
    .filter(({ name }) => !['resnet32', 'resnet56', 'vit-lite-6-4'].includes(name))
    .map((model): [string, Architecture] => {
      const gray = /mlp|lenet|kwinners/.test(model.name);
      const images = gray ? { height: 28, width: 28, channels: 1 } : input;
      return [model.name, architectureOfModel(model, { input: images, classes: 4, families: ['conv'] })];
    }),
  ...[0, 1, 2].map((at): [string, Architecture] => [`mini ${at}`, mini.architecture(mini.sample(random))]),
  ...[0, 1, 2].map((at): [string, Architecture] => [`hytra ${at}`, hytra.architecture(hytra.sample(random))]),
];

describe('layers that are said to read no negative value', () => {
  it.each(networks)('read none in %s, and the others do', (name, architecture) => {
    const signs = signsOf(architecture);
    expect(signs.filter(([, said, seen]) => said && !seen)).toEqual([]);
    // The largest values of a map are positive in all likelihood, and nothing more can be said.
    if (name !== 'kwinners-mnist') expect(signs.filter(([, said, seen]) => !said && seen)).toEqual([]);
    expect(signs.some(([, said]) => !said)).toBe(true);
  });
});
