import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { FileError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { encodeSafetensors, decodeSafetensors } from '../../nn/safetensors.js';
import { Mode } from '../../nn/module.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { weightShape } from '../../operators/layer.js';
import { operationTotal } from '../../spaces/layers.js';
import { Network } from '../../spaces/network.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { sizeOf } from '../../tensor/shape.js';
import { inScope } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import { genomeOf, toySpace } from '../../training/toy.cases.js';
import { prunedLayers } from '../../training/techniques/mask-pruning.js';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadModel, onnxModel, saveModel } from './model-files.js';
import { isPruned, keptOperations } from './pruned-operations.js';

const folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-pruned-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const info = {
  dataset: 'toy',
  classes: ['a', 'b', 'c', 'd'],
  statistics: { mean: [0], std: [1] },
  seed: 1,
};
const images = normals(3 * 256, 'images');

function logits(network: Network, mode = Mode.Evaluation): Float32Array {
  const owned: { dispose(): void }[] = [];
  const x = Tensor.view([3, 16, 16, 1], images);
  const data = inScope({ add: (each) => owned.push(each) }, () => network.forward(x, mode).data.slice());
  for (const each of owned) each.dispose();
  return data;
}

function pruned(): Network {
  const network = new Network(
    toySpace.architecture(genomeOf('add x1', 'pot.q x0.5', 'conv x1', 'add x0.5')),
    Random.stream('pruned'),
  );
  for (const layer of prunedLayers(network.operatorLayers)) {
    const count = sizeOf(weightShape(layer.geometry));
    layer.setMask(Float32Array.from({ length: count }, (_, i) => (i % 4 === 0 ? 0 : 1)));
  }
  // Batch norms that know what comes: additions are far below zero.
  logits(network, Mode.Recalibration);
  return network;
}

it('a pruned network comes back from its files as it was, and runs so in ONNX Runtime', async () => {
  const network = pruned();
  const expected = logits(network);
  saveModel(folder, network, info);
  const { network: loaded } = loadModel(folder);
  expect(logits(loaded)).toEqual(expected);
  const run = await runOnnx(onnxModel(loaded, info, {}), { pixels: { dims: [3, 1, 16, 16], data: images } });
  expect(relativeError(run.get('logits')!.data, Float64Array.from(expected))).toBeLessThan(1e-4);
  for (const layer of network.operatorLayers) layer.setMask(undefined);
  expect(relativeError(logits(network), Float64Array.from(expected))).toBeGreaterThan(1e-2);
  network.dispose();
  loaded.dispose();
});

it('the operations of its pruned layers fall by the part that was taken out', () => {
  const network = pruned();
  expect(isPruned(network)).toBe(true);
  const whole = operationTotal(network.architecture);
  const first = 16 * 16 * 9 * 8;
  const classifier = 16 * 4;
  expect(keptOperations(network)).toBe(first + classifier + 0.75 * (whole - first - classifier));
  for (const layer of network.operatorLayers) layer.setMask(undefined);
  expect([isPruned(network), keptOperations(network)]).toEqual([false, whole]);
  network.dispose();
});

it('what is no mask is refused in one line', () => {
  const network = pruned();
  saveModel(folder, network, info);
  network.dispose();
  const path = join(folder, 'model.safetensors');
  const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
  const name = [...tensors.keys()].find((key) => key.endsWith('.mask'))!;
  const { shape, data } = tensors.get(name)!;
  for (const bad of [
    { shape, data: data.map((v) => 0.5 * v) },
    { shape: [data.length], data },
  ]) {
    writeFileSync(path, encodeSafetensors(new Map([...tensors, [name, bad]]), metadata));
    expect(() => loadModel(folder)).toThrow(FileError);
    expect(() => loadModel(folder)).toThrow(
      /\.mask' \[.*\] is no mask of zeros and ones for weights \[3, 3, /,
    );
  }
});
