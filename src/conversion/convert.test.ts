/**
 * Whole networks converted: what is kept, what is corrected, what it costs.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { estimate } from '../hardware/index.js';
import { operationCount, Primitive, type LayerDescription } from '../hardware/layer.js';
import { Mode } from '../nn/module.js';
import { WindowSum } from '../operators/contract.js';
import { familyNamed } from '../operators/registry.js';
import { layersOf } from '../spaces/layers.js';
import { createMiniSpace, uniformGenome } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import { poolUsage } from '../tensor/pool.js';
import { inScope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { inputRanges, windowProducts, windowsInto } from './calibration.js';
import { convertNetwork, defaultKept, layersFor, requireLayers } from './convert.js';
import { convertedLayers, operationsByKind } from './cost.js';
import { integerFormOf } from './form.js';
import { isConvertible, layersOfNetwork } from './layers.js';
import { allMethods, parseMethod } from './methods.js';
import { outputError } from './optq.js';
import { RecordKind, storedBits, storedWeights, type LayerRecord } from './record.js';

const [side, channels, images] = [16, 3, 12];
const space = createMiniSpace({
  input: { height: side, width: side, channels },
  classes: 4,
  stemChannels: 6,
  stageChannels: [6, 8],
  blocksPerStage: [1, 1],
});

const pixels = (() => {
  const random = Random.stream('pixels');
  return Float32Array.from({ length: images * side * side * channels }, () => random.normal());
})();

/** A network whose batch norms have seen images. */
function lived(family: string): Network {
  const network = new Network(
    space.architecture(uniformGenome(space, family)),
    Random.stream('lived', family),
  );
  for (let i = 0; i < 30; i++) run(network, Mode.Training);
  return network;
}

function run(network: Network, mode = Mode.Evaluation): Float32Array {
  const owned: { dispose(): void }[] = [];
  try {
    return inScope({ add: (temporary) => owned.push(temporary) }, () =>
      network.forward(Tensor.view([images, side, side, channels], pixels), mode).data.slice(),
    );
  } finally {
    for (const temporary of owned) temporary.dispose();
  }
}

let network: Network;
let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  network.dispose();
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

function convert(family: string, method: string, kept?: readonly string[]): readonly LayerRecord[] {
  network = lived(family);
  return convertNetwork(network, parseMethod(method), kept ?? defaultKept(network), () => void run(network));
}

describe('convertNetwork', () => {
  it.each(allMethods(new Set([WindowSum.Products])))(
    '%s converts all layers but the first and the last',
    (method) => {
      const before = lived('conv');
      const originals = new Map(layersOfNetwork(before).map(({ name, weights }) => [name, weights.slice()]));
      before.dispose();
      const records = convert('conv', method);
      const layers = layersOfNetwork(network);
      expect(records.map(({ name }) => name)).toEqual(layers.slice(1, -1).map(({ name }) => name));
      for (const { name, weights } of layers) {
        const record = records.find((each) => each.name === name);
        if (record === undefined) expect(weights).toEqual(originals.get(name));
        else {
          expect(weights).toEqual(storedWeights(record));
          expect(weights).not.toEqual(originals.get(name));
        }
      }
      expect(run(network).every(Number.isFinite)).toBe(true);
    },
  );

  it.each(allMethods(new Set([WindowSum.Distances])))(
    '%s converts every add layer and no other',
    (method) => {
      const records = convert('add', method);
      const adders = layersOfNetwork(network).filter(({ windowSum }) => windowSum === WindowSum.Distances);
      expect(records.map(({ name }) => name)).toEqual(adders.map(({ name }) => name));
      expect(adders.length).toBeGreaterThan(3);
      expect(run(network).every(Number.isFinite)).toBe(true);
    },
  );

  it.each([
    ['conv', 'int8'],
    ['conv', 'bcq6'],
    ['conv', 'apot3'],
    ['add', 'add.int8'],
    ['add', 'add.int8+clamp'],
  ])('%s networks keep their logits by and large under %s', (family, method) => {
    const original = lived(family);
    const expected = run(original);
    original.dispose();
    convert(family, method);
    const logits = run(network);
    const off = Math.hypot(...logits.map((v, i) => v - expected[i]!)) / Math.hypot(...expected);
    expect(off).toBeGreaterThan(0);
    expect(off).toBeLessThan(0.12);
  });

  it.each([
    ['conv', 'int8+pow2'],
    ['conv', 'int4+pow2'],
    ['add', 'add.int8+pow2'],
    ['add', 'add.int4+pow2+clamp'],
    ['add', 'add.int4+pow2+groups3'],
  ])('a %s network of %s layers has the same logits by integer arithmetic, to the bit', (family, method) => {
    const records = convert(family, method);
    const simulated = run(network);
    for (const layer of layersOfNetwork(network)) {
      const record = records.find(({ name }) => name === layer.name);
      if (record === undefined || !isConvertible(layer)) continue;
      if (record.kind !== RecordKind.Integers && record.kind !== RecordKind.Distances)
        throw new Error('no integers');
      layer.form = integerFormOf(record, layer);
    }
    expect(run(network)).toEqual(simulated);
  });

  it('the correction lowers the error of the outputs of the first converted layer', () => {
    for (const method of ['pot', 'bcq2', 'int4']) {
      const original = lived('conv');
      const layer = layersOfNetwork(original)[1]!;
      const weights = layer.weights.slice();
      const [products] = windowProducts(layer, () => void run(original));
      original.dispose();
      const error = (records: readonly LayerRecord[]): number =>
        outputError(weights, storedWeights(records[0]!), layer.geometry.outChannels, products!);
      const plain = error(convert('conv', method));
      network.dispose();
      const corrected = error(convert('conv', `${method}+optq`));
      network.dispose();
      expect(corrected).toBeLessThan(0.9 * plain);
    }
    network = lived('conv');
  });

  it('shares bits out within the mean, by either criterion, and some layers get more than others', () => {
    for (const name of ['bcq+mean2.5', 'bcq+mean2.5+importance', 'int+mean4.5', 'apot+mean8']) {
      const method = parseMethod(name);
      const records = convert('conv', name);
      const stored = records.map(storedBits);
      const total = (key: 'codes' | 'weights'): number => stored.reduce((sum, each) => sum + each[key], 0);
      expect(total('codes') / total('weights')).toBeLessThanOrEqual(method.meanBits! + 1e-9);
      expect(total('codes') / total('weights')).toBeGreaterThan(method.meanBits! - 2.6);
      expect(new Set(stored.map(({ codes, weights }) => codes / weights)).size).toBeGreaterThan(1);
      network.dispose();
    }
    network = lived('conv');
  });

  it('converts kept layers when asked to, the classifier among them', () => {
    const records = convert('conv', 'int8', []);
    expect(records.map(({ name }) => name)).toEqual(layersOfNetwork(network).map(({ name }) => name));
    expect(run(network).every(Number.isFinite)).toBe(true);
  });

  it('refuses what applies to no layer and means that cannot be had, in words', () => {
    network = lived('conv');
    const kept = defaultKept(network);
    const pass = (): void => void run(network);
    const refused = (name: string, keep: readonly string[], message: RegExp): void => {
      expect(() => convertNetwork(network, parseMethod(name), keep, pass)).toThrow(OptionError);
      expect(() => convertNetwork(network, parseMethod(name), keep, pass)).toThrow(message);
    };
    refused('add.int8', kept, /add\.int8 is for add layers, and this network has none/);
    const all = layersOfNetwork(network).map(({ name }) => name);
    refused('pot', all, /all \d+ of this network are kept/);
    refused('bcq+mean0.5', kept, /fewer than 1 bits/);
    expect(() => requireLayers(network, ['stem', 'tail'])).toThrow(/no layer 'tail'; there is stem,/);
    expect(layersFor(network, parseMethod('pot'), kept).length).toBe(all.length - 2);
  });
});

describe('calibration', () => {
  it('windows times weights are the convolution', () => {
    network = lived('conv');
    const layer = network.operatorLayers[0]!;
    const { geometry } = layer;
    const columns = geometry.kernel ** 2 * geometry.inChannels;
    const weights = layer.parameters[0]!.tensor.data;
    const owned: { dispose(): void }[] = [];
    inScope({ add: (temporary) => owned.push(temporary) }, () => {
      const y = layer.forward(Tensor.view([images, side, side, channels], pixels));
      const rows = y.size / geometry.outChannels;
      const windows = new Float32Array(rows * columns);
      windowsInto(windows, pixels, { height: side, width: side }, geometry, 0, 0, rows);
      for (let row = 0; row < rows; row += 7)
        for (let f = 0; f < geometry.outChannels; f++) {
          let sum = 0;
          for (let i = 0; i < columns; i++)
            sum += windows[row * columns + i]! * weights[i * geometry.outChannels + f]!;
          expect(y.data[row * geometry.outChannels + f]).toBeCloseTo(sum, 4);
        }
    });
    for (const temporary of owned) temporary.dispose();
  });

  it('ranges are those of the inputs, percentiles between them', () => {
    network = lived('conv');
    const ranges = inputRanges(layersOfNetwork(network), () => void run(network));
    const stem = ranges.get('stem')!;
    const magnitudes = pixels.map(Math.abs).sort();
    expect(stem.least).toBe(Math.min(...pixels));
    expect(stem.largest).toBe(magnitudes.at(-1));
    expect(stem.percentile(100)).toBe(stem.largest);
    expect(stem.percentile(90)).toBeCloseTo(magnitudes[Math.ceil(0.9 * magnitudes.length) - 1]!, 6);
    // Everything behind the stem sees what a ReLU lets through.
    for (const [name, { least }] of ranges) if (name !== 'stem') expect(least).toBe(0);
    expect(network.operatorLayers.every(({ form }) => form === undefined)).toBe(true);
  });
});

describe('what converted layers cost', () => {
  const priced = (layers: readonly LayerDescription[], profile: string) =>
    estimate(layers, profile, { remember: false });

  it('follows from the codes: shifts, signs and scalings per weight', () => {
    const records = convert('conv', 'bcq3+group18');
    const before = layersOf(network.architecture, familyNamed);
    const after = convertedLayers(before, records);
    const kinds = operationsByKind(after, operationCount);
    const names = new Set(records.map(({ name }) => name));
    const macs = before
      .filter(({ name }) => names.has(name))
      .reduce((sum, layer) => sum + operationCount(layer), 0);
    expect(kinds.signs).toBeCloseTo(3 * macs, 6);
    const first = records[0]!;
    const layer = after.find(({ name }) => name === first.name)!;
    expect(layer.primitive).toBe(Primitive.Shift);
    // 54 weights in three groups: 9 scales of two powers.
    expect(layer.steps).toEqual({ signs: 3, shifts: (3 * 2 * 3) / 54, multiplications: 0 });
    const { codes, scales, weights } = storedBits(first);
    expect(layer.operandBits.weight).toBeCloseTo((codes + scales) / weights, 12);
    expect(codes).toBe(3 * weights);
    expect(scales).toBe(first.filters * 9 * 10 + 8);
  });

  it('one power of two costs what a shift layer of the same width costs', () => {
    const records = convert('conv', 'pot');
    const before = layersOf(network.architecture, familyNamed);
    const { primitive, operandBits } = familyNamed('pot.q');
    const names = new Set(records.map(({ name }) => name));
    const shift = before.map((layer) =>
      names.has(layer.name) ? { ...layer, primitive, operandBits } : layer,
    );
    for (const profile of ['fair', 'fair-int8']) {
      const [ours, theirs] = [priced(convertedLayers(before, records), profile), priced(shift, profile)];
      expect(ours.energyMj).toBeCloseTo(theirs.energyMj, 12);
      expect(ours.latencyMs).toBeCloseTo(theirs.latencyMs, 12);
      expect(ours.operations).toBe(theirs.operations);
    }
  });

  it('K powers take K times the operations and cycles, and more energy than one but less than K layers', () => {
    const before = layersOf(space.architecture(uniformGenome(space, 'conv')), familyNamed);
    const costs = [1, 2, 3].map((terms) => {
      const records = convert('conv', `apot${terms}`);
      const layers = convertedLayers(before, records).filter(({ steps }) => steps !== undefined);
      network.dispose();
      return priced(layers, 'fair');
    });
    network = lived('conv');
    const [one, two, three] = costs as [(typeof costs)[0], (typeof costs)[0], (typeof costs)[0]];
    expect(two.operations).toBe(2 * one.operations);
    expect(three.operations).toBe(3 * one.operations);
    expect(two.byLevel.computeMj).toBeCloseTo(2 * one.byLevel.computeMj, 12);
    expect(two.energyMj).toBeGreaterThan(one.energyMj);
    expect(three.energyMj).toBeLessThan(3 * one.energyMj);
  });

  it('a description of steps is checked', () => {
    network = lived('conv');
    const [, layer] = layersOf(network.architecture, familyNamed);
    const steps = { signs: 1, shifts: 0, multiplications: 0 };
    expect(() => priced([{ ...layer!, steps }], 'fair')).toThrow(/steps.*shift layer/);
    const shift = { ...layer!, primitive: Primitive.Shift };
    expect(() => priced([{ ...shift, steps: { ...steps, signs: -1 } }], 'fair')).toThrow(/steps\.signs/);
    expect(() => priced([{ ...shift, steps: { ...steps, signs: 0 } }], 'fair')).toThrow(/more than none/);
    expect(priced([{ ...shift, steps }], 'fair').energyMj).toBeGreaterThan(0);
  });
});

describe('names of conversions', () => {
  it('say everything', () => {
    expect(parseMethod('pot')).toMatchObject({ kind: 'powers', terms: 1, rounding: 'value', optq: false });
    expect(parseMethod('apot3+value')).toMatchObject({ kind: 'powers', terms: 3, rounding: 'value' });
    expect(parseMethod('bcq3+group64+scale0+optq')).toMatchObject({
      codes: 3,
      group: 64,
      scaleTerms: 0,
      optq: true,
    });
    expect(parseMethod('int6+pow2+clip99.5')).toMatchObject({ bits: 6, powerOfTwoScales: true, clip: 99.5 });
    expect(parseMethod('add.int4+groupsall')).toMatchObject({ bits: 4, groups: 'all', clamp: false });
    expect(parseMethod('bcq+mean2.5+importance')).toMatchObject({
      codes: undefined,
      meanBits: 2.5,
      criterion: 'importance',
    });
  });

  it.each([
    ['int3', /unknown conversion 'int3'; known: pot, /],
    ['apot5', /unknown conversion/],
    ['pot+fast', /unknown modifier '\+fast'; known: \+optq/],
    ['pot+clamp', /'\+clamp' does not go with pot/],
    ['add.int8+optq', /does not go with/],
    ['pot+optq+optq', /stands there twice/],
    ['bcq3+mean2', /does not go with/],
    ['bcq', /bcq\+mean3/],
    ['bcq2+group0', /out of range/],
    ['int8+clip101', /out of range/],
    ['pot+optq3', /out of range/],
    ['add.int4+clamp+groups2', /nothing to group/],
  ])('%s is refused', (name, message) => {
    expect(() => parseMethod(name)).toThrow(OptionError);
    expect(() => parseMethod(name)).toThrow(message);
  });
});
