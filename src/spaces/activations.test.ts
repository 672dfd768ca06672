import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Primitive } from '../hardware/layer.js';
import { layerFlash } from '../hardware/memory/footprint.js';
import { buffersOf } from '../hardware/memory/graph.js';
import { builtInProfileNames, loadProfile } from '../hardware/profile.js';
import { familyNamed, listFamilies } from '../operators/registry.js';
import { activationGraph, architectureMemory } from './activations.js';
import type { Architecture } from './architecture.js';
import { BlockKind } from './architecture.js';
import { layersOf, planLayers } from './layers.js';
import { createMiniSpace } from './mini/space.js';
import { Network } from './network.js';
import { resnetArchitecture } from './resnet.js';

const input = { height: 32, width: 32, channels: 3 };
const memoryOf = (architecture: Architecture, profile: string) =>
  architectureMemory(architecture, familyNamed, loadProfile(profile));
const resnet = (family: string): Architecture =>
  resnetArchitecture({ depth: 20, family, input, classes: 10 });

/** Most bytes alive in a residual network, straight from its blocks: the block's input stays until the join. */
function closedForm({ input: image, stem, blocks }: Architecture, bytes: number): number {
  let most =
    (image.height * image.width * image.channels + image.height * image.width * stem!.channels) * bytes;
  for (const { kind, inHeight, inWidth, inChannels, midChannels, outChannels, stride } of blocks) {
    if (kind === BlockKind.Skip) continue;
    const x = inHeight * inWidth * inChannels;
    const map = Math.ceil(inHeight / stride) * Math.ceil(inWidth / stride);
    const changes = stride !== 1 || inChannels !== outChannels;
    most = Math.max(
      most,
      (x + map * midChannels) * bytes,
      (x + map * (midChannels + outChannels)) * bytes,
      changes ? (x + 2 * map * outChannels) * bytes : 0,
    );
  }
  return most;
}

describe('the memory of ResNet-20', () => {
  it.each([
    ['fair', 'conv', 4],
    ['fair', 'add', 4],
    ['fair', 'pot.q', 4],
    ['fair-int8', 'conv', 1],
    ['fair-int8', 'pot.q', 1],
  ])('under %s in %s is three maps of stage 0, %d bytes each value', (profile, family, bytes) => {
    const { sramBytes, plan, graph } = memoryOf(resnet(family), profile);
    expect(sramBytes).toBe(3 * 32 * 32 * 16 * bytes);
    expect(plan.boundBytes).toBe(sramBytes);
    expect(graph.steps[plan.boundStep]!.name).toBe('stage0.block0.conv2');
  });

  it('in flash is its weights at their widths, an offset a channel, and a scale where weights cannot hold it', () => {
    const weights = 270_896 + 2752 - 640; // with 1x1 shortcuts, without the classifier
    const inner = planLayers(resnet('conv'));
    const counted = inner.reduce(
      (sum, { kernel, inChannels, outChannels }) => sum + kernel ** 2 * inChannels * outChannels,
      0,
    );
    const channels = inner.reduce((sum, { outChannels }) => sum + outChannels, 0);
    expect(counted).toBeGreaterThan(weights * 0.95);
    expect(memoryOf(resnet('conv'), 'fair').flashBytes).toBe(4 * counted + 4 * channels);
    expect(memoryOf(resnet('conv'), 'fair-int8').flashBytes).toBe(counted + 8 * channels);
    const stem = 432;
    const classifier = 640;
    const body = counted - stem - classifier;
    expect(memoryOf(resnet('pot.q'), 'fair').flashBytes).toBe(
      4 * (stem + classifier) + (body * 5) / 8 + 8 * channels - 4 * (16 + 10),
    );
    expect(memoryOf(resnet('add'), 'fair').flashBytes).toBe(4 * counted + 8 * channels - 4 * (16 + 10));
  });
});

describe('the memory of the mini space', () => {
  const space = createMiniSpace({ input, classes: 10 });

  it.each([
    ['fair', 4],
    ['fair-int8', 1],
  ])('under %s is what its hungriest block needs', (profile, bytes) => {
    const random = Random.stream('memory', profile);
    for (let i = 0; i < 200; i++) {
      const architecture = space.architecture(space.sample(random));
      const { plan, sramBytes } = memoryOf(architecture, profile);
      expect(plan.boundBytes).toBe(closedForm(architecture, bytes));
      expect(sramBytes).toBe(plan.boundBytes);
    }
  });

  it.each(builtInProfileNames)('is planned without overlap under %s', (profile) => {
    const random = Random.stream('overlap', profile);
    for (let i = 0; i < 20; i++) {
      const { plan } = memoryOf(space.architecture(space.sample(random)), profile);
      for (const a of plan.buffers)
        for (const b of plan.buffers) {
          const apartInTime = a === b || a.lastStep < b.firstStep || b.lastStep < a.firstStep;
          const apartInSpace = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
          expect(apartInTime || apartInSpace).toBe(true);
        }
    }
  });
});

describe('the graph of activations', () => {
  const space = createMiniSpace({ input, classes: 10, families: ['conv'], blocksPerStage: [2, 1, 1] });

  it('has a step for each layer, each join and the pooling, and keeps a block’s input until its join', () => {
    const architecture = resnet('conv');
    const graph = activationGraph(architecture, () => 8, familyNamed);
    const layers = planLayers(architecture).map(({ name }) => name);
    expect(graph.steps.map(({ name }) => name).filter((name) => layers.includes(name))).toEqual(layers);
    expect(graph.steps).toHaveLength(layers.length + architecture.blocks.length + 1);
    const buffers = buffersOf(graph);
    const at = (name: string): number => graph.steps.findIndex((step) => step.name === name);
    const stem = buffers.find(({ tensors }) => tensors[0] === 'stem')!;
    expect(stem.lastStep).toBe(at('stage0.block0.join'));
    const outer = buffers.find(({ tensors }) => tensors[0] === 'stage0.block0.conv2')!;
    expect(outer.tensors).toEqual(['stage0.block0.conv2', 'stage0.block0.join']);
    expect(outer.lastStep).toBe(at('stage0.block1.join'));
    // A shortcut layer reads the block's input for the last time.
    const last = buffers.find(({ tensors }) => tensors.includes('stage0.block2.join'))!;
    expect(last.lastStep).toBe(at('stage1.block0.shortcut'));
  });

  it('holds the tensors that the network really makes', () => {
    const architecture = space.architecture(space.sample(Random.stream('real')));
    const network = new Network(architecture, Random.stream(1));
    const graph = activationGraph(architecture, () => 32, familyNamed);
    const sizes = new Map(graph.steps.map(({ name, output }) => [name, output.bytes / 4]));
    for (const layer of planLayers(architecture))
      expect(sizes.get(layer.name)).toBe(layer.outHeight * layer.outWidth * layer.outChannels);
    network.dispose();
  });

  it('has two steps for a layer of two layers of arithmetic, each as large as its output', () => {
    const architecture = resnet('shiftadd');
    const { graph, sramBytes } = architectureMemory(architecture, familyNamed, loadProfile('fair'));
    const sizes = new Map(graph.steps.map(({ name, output }) => [name, output.bytes / 4]));
    const layers = layersOf(architecture, familyNamed);
    expect(layers.filter(({ name }) => name.endsWith('.shift')).length).toBeGreaterThan(3);
    for (const { name, outHeight, outWidth, outChannels } of layers)
      expect(sizes.get(name), name).toBe(outHeight * outWidth * outChannels);
    const step = graph.steps.find(({ name }) => name === 'stage0.block1.conv2')!;
    expect(step.inputs).toEqual(['stage0.block1.conv2.shift']);
    expect(sramBytes).toBeGreaterThan(0);
  });

  it.each(['fair', 'fair-int8'])('keeps real values for binary layers, as for convolutions: %s', (name) => {
    const memoryOf = (family: string) => architectureMemory(resnet(family), familyNamed, loadProfile(name));
    expect(memoryOf('binary').sramBytes).toBe(memoryOf('conv').sramBytes);
    expect(memoryOf('binary').flashBytes).toBeLessThan(memoryOf('conv').flashBytes / 4);
  });

  it('gives a tensor the widest width of the layers that read it, and a join’s parts that of the join', () => {
    const architecture = resnet('conv');
    const wide = new Map([['stage0.block1.conv1', 16]]);
    const graph = activationGraph(architecture, (name) => wide.get(name) ?? 8, familyNamed);
    const bytes = new Map(graph.steps.map(({ name, output }) => [name, output.bytes / (32 * 32 * 16)]));
    expect(bytes.get('stage0.block0.join')).toBe(2);
    expect(bytes.get('stage0.block0.conv2')).toBe(2);
    expect(bytes.get('stage0.block0.conv1')).toBe(1);
    expect(bytes.get('stem')).toBe(1);
    expect(bytes.get('stage0.block1.join')).toBe(1);
  });
});

describe('the flash of a layer', () => {
  it('packs shift weights at the bits of their family', () => {
    const shift = listFamilies().find(({ primitive }) => primitive === Primitive.Shift)!;
    const sizes = {
      batch: 1,
      inHeight: 4,
      inWidth: 4,
      inChannels: 3,
      kernel: 3,
      outHeight: 4,
      outWidth: 4,
      outChannels: 5,
      stride: 1,
      groups: 1,
    };
    const layer = {
      name: 'l',
      primitive: shift.primitive,
      fullyConnected: false,
      ...sizes,
      operandBits: shift.operandBits,
    };
    expect(layerFlash(layer, loadProfile('fair'))).toEqual({
      name: 'l',
      weightBytes: Math.ceil((135 * 5) / 8),
      channelBytes: 40,
    });
    const twice = layerFlash({ ...layer, copies: 2 }, loadProfile('fair'));
    expect(twice.channelBytes).toBe(80);
  });
});
