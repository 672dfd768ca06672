import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { collision } from '../../nn/complementary.js';
import { Mode } from '../../nn/module.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { operationTotal } from '../../spaces/layers.js';
import { architectureOfModel } from '../../spaces/models/contract.js';
import { modelNamed } from '../../spaces/models/registry.js';
import { Network } from '../../spaces/network.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { Tensor } from '../../tensor/tensor.js';
import { toySchedule } from '../../training/toy.cases.js';
import { loadModel, onnxModel, saveModel } from './model-files.js';
import { keptOperations } from './pruned-operations.js';
import { requireTogether, techniquesSchema, type TechniqueSettings } from '../config/technique-settings.js';
import { openTechniques, requireTechniques } from '../training/techniques.js';

const folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-sparse-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = modelNamed('kwinners-mnist');
const shape = model.published.input;
const classes = Array.from({ length: 10 }, (_, i) => `c${i}`);
const statistics = { mean: [0], std: [1] };
const data = { shape, statistics, classes };
const schedule = { ...toySchedule, batchSize: 2 };
const info = { dataset: 'toy', classes, statistics, seed: 1 };

const sparse = (settings: object): TechniqueSettings => techniquesSchema.parse({ sparse: settings });
const architectureOf = (family: string) =>
  architectureOfModel(model, { ...model.published, families: [family] });
const densities = [0.6, 0.45, 0.2];

function sparseNetwork(family: string, settings: object): Network {
  const network = new Network(architectureOf(family), Random.stream('sparse', family));
  openTechniques(sparse(settings), { network, data, schedule, seed: 1 });
  return network;
}

describe('a network of sparse weights', () => {
  it('does the operations of the terms that stay', () => {
    const layers = [24 * 24 * 25 * 32, 8 * 8 * 800 * 64, 1024 * 700, 7000];
    expect(operationTotal(architectureOf('conv'))).toBe(layers.reduce((sum, each) => sum + each));
    const network = sparseNetwork('conv', { density: densities });
    expect(keptOperations(network)).toBe(24 * 24 * 15 * 32 + 8 * 8 * 360 * 64 + 205 * 700 + 7000);
    network.dispose();
    // One number spares the first layer.
    const uniform = sparseNetwork('conv', { density: 0.25, masks: 'complementary' });
    expect(keptOperations(uniform)).toBe(layers[0]! + (layers[1]! + layers[2]!) / 4 + layers[3]!);
    const mask = uniform.operatorLayers[2]!.mask!;
    const filters = {
      filters: 700,
      length: 1024,
      mask: mask.map((_, i) => mask[(i % 1024) * 700 + Math.floor(i / 1024)]!),
    };
    for (let f = 0; f < 700; f += 4) expect(collision(filters, [f, f + 1, f + 2, f + 3])).toBeUndefined();
    uniform.dispose();
  });

  it.each(['conv', 'add'])(
    'of %s comes back from its files as it was, and runs so in ONNX Runtime',
    async (family) => {
      const network = sparseNetwork(family, { density: family === 'conv' ? densities : 0.3 });
      const images = normals(3 * 784, 'images');
      const logits = (of: Network): Float32Array => {
        const y = of.forward(Tensor.view([3, 28, 28, 1], images), Mode.Evaluation);
        const values = y.data.slice();
        y.dispose();
        return values;
      };
      for (let step = 0; step < 3; step++)
        network
          .forward(Tensor.view([3, 28, 28, 1], images), Mode.Training, { chance: { seed: 1, step } })
          .dispose();
      const expected = logits(network);
      saveModel(folder, network, info);
      const { network: loaded } = loadModel(folder);
      expect(logits(loaded)).toEqual(expected);
      expect(loaded.buffers.map(({ data: held }) => held)).toEqual(
        network.buffers.map(({ data: held }) => held),
      );
      expect(keptOperations(loaded)).toBe(keptOperations(network));
      const run = await runOnnx(onnxModel(loaded, info, {}), {
        pixels: { dims: [3, 1, 28, 28], data: images },
      });
      expect(relativeError(run.get('logits')!.data, Float64Array.from(expected))).toBeLessThan(2e-4);
      loaded.dispose();
      network.dispose();
    },
  );
});

describe('what a configuration says of sparse weights', () => {
  const check = (family: string, settings: object) => (): void =>
    requireTechniques(sparse(settings), data, schedule, architectureOf(family));

  it('must fit the layers of the network, before anything is trained', () => {
    expect(check('conv', { density: densities })).not.toThrow();
    expect(check('conv', { density: 0.5 })).not.toThrow();
    expect(check('conv', { density: [0.5, 0.5] })).toThrow(OptionError);
    expect(check('conv', { density: [0.5, 0.5] })).toThrow(
      /has 2 parts, and this network has 3 layers .*\(stage0\.block0\.conv, stage1\.block0\.conv, stage2\.block0\.linear\)/,
    );
    expect(check('binary', { density: 0.5 })).toThrow(
      /'techniques\.sparse' cannot take terms out of binary layers/,
    );
  });

  it('must be parts, and goes without pruning', () => {
    for (const density of [0, 1.1, [], [0.5, 0]])
      expect(techniquesSchema.safeParse({ sparse: { density } }).success).toBe(false);
    const both = techniquesSchema.parse({ sparse: { density: 0.5 }, prune: { ratio: 0.5 } });
    expect(() => requireTogether({ techniques: both, recomputeBlocks: false })).toThrow(
      /'techniques\.sparse' and 'techniques\.prune' both decide/,
    );
  });
});
