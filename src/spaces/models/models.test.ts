import { describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { operationCount } from '../../hardware/layer.js';
import { loadProfile } from '../../hardware/profile.js';
import { Mode } from '../../nn/module.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { layersOfGraph } from '../../nn/onnx/priced-layers.js';
import { decodeOnnx } from '../../nn/onnx/read.js';
import { familyNamed, listFamilies } from '../../operators/registry.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../../tensor/ops/loss.js';
import { poolUsage } from '../../tensor/pool.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { architectureMemory } from '../activations.js';
import { ruleOf } from '../blocks/registry.js';
import { nodesOf } from '../expand.js';
import { layersOf, operationTotal, parameterCount, planLayers } from '../layers.js';
import { Network } from '../network.js';
import { NodeKind } from '../nodes.js';
import { parseArchitecture } from '../parse.js';
import { architectureOfModel, type Model } from './contract.js';
import { mobilenetArchitecture } from './mobilenet.js';
import { listModels, modelNamed } from './registry.js';

/** Of the families, one of each primitive, and the shapes of cost and parameters that there are. */
const someFamilies = ['conv', 'pot.q', 'pot.dense', 'add', 'shiftadd', 'binary'];
const published = (model: Model, family = 'conv') =>
  architectureOfModel(model, { ...model.published, families: [family] });

const small = (model: Model, family: string) => {
  const { channels } = model.published.input;
  const side = channels === 1 ? model.published.input.height : model.name === 'vgg-small' ? 8 : 16;
  return architectureOfModel(model, {
    ...{ input: { height: side, width: side, channels }, classes: 4, families: [family] },
  });
};

/** The networks that are built and run in a moment are tried in every family, as linear layers too. */
const familiesFor = ({ name }: Model): readonly string[] => {
  if (name === 'vgg-small') return ['conv', 'add'];
  return ['lenet5-bn', 'mlp-deepshift'].includes(name)
    ? listFamilies().map((family) => family.name)
    : someFamilies;
};

const modelsByFamilies = listModels()
  .filter(({ name }) => !['resnet32', 'resnet56', 'vit-lite-6-4'].includes(name))
  .flatMap((model) =>
    familiesFor(model).map((family) => ({
      ...{ model, name: model.name, family },
    })),
  );

describe.each(listModels())('$name', (model) => {
  it('has the published counts', () => {
    const { parameters, macs } = model.published;
    expect(parameters ?? macs).toBeDefined();
    if (parameters !== undefined)
      expect(Math.abs(parameterCount(published(model)) / parameters.count - 1)).toBeLessThanOrEqual(
        parameters.within,
      );
    if (macs !== undefined)
      expect(Math.abs(operationTotal(published(model)) / macs.count - 1)).toBeLessThanOrEqual(macs.within);
  });

  it('has as many stages as it says, each in its family, and can be written down and read back', () => {
    const families = ['pot.q', 'add', 'conv', 'pot.ps', 'pot.dense', 'binary'].slice(0, model.stages);
    const architecture = architectureOfModel(model, { ...model.published, families, convertAll: true });
    expect(new Set(architecture.blocks.map(({ stage }) => stage)).size).toBe(model.stages);
    for (const layer of planLayers(architecture))
      if (layer.block !== null) expect(layer.family).toBe(families[architecture.blocks[layer.block]!.stage]);
    const layers = planLayers(architecture);
    expect(layers[0]!.family).toBe(families[0]);
    expect(layers.at(-1)!.family).toBe(families.at(-1));
    expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'file')).toEqual(architecture);
  });

  it('keeps its ends multiplicative when asked to', () => {
    const layers = planLayers(
      architectureOfModel(model, { ...model.published, families: ['add'], convertAll: false }),
    );
    expect([layers[0]!.family, layers.at(-1)!.family]).toEqual(['conv', 'conv']);
    expect(layers.slice(1, -1).some(({ family }) => family === 'add')).toBe(true);
  });

  it('refuses families that are unknown or do not go with its stages', () => {
    const build = (...families: string[]) => architectureOfModel(model, { ...model.published, families });
    expect(() => build('mul')).toThrow(/unknown operator family 'mul'/);
    const many = Array.from({ length: model.stages + 1 }, () => 'conv');
    expect(() => build(...many)).toThrow(OptionError);
    expect(() => build(...many)).toThrow(
      `${model.name} has ${model.stages} stages, and ${many.length} operator families were given`,
    );
  });

  it('is drawn and planned by its own sizes', () => {
    for (const family of ['conv', 'shiftadd']) {
      const architecture = published(model, family);
      for (const block of architecture.blocks) {
        expect(ruleOf(block).problem(block)).toBeNull();
        expect(ruleOf(block).lines(block).join()).toContain(String(block.outChannels));
      }
      const { graph, sramBytes, flashBytes } = architectureMemory(
        architecture,
        familyNamed,
        loadProfile('fair'),
      );
      const weights = planLayers(architecture).reduce(
        (sum, { kernel, inChannels, groups, outChannels }) =>
          sum + kernel * kernel * (inChannels / groups) * outChannels,
        0,
      );
      const sizes = new Map(graph.steps.map(({ name, output }) => [name, output.bytes / 4]));
      for (const { name, outHeight, outWidth, outChannels } of planLayers(architecture))
        expect(sizes.get(name), name).toBe(outHeight * outWidth * outChannels);
      expect(sramBytes).toBeGreaterThanOrEqual(4 * Math.max(...sizes.values()));
      if (family === 'conv') expect(flashBytes).toBeGreaterThan(4 * weights);
      expect(new Set(layersOf(architecture, familyNamed).map(({ name }) => name)).size).toBe(
        layersOf(architecture, familyNamed).length,
      );
    }
  });
});

describe.each(modelsByFamilies)('$name of $family', ({ model, family }) => {
  const architecture = small(model, family);
  const { height, width, channels } = architecture.input;
  const pixels = normals(3 * height * width * channels, model.name);
  const images = (): Tensor => Tensor.view([3, height, width, channels], pixels);
  const chance = { seed: 3, step: 7 };

  it('sends gradient to every parameter, the same when blocks are recomputed, and gives every buffer back', () => {
    const before = poolUsage().usedBytes;
    const gradients = [false, true].map((recomputeBlocks) => {
      const network = new Network(architecture, Random.stream('gradient', model.name, family));
      expect(network.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0)).toBe(
        parameterCount(architecture) + planesBeside(architecture),
      );
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(
          network.forward(images(), Mode.Training, { recomputeBlocks, chance }),
          Int32Array.of(0, 1, 3),
        ),
      );
      tape.backward(value);
      const all = network.parameters.map(({ name, tensor, fixed }) => {
        if (fixed) return Buffer.alloc(0);
        expect(tensor.gradient?.every(Number.isFinite), name).toBe(true);
        return Buffer.from(Float32Array.from(tensor.gradient!).buffer);
      });
      network.dispose();
      return all;
    });
    gradients[0]!.forEach((gradient, at) => expect(gradient.equals(gradients[1]![at]!)).toBe(true));
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('computes in ONNX Runtime what it computes here, and is priced there as here', async () => {
    const network = new Network(architecture, Random.stream('onnx', model.name, family));
    // Behind a ReLU nothing is below a threshold of zero, where binary layers begin: they would see ones alone.
    for (const { name, tensor } of network.parameters)
      if (name.endsWith('.threshold')) tensor.data.set(normals(tensor.size, name).map((t) => 0.5 + 0.2 * t));
    for (let step = 0; step < 3; step++)
      network.forward(images(), Mode.Training, { chance: { seed: 1, step } }).dispose();
    const logits = network.forward(images(), Mode.Evaluation);
    const graph = new OnnxGraph('model');
    const input = graph.input('x', ['batch', channels, height, width]);
    graph.output(graph.node('Identity', [network.lower(graph, input)], {}, { name: 'logits' }), ['batch', 4]);
    const bytes = encodeOnnx(graph);
    const data = channelsFirst(pixels, 3, height * width, channels);
    const outputs = await runOnnx(bytes, { x: { dims: [3, channels, height, width], data } });
    expect(outputs.get('logits')!.dims).toEqual([3, 4]);
    expect(relativeError(outputs.get('logits')!.data, logits.data)).toBeLessThan(2e-4);
    const priced = layersOfGraph(decodeOnnx(bytes, 'model'));
    expect(priced.unpriced).toEqual([]);
    expect(priced.layers.reduce((sum, layer) => sum + operationCount(layer), 0)).toBe(
      operationTotal(architecture),
    );
    logits.dispose();
    network.dispose();
  });
});

/** Values of weights that are made of several, beyond one for each weight. */
function planesBeside(architecture: ReturnType<typeof published>): number {
  return planLayers(architecture).reduce((sum, { family, kernel, inChannels, groups, outChannels }) => {
    const { planes = 1 } = familyNamed(family);
    return sum + (planes - 1) * kernel * kernel * (inChannels / groups) * outChannels;
  }, 0);
}

function channelsFirst(x: Float32Array, batch: number, positions: number, channels: number): Float32Array {
  const y = new Float32Array(x.length);
  for (let n = 0; n < batch; n++)
    for (let p = 0; p < positions; p++)
      for (let c = 0; c < channels; c++)
        y[(n * channels + c) * positions + p] = x[(n * positions + p) * channels + c]!;
  return y;
}

describe('models', () => {
  it('make the MobileNetV2 of ImageNet by its table', () => {
    // Table 2 of arXiv 1801.04381: 3.4 M parameters and 300 M operations; 3 504 872 in torchvision's.
    const groups = [
      [1, 16, 1, 1],
      [6, 24, 2, 2],
      [6, 32, 3, 2],
      [6, 64, 4, 2],
      [6, 96, 3, 1],
      [6, 160, 3, 2],
      [6, 320, 1, 1],
    ] as const;
    const table = {
      ...{ name: 'mobilenet-v2', stem: { channels: 32, stride: 2 }, lastChannels: 1280 },
      groups: groups.map(([expansion, channels, count, stride]) => ({ expansion, channels, count, stride })),
    };
    const input = { height: 224, width: 224, channels: 3 };
    const families = Array.from({ length: 8 }, () => 'conv');
    const all = { input, classes: 1000, families, first: 'conv', last: 'conv' };
    const architecture = mobilenetArchitecture(table, all);
    expect(parameterCount(architecture)).toBe(3_504_872);
    expect(operationTotal(architecture)).toBe(300_774_272);
    expect(parseArchitecture(JSON.parse(JSON.stringify(architecture)), 'file')).toEqual(architecture);
  });

  it('are unknown by other names', () => {
    expect(() => modelNamed('resnet18')).toThrow(/unknown model 'resnet18'; known: mlp-deepshift, lenet5-bn/);
  });

  it('have a batch norm behind every layer of a family that needs one', () => {
    for (const model of listModels())
      for (const { name, needsNorm } of listFamilies()) {
        if (needsNorm !== true) continue;
        const nodes = nodesOf(published(model, name));
        for (const layer of nodes)
          if (layer.kind === NodeKind.Layer && layer.family === name)
            expect(
              nodes.some(({ kind, inputs }) => kind === NodeKind.BatchNorm && inputs[0] === layer.name),
              `${model.name} ${name} ${layer.name}`,
            ).toBe(true);
      }
  });

  it('refuse families that cannot have the geometry of a layer, in one line', () => {
    const vit = modelNamed('vit-tiny');
    const build = (convertAll: boolean) =>
      architectureOfModel(vit, { ...vit.published, families: ['shiftadd'], convertAll });
    expect(parameterCount(build(false))).toBeGreaterThan(1e6);
    expect(() => build(true)).toThrow(OptionError);
    expect(() => build(true)).toThrow(/^vit-tiny: shiftadd: .* kernel of 4 [^\n]*$/);
  });

  it('draw other dropout in every step, and the same in the same one', () => {
    const architecture = published(modelNamed('mlp-deepshift'));
    const network = new Network(architecture, Random.stream('dropout'));
    const images = Tensor.view([2, 28, 28, 1], normals(2 * 784, 'dropout'));
    const logits = (step: number): number[] => {
      const y = network.forward(images, Mode.Training, { chance: { seed: 1, step } });
      const values = [...y.data];
      y.dispose();
      return values;
    };
    expect(logits(4)).toEqual(logits(4));
    expect(logits(4)).not.toEqual(logits(5));
    expect(() => network.forward(images, Mode.Training)).toThrow(/needs the chance of the step/);
    network.dispose();
  });
});
