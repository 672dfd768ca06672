import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { operationCount } from '../../hardware/layer.js';
import { loadProfile } from '../../hardware/profile.js';
import { Mode } from '../../nn/module.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { layersOfGraph } from '../../nn/onnx/priced-layers.js';
import { decodeOnnx } from '../../nn/onnx/read.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { familyNamed } from '../../operators/registry.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../../tensor/ops/loss.js';
import { poolUsage } from '../../tensor/pool.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { architectureMemory } from '../activations.js';
import { operationTotal, parameterCount } from '../layers.js';
import { Network } from '../network.js';
import { NetworkForm } from './options.js';
import { createHytraCifar } from './space.js';

const forms = [NetworkForm.Searched, NetworkForm.Retrained].flatMap((network) => [
  ...['attention', 'attention.compat'].map((attention) => ({ network, attention, height: 16, width: 24 })),
  // Every map of a stride is odd on one side or on both.
  { network, attention: 'attention', height: 10, width: 27 },
]);

describe.each(forms)('a $network network with $attention, $height x $width', (given) => {
  const { network: form, attention, height, width } = given;
  const space = createHytraCifar({
    ...{ input: { height, width, channels: 2 }, classes: 4, network: form },
    ...{ layers: 7, longestStage: 4, stageChannels: [16, 32, 64] },
    stem: { channels: 8, kernel: 5, stride: 1, pool: true },
    stageFamilies: [
      ['conv', 'add', 'pot.q'],
      ['conv', 'add', 'pot.q', attention],
      [attention, 'conv', 'add'],
    ],
  });
  const architecture = space.architecture(
    space.genomeOf([['add'], ['pot.q', 'conv', attention], ['add', attention, 'conv']]),
  );
  const pixels = normals(3 * height * width * 2, 'images');
  const images = (): Tensor => Tensor.view([3, height, width, 2], pixels);

  it('has as many parameters as are counted, sends gradient to each, and gives every buffer back', () => {
    const before = poolUsage().usedBytes;
    const network = new Network(architecture, Random.stream('gradient', form));
    expect(network.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0)).toBe(
      parameterCount(architecture),
    );
    // A last norm of zero lets nothing through to the layers before it.
    for (const { tensor, name } of network.parameters) if (name.endsWith('.gamma')) tensor.data.fill(0.7);
    const { value, tape } = Tape.record(() =>
      softmaxCrossEntropy(network.forward(images(), Mode.Training), Int32Array.of(0, 1, 3)),
    );
    tape.backward(value);
    for (const { name, tensor } of network.parameters) {
      expect(tensor.gradient?.every(Number.isFinite), name).toBe(true);
      expect(
        tensor.gradient!.some((slope) => slope !== 0),
        name,
      ).toBe(true);
    }
    network.dispose();
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('computes in ONNX Runtime what it computes here, and is priced there as here', async () => {
    const network = new Network(architecture, Random.stream('onnx', form));
    for (const { tensor, name } of network.parameters) if (name.endsWith('.gamma')) tensor.data.fill(0.7);
    for (let step = 0; step < 3; step++) network.forward(images(), Mode.Training).dispose();
    const logits = network.forward(images(), Mode.Evaluation);
    const graph = new OnnxGraph('model');
    const input = graph.input('x', ['batch', 2, height, width]);
    graph.output(graph.node('Identity', [network.lower(graph, input)], {}, { name: 'y' }), ['batch', 4]);
    const bytes = encodeOnnx(graph);
    const data = new Float32Array(pixels.length);
    const area = height * width;
    for (let n = 0; n < 3; n++)
      for (let p = 0; p < area; p++)
        for (let c = 0; c < 2; c++) data[(n * 2 + c) * area + p] = pixels[(n * area + p) * 2 + c]!;
    const outputs = await runOnnx(bytes, { x: { dims: [3, 2, height, width], data } });
    expect(outputs.get('y')!.dims).toEqual([3, 4]);
    expect(relativeError(outputs.get('y')!.data, logits.data)).toBeLessThan(2e-4);
    const priced = layersOfGraph(decodeOnnx(bytes, 'model'));
    expect(priced.unpriced).toEqual([]);
    expect(priced.layers.reduce((sum, layer) => sum + operationCount(layer), 0)).toBe(
      operationTotal(architecture),
    );
    logits.dispose();
    network.dispose();
  });

  it('has a plan of its memory that holds its largest map', () => {
    const { sramBytes } = architectureMemory(architecture, familyNamed, loadProfile('fair'));
    expect(sramBytes).toBeGreaterThanOrEqual(4 * Math.ceil(height / 2) * Math.ceil(width / 2) * 16);
  });
});

it('averages the logits of two heads', () => {
  const space = createHytraCifar({ network: NetworkForm.Retrained, stageChannels: [8, 8, 8, 64] });
  const architecture = space.architecture(space.sample(Random.stream(3)));
  const network = new Network(architecture, Random.stream(4));
  const x = Tensor.view([2, 32, 32, 3], normals(2 * 32 * 32 * 3, 'heads'));
  const only = (head: string): number[] => {
    const held = network.parameters.map(({ tensor }) => tensor.data.slice());
    for (const { name, tensor } of network.parameters)
      if (name.startsWith('classifier') && !name.startsWith(`${head}.`)) tensor.data.fill(0);
    const y = network.forward(x, Mode.Evaluation);
    const values = [...y.data];
    y.dispose();
    network.parameters.forEach(({ tensor }, at) => tensor.data.set(held[at]!));
    return values;
  };
  const [first, second, both] = [only('classifier'), only('classifierOfTeacher'), only('neither')];
  const whole = network.forward(x, Mode.Evaluation);
  expect(both.every((value) => value === 0)).toBe(true);
  whole.data.forEach((logit, at) => expect(logit).toBeCloseTo(first[at]! + second[at]!, 5));
  expect(first).not.toEqual(second);
  whole.dispose();
  network.dispose();
});
