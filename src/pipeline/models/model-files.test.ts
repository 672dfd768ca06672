import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { Primitive, type LayerDescription } from '../../hardware/layer.js';
import { Mode, stateOf } from '../../nn/module.js';
import { layersOfGraph } from '../../nn/onnx/priced-layers.js';
import { decodeOnnx } from '../../nn/onnx/read.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { decodeSafetensors, encodeSafetensors } from '../../nn/safetensors.js';
import { transposed } from '../../operators/families.cases.js';
import { familyNamed, listFamilies } from '../../operators/registry.js';
import type { Genome } from '../../spaces/contract.js';
import { layersOf } from '../../spaces/layers.js';
import { publishedNetwork } from '../../spaces/hytra/retraining.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { Network } from '../../spaces/network.js';
import { relativeError } from '../../tensor/float64.cases.js';
import { poolUsage } from '../../tensor/pool.js';
import { Tensor } from '../../tensor/tensor.js';
import { loadModel, onnxModel, saveModel, type ModelInfo } from './model-files.js';

const space = createMiniSpace({
  input: { height: 17, width: 20, channels: 3 },
  classes: 5,
  stemChannels: 8,
  stageChannels: [8, 12],
  blocksPerStage: [3, 2],
});
const info: ModelInfo = {
  dataset: 'toy',
  classes: ['a', 'b', 'c', 'd', 'e'],
  statistics: { mean: [0.4, 0.5, 0.3], std: [0.2, 0.25, 0.3] },
  seed: 3,
};
const batch = 3;

function genome(...labels: readonly string[]): Genome {
  return labels.map((label, position) => {
    const options = Array.from({ length: space.optionCounts[position]! }, (_, i) =>
      space.optionLabel(position, i),
    );
    expect(options).toContain(label);
    return options.indexOf(label);
  });
}
const mixed = genome('add x1', 'skip', 'pot.q x0.5', 'conv x0.5', 'add x0.5');

const pixels = (() => {
  const random = Random.stream('pixels');
  return Float32Array.from({ length: batch * 17 * 20 * 3 }, () => random.integer(256) / 255);
})();

/** Normalised as the loader does it. */
const images = pixels.map((value, i) => (value - info.statistics.mean[i % 3]!) / info.statistics.std[i % 3]!);

/** A network that has seen data: statistics of its own and scales away from one. */
function lived(of: Genome, architectureOf = space.architecture): Network {
  const network = new Network(architectureOf(of), Random.stream('lived', ...of));
  const random = Random.stream('lived');
  for (const { name, tensor } of network.parameters)
    if (/gamma|beta|bias|threshold/.test(name))
      tensor.data.forEach((v, i) => (tensor.data[i] = v + 0.2 * random.normal()));
  for (let i = 0; i < 60; i++)
    network.forward(Tensor.view([batch, 17, 20, 3], images), Mode.Training).dispose();
  return network;
}

function logitsOf(network: Network): Float32Array {
  const logits = network.forward(Tensor.view([batch, 17, 20, 3], images), Mode.Evaluation);
  const copy = logits.data.slice();
  logits.dispose();
  return copy;
}

let folder: string;
let baseline: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-model-'));
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

describe('saveModel and loadModel', () => {
  it('give the same network back: architecture, information and logits to the bit', () => {
    const network = lived(mixed);
    saveModel(folder, network, info);
    const loaded = loadModel(folder);
    expect(loaded.info).toEqual(info);
    expect(loaded.network.architecture).toEqual(network.architecture);
    expect(logitsOf(loaded.network)).toEqual(logitsOf(network));
    network.dispose();
    loaded.network.dispose();
  });

  describe('name what is wrong', () => {
    const model = (): string => join(folder, 'model.safetensors');
    const architecture = (): string => join(folder, 'architecture.json');
    beforeEach(() => {
      const network = new Network(space.architecture(mixed), Random.stream('saved'));
      saveModel(folder, network, info);
      network.dispose();
    });
    const refused = (path: string, message: RegExp): void => {
      expect(() => loadModel(folder)).toThrow(FileError);
      expect(() => loadModel(folder)).toThrow(path);
      expect(() => loadModel(folder)).toThrow(message);
    };
    function rewrite(change: (held: ReturnType<typeof decodeSafetensors>) => void): void {
      const held = decodeSafetensors(readFileSync(model()), model());
      change(held);
      writeFileSync(model(), encodeSafetensors(held.tensors, held.metadata));
    }

    it('a file that is missing', () => {
      for (const path of [model(), architecture()]) {
        const bytes = readFileSync(path);
        rmSync(path);
        refused(path, /no such file/);
        writeFileSync(path, bytes);
      }
    });

    it('weights cut off anywhere', () => {
      const bytes = readFileSync(model());
      for (const length of [0, 7, 8, 100, bytes.length - 4, bytes.length - 1]) {
        writeFileSync(model(), bytes.subarray(0, length));
        refused(model(), /not a usable safetensors file/);
      }
      writeFileSync(model(), Buffer.concat([bytes, Buffer.alloc(4)]));
      refused(model(), /4 bytes at the end/);
    });

    it('a tensor that is missing, unknown or of another shape', () => {
      const original = readFileSync(model());
      rewrite(({ tensors }) => void tensors.delete('stem.weight'));
      refused(model(), /holds no tensor 'stem\.weight'/);
      writeFileSync(model(), original);
      rewrite(({ tensors }) => void tensors.set('more', { shape: [1], data: Float32Array.of(1) }));
      refused(model(), /'more' is unknown/);
      writeFileSync(model(), original);
      rewrite(({ tensors }) => void tensors.set('stem.weight', { shape: [1], data: Float32Array.of(1) }));
      refused(model(), /'stem\.weight' has shape \[1\], this network needs \[3, 3, 3, 8\]/);
    });

    it('an architecture that is no JSON, no architecture, or that of another network', () => {
      const original = readFileSync(architecture(), 'utf8');
      writeFileSync(architecture(), original.slice(0, 50));
      refused(architecture(), /not readable as JSON/);
      writeFileSync(architecture(), '{}');
      refused(architecture(), /architecture\.json/);
      writeFileSync(architecture(), original.replaceAll('"pot.q"', '"mul"'));
      refused(architecture(), /unknown operator family 'mul'/);
      const other = space.architecture(genome('add x1', 'skip', 'pot.q x1', 'conv x0.5', 'add x0.5'));
      writeFileSync(architecture(), JSON.stringify(other));
      refused(model(), /'stage0\.block2\.conv1\.weight' has shape/);
    });

    it('information that is missing, or does not fit the network', () => {
      const edit = (change: (info: Record<string, unknown>) => unknown): void =>
        rewrite(({ metadata }) => {
          metadata['info'] = JSON.stringify(
            change(JSON.parse(JSON.stringify(info)) as Record<string, unknown>),
          );
        });
      rewrite(({ metadata }) => delete metadata['info']);
      refused(model(), /carries no model information/);
      edit(() => ({ dataset: 'toy' }));
      refused(model(), /carries no model information/);
      edit((held) => ({ ...held, statistics: { mean: [0, 0, 0], std: [0, 1, 1] } }));
      refused(model(), /carries no model information/);
      edit((held) => ({ ...held, statistics: { mean: [0.5], std: [0.5] } }));
      refused(model(), /1 channel/);
      edit((held) => ({ ...held, classes: ['a', 'b'] }));
      refused(model(), /2 classes/);
    });
  });
});

describe('onnxModel', () => {
  it('writes a network of two classifiers, whose logits are the mean of theirs', async () => {
    const architecture = publishedNetwork('mix-v3', {
      ...{ input: { height: 32, width: 32, channels: 3 }, classes: 5, stageChannels: [8, 8, 256, 256] },
    });
    const network = new Network(architecture, Random.stream('two heads'));
    const square = Float32Array.from({ length: 32 * 32 * 3 }, (_, i) => ((7 * i) % 256) / 255);
    const taken = square.map(
      (value, i) => (value - info.statistics.mean[i % 3]!) / info.statistics.std[i % 3]!,
    );
    const expected = network.forward(Tensor.view([1, 32, 32, 3], taken), Mode.Evaluation);
    const outputs = await runOnnx(onnxModel(network, info, {}), {
      pixels: { dims: [1, 3, 32, 32], data: transposed(square, [1, 32, 32, 3]) },
    });
    expect(relativeError(outputs.get('logits')!.data, expected.data)).toBeLessThan(2e-4);
    expected.dispose();
    network.dispose();
  });

  it.each([
    ['every family, a skip, halved widths and shortcuts', mixed],
    ['shift alone', genome('pot.q x1', 'pot.q x0.5', 'skip', 'pot.q x1', 'pot.q x0.5')],
    ['add alone', genome('add x0.5', 'add x1', 'add x1', 'add x0.5', 'add x1')],
  ])('gives the logits of the network from raw pixels in ONNX Runtime: %s', async (_, of) => {
    const network = lived(of);
    const bytes = onnxModel(network, info, { seed: '1' });
    const dims = [batch, 3, 17, 20];
    const outputs = await runOnnx(bytes, { pixels: { dims, data: transposed(pixels, [batch, 17, 20, 3]) } });
    expect([...outputs.keys()]).toEqual(['logits']);
    const logits = outputs.get('logits')!;
    expect(logits.dims).toEqual([batch, 5]);
    const expected = logitsOf(network);
    const spread = Math.max(...expected) - Math.min(...expected);
    expect(spread).toBeGreaterThan(0.1);
    expect(relativeError(logits.data, expected)).toBeLessThan(2e-4);
    network.dispose();
  });

  it('takes any batch and says what it holds', async () => {
    const network = lived(mixed);
    const bytes = onnxModel(network, info, { note: 'of a test' });
    const one = transposed(pixels, [batch, 17, 20, 3]).slice(0, 17 * 20 * 3);
    const outputs = await runOnnx(bytes, { pixels: { dims: [1, 3, 17, 20], data: one } });
    expect(relativeError(outputs.get('logits')!.data, logitsOf(network).slice(0, 5))).toBeLessThan(2e-4);
    const text = Buffer.from(bytes).toString('latin1');
    for (const part of ['"shiftaddnas-architecture"', '["a","b","c","d","e"]', 'of a test', 'L1Conv'])
      expect(text).toContain(part);
    expect(stateOf(network).size).toBeGreaterThan(0);
    network.dispose();
  });
});

describe('the price of an exported network', () => {
  it('is that of its architecture: shift and add layers are known by their weights and their function', () => {
    const network = lived(mixed);
    const bytes = onnxModel(network, info, {});
    const { layers, unpriced, open, free } = layersOfGraph(decodeOnnx(bytes, 'model.onnx'));
    network.dispose();
    expect({ unpriced, open }).toEqual({ unpriced: [], open: [] });
    const byName = (list: readonly LayerDescription[]): readonly LayerDescription[] =>
      [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(byName(layers)).toEqual(byName(layersOf(network.architecture, familyNamed)));
    expect(new Set(layers.map(({ primitive }) => primitive)).size).toBe(3);
    expect(free.get('BatchNormalization')).toBe(layers.length - 1);
  });

  // A runtime that folds a norm into weights moves sums by an ulp, and now and then an input over the border between two
  // codes, by which logits change; in these networks none is as near to one.
  const fewBits = ['conv.int8', 'conv.int4', 'add.int6', 'pot.q.int4'];
  it.each([...listFamilies().map(({ name }) => name), ...fewBits])(
    'is so for %s, which survives its files too',
    async (family) => {
      const only = createMiniSpace({ ...space.options, families: [family] });
      const { architecture } = only;
      const network = lived(uniformGenome(only, family), architecture);
      const bytes = onnxModel(network, info, {});
      const { layers, unpriced } = layersOfGraph(decodeOnnx(bytes, 'model.onnx'));
      expect(unpriced).toEqual([]);
      const byName = (list: readonly LayerDescription[]): readonly LayerDescription[] =>
        [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
      // A graph holds values, not the bits that store them: powers of two are priced at five there, and a product with
      // bits is one with numbers.
      const asInGraph = layersOf(network.architecture, familyNamed).map((layer) => {
        const { primitive, operandBits } = layer;
        if (primitive === Primitive.Add && operandBits.weight === 1)
          return { ...layer, primitive: Primitive.Multiply, operandBits: { ...operandBits, weight: 32 } };
        if (primitive !== Primitive.Shift) return layer;
        return { ...layer, operandBits: { ...operandBits, weight: Math.max(5, operandBits.weight) } };
      });
      expect(byName(layers)).toEqual(byName(asInGraph));
      const expected = logitsOf(network);
      const dims = [batch, 3, 17, 20];
      const outputs = await runOnnx(bytes, {
        pixels: { dims, data: transposed(pixels, [batch, 17, 20, 3]) },
      });
      expect(relativeError(outputs.get('logits')!.data, expected)).toBeLessThan(2e-4);
      saveModel(folder, network, info);
      const loaded = loadModel(folder).network;
      expect(logitsOf(loaded)).toEqual(expected);
      network.dispose();
      loaded.dispose();
    },
  );
});
