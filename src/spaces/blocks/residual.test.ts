/**
 * The options of residual blocks: what they are in the limits that the papers name, and that they go everywhere.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { BatchNorm } from '../../nn/batch-norm.js';
import { ActivationKind, LearnedActivation } from '../../nn/activation.js';
import { Mode } from '../../nn/module.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { OperatorLayer } from '../../operators/layer.js';
import { familyNamed } from '../../operators/registry.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { add } from '../../tensor/ops/binary.js';
import { softmaxCrossEntropy } from '../../tensor/ops/loss.js';
import { Tape, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { type Architecture, BlockKind, Features } from '../architecture.js';
import { parameterCount } from '../layers.js';
import { architectureOfModel } from '../models/contract.js';
import { modelNamed } from '../models/registry.js';
import { Network } from '../network.js';
import { parseArchitecture } from '../parse.js';
import { residualActivations, type ResidualActivation, type ResidualBlock } from './residual.js';

const side = 6;
const channels = 4;

/** One block between the input and the classifier, which sees its whole output. */
function networkOf(more: Partial<ResidualBlock>, family = 'add'): Architecture {
  const block: ResidualBlock = {
    ...{ name: 'block', stage: 0, kind: BlockKind.Residual, family, stride: 1 },
    ...{ inHeight: side, inWidth: side, inChannels: channels, midChannels: channels, outChannels: channels },
    ...more,
  };
  return {
    ...{ format: 'shiftaddnas-architecture', version: 1, space: 'test', genome: null, classes: 3 },
    ...{ input: { height: side, width: side, channels }, stem: null, blocks: [block] },
    classifier: { features: Features.Flatten },
  };
}

const x = (): Tensor =>
  Tensor.view([2, side, side, channels], normals(2 * side * side * channels, 'x').map(Math.abs));

const parameter = (network: Network, name: string): Tensor =>
  network.parameters.find((known) => known.name === name)!.tensor;

describe('a residual block with a shortcut around each layer', () => {
  // AdderSR, arXiv 2009.08891: add layers cannot make the identity, so the shortcut must.
  it.each(residualActivations.map((activation) => [activation] as const))(
    'is exactly the identity where its batch norms begin at zero: %s',
    (activation) => {
      const network = new Network(networkOf({ selfShortcut: true, activation }), Random.stream('identity'));
      for (const { name, tensor } of network.parameters)
        if (name.endsWith('norm.gamma')) tensor.data.fill(0);
        else if (name.endsWith('.slope')) tensor.data.fill(1);
      const plain = networkOf({});
      const skip = new Network(
        { ...plain, blocks: [{ ...plain.blocks[0]!, kind: BlockKind.Skip }] },
        Random.stream('identity'),
      );
      for (const of of ['weight', 'bias'])
        parameter(skip, `classifier.${of}`).data.set(parameter(network, `classifier.${of}`).data);
      for (const mode of [Mode.Training, Mode.Evaluation]) {
        const [a, b] = [network.forward(x(), mode), skip.forward(x(), mode)];
        expect(a.data).toEqual(b.data);
        for (const tensor of [a, b]) tensor.dispose();
      }
      for (const each of [network, skip]) each.dispose();
    },
  );

  it('is the block of Bi-Real Net where RPReLU is the identity', () => {
    const architecture = networkOf({ selfShortcut: true, activation: LearnedActivation.RPRelu }, 'binary');
    const network = new Network(architecture, Random.stream('bi-real'));
    for (const { name, tensor } of network.parameters)
      if (name.endsWith('.slope')) tensor.data.fill(1);
      else if (name.endsWith('.threshold')) tensor.data.set(normals(tensor.size, name));
    const geometry = { kernel: 3, stride: 1, padding: 1, groups: 1 };
    const units = ['conv1', 'conv2'].map((name) => {
      const layer = new OperatorLayer(
        `block.${name}`,
        familyNamed('binary'),
        { ...geometry, inChannels: channels, outChannels: channels },
        Random.stream('other'),
      );
      for (const { name: own, tensor } of layer.parameters) tensor.data.set(parameter(network, own).data);
      return { layer, norm: new BatchNorm(`block.${name}.norm`, channels, false) };
    });
    const skip = new Network(
      { ...architecture, blocks: [{ ...networkOf({}).blocks[0]!, kind: BlockKind.Skip }] },
      Random.stream('bi-real'),
    );
    for (const of of ['weight', 'bias'])
      parameter(skip, `classifier.${of}`).data.set(parameter(network, `classifier.${of}`).data);
    const wanted = tidy(() => {
      let y = x();
      for (const { layer, norm } of units) y = add(y, norm.forward(layer.forward(y), Mode.Training));
      return skip.forward(y, Mode.Training);
    });
    const logits = network.forward(x(), Mode.Training);
    expect(logits.data).toEqual(wanted.data);
    for (const each of [logits, wanted, network, skip]) each.dispose();
  });

  it('needs equal widths, and says so', () => {
    const architecture = networkOf({ selfShortcut: true, midChannels: 2 });
    expect(() => parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'a.json')).toThrow(
      /block block: selfShortcut needs midChannels equal to outChannels/,
    );
    const other = JSON.parse(JSON.stringify(networkOf({}))) as { blocks: Record<string, unknown>[] };
    other.blocks[0]!['activation'] = 'sine';
    expect(() => parseArchitecture(other, 'a.json')).toThrow(/a\.json: blocks\.0\.activation: /);
  });
});

describe('a ResNet with the options of its blocks', () => {
  const cases = residualActivations.flatMap((activation) =>
    [false, true].map((selfShortcut): [ResidualActivation, boolean] => [activation, selfShortcut]),
  );
  it.each(cases)(
    '%s, self-shortcut %s: counts, trains, and is the same in ONNX Runtime',
    async (activation, selfShortcut) => {
      const input = { height: 16, width: 16, channels: 3 };
      const architecture = architectureOfModel(modelNamed('resnet20'), {
        ...{ input, classes: 4, families: ['add'], activation, selfShortcut },
      });
      expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'file')).toEqual(architecture);
      const network = new Network(architecture, Random.stream('options'));
      expect(network.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0)).toBe(
        parameterCount(architecture),
      );
      const images = Tensor.view([2, 16, 16, 3], normals(2 * 768, 'images'));
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(network.forward(images, Mode.Training), Int32Array.of(1, 3)),
      );
      tape.backward(value);
      for (const { name, tensor } of network.parameters)
        expect(tensor.gradient?.every(Number.isFinite), name).toBe(true);
      for (const { name, tensor } of network.parameters)
        if (/\.(alpha|slope|zeta|gamma)$/.test(name) && !name.includes('norm'))
          tensor.data.forEach((v, i) => (tensor.data[i] = v + 0.1));
      network.forward(images, Mode.Recalibration).dispose();
      const logits = network.forward(images, Mode.Evaluation);
      const graph = new OnnxGraph('resnet');
      const pixels = graph.input('x', ['batch', 3, 16, 16]);
      graph.output(graph.node('Identity', [network.lower(graph, pixels)], {}, { name: 'logits' }), [
        'batch',
        4,
      ]);
      const first = Float32Array.from({ length: 2 * 768 }, (_, i) => {
        const [n, c, p] = [Math.floor(i / 768), Math.floor((i % 768) / 256), i % 256];
        return images.data[n * 768 + p * 3 + c]!;
      });
      const outputs = await runOnnx(encodeOnnx(graph), { x: { dims: [2, 3, 16, 16], data: first } });
      expect(relativeError(outputs.get('logits')!.data, logits.data)).toBeLessThan(1e-4);
      logits.dispose();
      network.dispose();
    },
  );

  it('has the plain network where the options are those of today', () => {
    const options = { input: { height: 16, width: 16, channels: 3 }, classes: 4, families: ['conv'] };
    const build = (more: object): Network =>
      new Network(architectureOfModel(modelNamed('resnet20'), { ...options, ...more }), Random.stream(1));
    const [a, b] = [build({}), build({ activation: ActivationKind.Relu, selfShortcut: false })];
    expect(b.parameters.map(({ name }) => name)).toEqual(a.parameters.map(({ name }) => name));
    for (const network of [a, b]) network.dispose();
  });

  it('is refused where a model has no residual blocks', () => {
    expect(() =>
      architectureOfModel(modelNamed('lenet5-bn'), {
        ...modelNamed('lenet5-bn').published,
        ...{ families: ['add'], selfShortcut: true },
      }),
    ).toThrow(/lenet5-bn has no residual blocks/);
  });
});
