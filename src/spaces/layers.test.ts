import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { estimate } from '../hardware/estimate.js';
import { operationCount, Primitive, type LayerDescription } from '../hardware/layer.js';
import { familyNamed } from '../operators/registry.js';
import { type Architecture, BlockKind } from './architecture.js';
import {
  familyOfLayer,
  layersOf,
  operationTotal,
  parameterCount,
  planLayers,
  scaleWidths,
} from './layers.js';
import { createMiniSpace } from './mini/space.js';
import { parseArchitecture } from './parse.js';

/** 9x7 RGB -> stem 4 channels stride 2 (5x4) -> skip -> add block to 8 channels stride 2 (3x2) -> conv block. */
const byHand: Architecture = {
  format: 'shiftaddnas-architecture',
  version: 1,
  space: 'by hand',
  genome: null,
  input: { height: 9, width: 7, channels: 3 },
  classes: 5,
  stem: { channels: 4, stride: 2 },
  blocks: [
    {
      name: 'stage0.block0',
      stage: 0,
      kind: BlockKind.Skip,
      inHeight: 5,
      inWidth: 4,
      inChannels: 4,
      midChannels: 4,
      outChannels: 4,
      stride: 1,
    },
    {
      name: 'stage1.block0',
      stage: 1,
      kind: BlockKind.Residual,
      family: 'add',
      inHeight: 5,
      inWidth: 4,
      inChannels: 4,
      midChannels: 6,
      outChannels: 8,
      stride: 2,
    },
    {
      name: 'stage1.block1',
      stage: 1,
      kind: BlockKind.Residual,
      family: 'conv',
      inHeight: 3,
      inWidth: 2,
      inChannels: 8,
      midChannels: 4,
      outChannels: 8,
      stride: 1,
    },
  ],
};

describe('the layers of an architecture', () => {
  it('come in order with the shapes counted by hand', () => {
    const rows = planLayers(byHand).map((layer) => [
      layer.name,
      layer.family,
      `${layer.inHeight}x${layer.inWidth}x${layer.inChannels}`,
      `${layer.outHeight}x${layer.outWidth}x${layer.outChannels}`,
      layer.kernel,
      layer.stride,
      layer.padding,
      layer.block,
    ]);
    expect(rows).toEqual([
      ['stem', 'conv', '9x7x3', '5x4x4', 3, 2, 1, null],
      ['stage1.block0.conv1', 'add', '5x4x4', '3x2x6', 3, 2, 1, 1],
      ['stage1.block0.conv2', 'add', '3x2x6', '3x2x8', 3, 1, 1, 1],
      ['stage1.block0.shortcut', 'add', '5x4x4', '3x2x8', 1, 2, 0, 1],
      ['stage1.block1.conv1', 'conv', '3x2x8', '3x2x4', 3, 1, 1, 2],
      ['stage1.block1.conv2', 'conv', '3x2x4', '3x2x8', 3, 1, 1, 2],
      ['classifier', 'conv', '1x1x8', '1x1x5', 1, 1, 0, null],
    ]);
    expect(familyOfLayer(byHand, 'stage1.block0.shortcut')).toBe('add');
    expect(() => familyOfLayer(byHand, 'stage1.block1.shortcut')).toThrow(/no layer/);
  });

  it('have the operations and parameters counted by hand', () => {
    const operations = [
      5 * 4 * 4 * 3 * 9, // stem 2160
      3 * 2 * 6 * 4 * 9, // 1296
      3 * 2 * 8 * 6 * 9, // 2592
      3 * 2 * 8 * 4, // 192
      3 * 2 * 4 * 8 * 9, // 1728
      3 * 2 * 8 * 4 * 9, // 1728
      8 * 5, // 40
    ];
    const layers = layersOf(byHand, (family) => ({
      primitive: family === 'add' ? Primitive.Add : Primitive.Multiply,
      operandBits: { weight: 8, activation: 8, partialSum: family === 'add' ? 16 : 32 },
    }));
    expect(layers.map(operationCount)).toEqual(operations);
    expect(operationTotal(byHand)).toBe(9736);
    expect(layers.map((layer) => layer.primitive === Primitive.Add)).toEqual([
      false,
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(layers.map((layer) => layer.operandBits.partialSum)).toEqual([32, 16, 16, 16, 32, 32, 32]);
    expect(layers.map((layer) => layer.fullyConnected).indexOf(true)).toBe(6);
    // Weights 108 + 216 + 432 + 32 + 288 + 288 + 40, classifier biases 5, batch norm 2 x (4 + 6 + 8 + 8 + 4 + 8).
    expect(parameterCount(byHand)).toBe(1404 + 5 + 76);
  });

  it('are two where a family has two layers of arithmetic, and cost what both cost alone', () => {
    const [stem, ...rest] = byHand.blocks.map((block) =>
      block.family === 'add' ? { ...block, family: 'shiftadd' } : block,
    );
    const architecture = { ...byHand, blocks: [stem!, ...rest] };
    const layers = layersOf(architecture, familyNamed).filter(({ name }) => name.includes('block0'));
    const rows = layers.map((layer) => [
      layer.name,
      layer.primitive,
      `${layer.inHeight}x${layer.inWidth}x${layer.inChannels}`,
      `${layer.outHeight}x${layer.outWidth}x${layer.outChannels}`,
      `${layer.kernel} /${layer.stride}`,
      operationCount(layer),
    ]);
    expect(rows).toEqual([
      ['stage1.block0.conv1.shift', 'shift', '5x4x4', '3x2x6', '3 /2', 1296],
      ['stage1.block0.conv1', 'add', '3x2x6', '3x2x6', '3 /1', 3 * 2 * 6 * 6 * 9],
      ['stage1.block0.conv2.shift', 'shift', '3x2x6', '3x2x8', '3 /1', 2592],
      ['stage1.block0.conv2', 'add', '3x2x8', '3x2x8', '3 /1', 3 * 2 * 8 * 8 * 9],
      ['stage1.block0.shortcut.shift', 'shift', '5x4x4', '3x2x8', '1 /2', 192],
      ['stage1.block0.shortcut', 'add', '3x2x8', '3x2x8', '1 /1', 3 * 2 * 8 * 8],
    ]);
    const more = 3 * 2 * (6 * 6 * 9 + 8 * 8 * 9 + 8 * 8);
    expect(operationTotal(architecture)).toBe(9736 + more);
    expect(parameterCount(architecture)).toBe(parameterCount(byHand) + more / 6);
    expect(familyOfLayer(architecture, 'stage1.block0.conv2.shift')).toBe('shiftadd');
    const costs = (family: string) =>
      layersOf({ ...architecture, blocks: [stem!, { ...rest[0]!, family }] }, familyNamed);
    const energyOf = (list: readonly LayerDescription[]): number => estimate(list, 'fair').energyMj;
    const additions = layers.filter(({ primitive }) => primitive === Primitive.Add);
    expect(energyOf(costs('shiftadd'))).toBeCloseTo(energyOf(costs('pot.q')) + energyOf(additions), 12);
  });

  it('match the sizes that strided, padded convolution gives', () => {
    const space = createMiniSpace({
      input: { height: 29, width: 33, channels: 3 },
      classes: 4,
      stemStride: 2,
    });
    for (const layer of planLayers(space.architecture(space.sample(Random.stream(1))))) {
      const out = (size: number): number =>
        Math.floor((size + 2 * layer.padding - layer.kernel) / layer.stride) + 1;
      expect([layer.outHeight, layer.outWidth]).toEqual([out(layer.inHeight), out(layer.inWidth)]);
    }
  });
});

describe('scaling widths', () => {
  const space = createMiniSpace({ input: { height: 28, width: 28, channels: 1 }, classes: 10 });

  it('keeps networks consistent at any factor, and is the identity at 1', () => {
    const random = Random.stream(5, 'scale');
    for (const factor of [0.01, 0.3, 0.51, 0.77, 1, 1.31, 2]) {
      const architecture = space.architecture(space.sample(random));
      const scaled = scaleWidths(architecture, factor);
      expect(parseArchitecture(JSON.parse(JSON.stringify(scaled)), 'scaled')).toEqual(scaled);
      expect(scaled.genome).toBeNull();
      expect(planLayers(scaled).map(({ name }) => name)).toEqual(
        planLayers(architecture).map(({ name }) => name),
      );
      if (factor === 1) expect(parameterCount(scaled)).toBe(parameterCount(architecture));
    }
  });

  it('rounds each width to whole channels', () => {
    const scaled = scaleWidths(byHand, 0.4);
    expect(scaled.stem!.channels).toBe(2);
    expect(scaled.blocks.map((b) => [b.inChannels, b.midChannels, b.outChannels])).toEqual([
      [2, 2, 2],
      [2, 2, 3],
      [3, 2, 3],
    ]);
    expect(() => scaleWidths(byHand, 0)).toThrow(RangeError);
  });
});

describe('reading an architecture', () => {
  const edited = (
    edit: (json: Record<string, unknown>, blocks: Record<string, unknown>[]) => void,
  ): unknown => {
    const json = JSON.parse(JSON.stringify(byHand)) as Record<string, unknown>;
    edit(json, json['blocks'] as Record<string, unknown>[]);
    return json;
  };

  it('accepts what was written', () => {
    expect(parseArchitecture(JSON.parse(JSON.stringify(byHand)), 'a.json')).toEqual(byHand);
  });

  it.each<[string, Parameters<typeof edited>[0], RegExp]>([
    ['another file', (json) => (json['format'] = 'other'), /not an architecture file/],
    ['another version', (json) => (json['version'] = 2), /version/],
    ['an unknown field', (json) => (json['extra'] = 1), /extra/],
    ['no blocks', (json) => (json['blocks'] = []), /blocks/],
    ['a fractional width', (_, blocks) => (blocks[1]!['midChannels'] = 1.5), /blocks\.1\.midChannels/],
    [
      'a broken chain of channels',
      (_, blocks) => (blocks[2]!['inChannels'] = 9),
      /stage1\.block1: inChannels/,
    ],
    ['a broken chain of maps', (_, blocks) => (blocks[2]!['inHeight'] = 4), /input map is 4x2/],
    ['a stage of two widths', (_, blocks) => (blocks[2]!['outChannels'] = 9), /of its stage/],
    ['a stage that is left out', (_, blocks) => (blocks[2]!['stage'] = 3), /stage 3 does not follow/],
    ['a name used twice', (_, blocks) => (blocks[2]!['name'] = 'stage1.block0'), /name is taken/],
    ['a name of another layer', (_, blocks) => (blocks[2]!['name'] = 'stem'), /name is taken/],
    ['a path as a name', (_, blocks) => (blocks[2]!['name'] = '../x'), /blocks\.2\.name/],
    ['a residual without family', (_, blocks) => delete blocks[2]!['family'], /needs a family/],
    ['a skip with family', (_, blocks) => (blocks[0]!['family'] = 'add'), /skip has no family/],
    ['a skip with stride', (_, blocks) => (blocks[0]!['stride'] = 2), /skip cannot have a stride/],
    ['a skip that widens', (_, blocks) => (blocks[1]!['kind'] = 'skip'), /skip/],
  ])('refuses %s', (_, edit, message) => {
    const read = () => parseArchitecture(edited(edit), 'a.json');
    expect(read).toThrow(message);
    expect(read).toThrow(/^a\.json: /);
    expect(read).toThrow(expect.objectContaining({ code: 'BAD_FILE' }));
  });
});
