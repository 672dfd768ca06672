/**
 * One set of cases over every way to share weights.
 */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode, stateOf, type NamedTensors } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import type { OperatorFamily } from '../operators/contract.js';
import { storedShape } from '../operators/layer.js';
import { piecewiseSharing, publishedPiecewiseSharing } from '../operators/piecewise.js';
import { familyNamed } from '../operators/registry.js';
import { quantilesOf, WeightLaw } from '../operators/weight-laws.js';
import type { Genome } from '../spaces/contract.js';
import { planLayers } from '../spaces/layers.js';
import { createMiniSpace } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import { relativeError } from '../tensor/float64.cases.js';
import { loadNativeKernels, nativeInfo, setThreads } from '../tensor/native/device.js';
import { add } from '../tensor/ops/binary.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { Interrupted } from '../training/interrupted.js';
import { crossEntropy } from '../training/technique.js';
import { copyOf, snapshot, toyBatch, toyBatchSize, toyOptions, toySpace } from '../training/toy.cases.js';
import { train, type Trainee, type TrainingCheckpoint } from '../training/train.js';
import { momentsOf } from './distribution.js';
import { createPlan } from './rules/plan.js';
import { plainRules, scalesAfterPass } from './rules/trainee.cases.js';
import { supernetTrainee } from './rules/trainee.js';
import { defaultSharing, DistributionKind, SharingKind, type SharingSettings } from './sharing.js';
import { Supernet } from './supernet.js';

const names = ['conv', 'pot.q', 'pot.ps', 'add'];
const space = createMiniSpace({ ...toySpace.options, families: names });
const images = (step: number): Tensor => Tensor.view([toyBatchSize, 16, 16, 1], toyBatch(0, step).images);

function genomeOf(...labels: readonly string[]): Genome {
  return space.optionCounts.map((count, position) => {
    const wanted = labels[Math.min(position, labels.length - 1)]!;
    return Array.from({ length: count }, (_, option) => space.optionLabel(position, option)).indexOf(wanted);
  });
}

const fresh = (sharing: SharingSettings, seed = 1): Supernet =>
  new Supernet(space, Random.stream('sharing', seed), sharing);

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

/** The leading part, in the last two axes. */
function cut(whole: readonly number[], data: Float32Array, shape: readonly number[]): Float32Array {
  const [rows, columns] = shape.slice(-2) as [number, number];
  const [allRows, allColumns] = whole.slice(-2) as [number, number];
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => {
    const [column, row] = [at % columns, Math.floor(at / columns) % rows];
    return data[(Math.floor(at / (rows * columns)) * allRows + row) * allColumns + column]!;
  });
}

/** The value's segment by a search from below, its factor, and the scale of the family: nothing of the map's own code. */
function factored(
  family: OperatorFamily,
  values: Float32Array,
  whole: Float32Array,
  factors: Float32Array,
  published: boolean,
): Float32Array {
  const [low, high] = [Math.min(...whole), Math.max(...whole)];
  const size = Math.sqrt(whole.reduce((sum, v) => sum + v * v, 0) / whole.length);
  const scale = published || family.name !== 'add' ? 1 : 1 / size;
  return values.map((value) => {
    if (published && value === high) return 0;
    let k = 0;
    while (k < factors.length - 1 && ((value - low) * factors.length) / (high - low) >= k + 1) k++;
    return scale * factors[k]! * value;
  });
}

/** The stored weights of a layer, from what the supernet holds. */
function oracleWeights(
  { map }: SharingSettings,
  held: NamedTensors,
  layer: string,
  family: OperatorFamily,
  shape: readonly number[],
): Float32Array {
  if (map === SharingKind.None) {
    const { shape: whole, data } = held.get(`${layer}.${family.name}.weight`)!;
    return cut(whole, data, storedShape(family, geometryOf(shape)));
  }
  const shared = held.get(`${layer}.shared`)!;
  const values = cut(shared.shape, shared.data, shape);
  const own = (name: string): Float32Array => held.get(`${layer}.${family.name}.${name}`)!.data;
  const closed = (from: Float32Array): Float32Array => {
    const tensors = [
      Tensor.persistent(shape, from),
      ...family.sharing.parameters.map(({ name }) => Tensor.persistent([1], own(name))),
    ];
    const weights = tidy(() => family.sharing.apply(tensors[0]!, tensors.slice(1)));
    const copy = weights.data.slice();
    for (const tensor of new Set([weights, ...tensors])) tensor.dispose();
    return copy;
  };
  if (map === SharingKind.Transport || family.name === 'conv') return closed(values);
  const published = map === SharingKind.PiecewisePublished;
  if (published && family.name === 'pot.ps')
    return Float32Array.from(
      ['factors1', 'factors2'].flatMap((name) => [...factored(family, values, shared.data, own(name), true)]),
    );
  const multiplied = factored(family, values, shared.data, own('factors'), published);
  return family.name === 'pot.ps' ? closed(multiplied) : multiplied;
}

const geometryOf = ([kernel, , inChannels, outChannels]: readonly number[]) => ({
  ...{ kernel: kernel!, inChannels: inChannels!, outChannels: outChannels! },
  ...{ stride: 1, padding: 0, groups: 1 },
});

/** The stand-alone network of a genome with the supernet's weights. */
function inherited(sharing: SharingSettings, supernet: Supernet, genome: Genome): Network {
  const held = stateOf(supernet);
  const architecture = space.architecture(genome);
  const network = new Network(architecture, Random.stream('other'));
  const values = new Map(stateOf(network));
  for (const name of values.keys()) if (!name.startsWith('stage')) values.set(name, held.get(name)!);
  for (const layer of planLayers(architecture)) {
    if (layer.block === null) continue;
    const block = architecture.blocks[layer.block]!;
    const norm = { conv1: 'norm1', conv2: 'norm2', shortcut: 'shortcut.norm' }[
      layer.name.split('.').at(-1) as 'conv1' | 'conv2' | 'shortcut'
    ];
    for (const key of ['gamma', 'beta', 'mean', 'variance'])
      values.set(
        `${layer.name}.norm.${key}`,
        held.get(`${block.name}.${layer.family}.w${block.midChannels}.${norm}.${key}`)!,
      );
    const { shape } = values.get(`${layer.name}.weight`)!;
    const data = oracleWeights(sharing, held, layer.name, familyNamed(layer.family), shape.slice(-4));
    values.set(`${layer.name}.weight`, { shape, data });
  }
  loadState(network, values, 'supernet');
  return network;
}

const choices = Object.values(SharingKind).map((map) => [map] as const);
const withTerms = [
  ...choices.map(([map]) => ({ map, distribution: DistributionKind.None })),
  ...[SharingKind.Transport, SharingKind.Piecewise, SharingKind.PiecewisePublished].flatMap((map) =>
    [DistributionKind.Sorted, DistributionKind.Moment, DistributionKind.Published].map((distribution) => ({
      map,
      distribution,
    })),
  ),
];

const seed = 5;
const traineeOf = (supernet: Supernet): Trainee => ({
  // More steps than any training here has; networks do not depend on their number.
  ...supernetTrainee(supernet, createPlan(space, plainRules, 1e6), plainRules, { seed }).trainee,
  loss: crossEntropy(0),
});

/** The state after a training, which is stopped after `stop` steps and gone on with elsewhere where that is given. */
function trained(sharing: SharingSettings, stop?: number): NamedTensors {
  let supernet = fresh(sharing);
  let saved: TrainingCheckpoint | undefined;
  if (stop !== undefined) {
    let polls = 0;
    expect(() =>
      train(
        traineeOf(supernet),
        toyOptions({
          interrupted: () => polls++ >= stop,
          onCheckpoint: (checkpoint) => (saved = copyOf(checkpoint)),
        }),
      ),
    ).toThrow(Interrupted);
    supernet.dispose();
    supernet = fresh(sharing, 2);
  }
  train(traineeOf(supernet), toyOptions(saved && { resumeFrom: saved }));
  const state = snapshot(stateOf(supernet));
  supernet.dispose();
  return state;
}

describe.each(choices)('weights shared by %s', (map) => {
  const sharing = { ...defaultSharing, map };

  it('are in every subnet what plain loops make of the held tensors', () => {
    const supernet = fresh(sharing);
    const random = Random.stream('lived');
    for (const { name, tensor } of supernet.parameters)
      if (/factors|Scale|gamma/.test(name))
        tensor.data.forEach((v, i) => (tensor.data[i] = v + 0.2 * random.normal()));
    for (const genome of [
      ...names.flatMap((family) => [genomeOf(`${family} x1`), genomeOf(`${family} x0.5`)]),
      genomeOf('pot.ps x0.5', 'skip', 'add x0.5', 'conv x1'),
    ]) {
      const network = inherited(sharing, supernet, genome);
      const expected = network.forward(images(0), Mode.Training);
      const logits = supernet.forward(images(0), genome, Mode.Training);
      expect(relativeError(logits.data, expected.data), genome.join()).toBeLessThan(1e-4);
      expect(new Set(logits.data).size).toBeGreaterThan(8);
      for (const tensor of [logits, expected]) tensor.dispose();
      network.dispose();
    }
    supernet.dispose();
  });

  it('send gradients to all that the family uses, and to nothing of another family', () => {
    for (const family of names) {
      const supernet = fresh(sharing);
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(
          supernet.forward(images(0), genomeOf(`${family} x1`), Mode.Training),
          toyBatch(0, 0).labels,
        ),
      );
      tape.backward(value);
      const detached = map === SharingKind.PiecewisePublished && family === 'pot.ps';
      for (const { name, tensor } of supernet.parameters) {
        if (!/conv1|conv2/.test(name) || /norm/.test(name)) continue;
        const used = name.endsWith('.shared') ? !detached : name.includes(`.${family}.`);
        expect(tensor.gradient?.some((g) => g !== 0) ?? false, `${family}: ${name}`).toBe(used);
        expect(tensor.gradient?.every((g) => Number.isFinite(g)) ?? true).toBe(true);
        tensor.dropGradient();
      }
      supernet.dispose();
    }
  });

  it('bring the gradient of add to the running norm of multiplying families', () => {
    const supernet = fresh(sharing);
    const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
    const shared = supernet.parameters.filter(({ name }) => name.endsWith('.shared'));
    expect(shared.length === 0).toBe(map === SharingKind.None);
    const after = (family: string): number[] => {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(
          supernet.forward(images(0), genomeOf(`${family} x1`), Mode.Training),
          toyBatch(0, 0).labels,
        ),
      );
      tape.backward(value);
      const scaleOf = scalesAfterPass(supernet);
      const norms = shared.map((each) => norm(each.tensor.gradient!) * scaleOf(each));
      for (const each of supernet.parameters) {
        if (!shared.includes(each)) expect(scaleOf(each)).toBe(1);
        each.tensor.dropGradient();
      }
      return norms;
    };
    const ofConv = after('conv');
    after('add').forEach((each, i) => expect(each / ofConv[i]!).toBeCloseTo(1, 3));
    supernet.dispose();
  });
});

describe.each(withTerms)('a training with map $map and distribution $distribution', (sharing) => {
  it('is the same to the bit when it is resumed, and on any number of threads', () => {
    const state = trained(sharing);
    expect([...state.values()].every(({ data }) => data.every((v) => Number.isFinite(v)))).toBe(true);
    expect(trained(sharing, 5)).toEqual(state);
    if (loadNativeKernels() === undefined) return;
    const { threads } = nativeInfo();
    try {
      for (const count of [1, 2, 3]) {
        setThreads(count);
        expect(trained(sharing)).toEqual(state);
      }
    } finally {
      setThreads(threads);
    }
  });
});

describe('the default', () => {
  it('is transport, and draws the weights that it always drew', () => {
    const of = (supernet: Supernet): string => {
      const hash = createHash('sha256');
      for (const [name, { data }] of stateOf(supernet)) hash.update(name).update(data);
      supernet.dispose();
      return hash.digest('hex');
    };
    const unsaid = of(new Supernet(toySpace, Random.stream('pinned')));
    expect(of(new Supernet(toySpace, Random.stream('pinned'), { ...defaultSharing }))).toBe(unsaid);
    expect(unsaid).toBe('bed7e0f4c07a1246abebfcd387dc3cf358320c3707e21721e1918b9ee33eb538');
  });
});

describe('the weights of a supernet', () => {
  const count = (map: SharingKind, families = ['conv', 'pot.q', 'add']): number => {
    const supernet = new Supernet(
      createMiniSpace({
        ...{ input: { height: 32, width: 32, channels: 3 }, classes: 10, families },
      }),
      Random.stream('count'),
      { ...defaultSharing, map },
    );
    const total = supernet.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0);
    supernet.dispose();
    return total;
  };

  it('are at most 45 % of those of the control, whatever the map', () => {
    const control = count(SharingKind.None);
    for (const [map] of choices)
      if (map !== SharingKind.None) expect(count(map) / control, map).toBeLessThan(0.45);
    // Every segmented map has its factors: 100 for add and 100 for pot.q at each layer.
    const layers = (count(SharingKind.Piecewise) - count(SharingKind.Transport)) / 199;
    expect(Number.isInteger(layers)).toBe(true);
    expect(count(SharingKind.PiecewisePublished)).toBe(count(SharingKind.Piecewise));
    expect(
      count(SharingKind.PiecewisePublished, ['conv', 'pot.ps', 'add']) -
        count(SharingKind.Piecewise, ['conv', 'pot.ps', 'add']),
    ).toBe(100 * layers);
  });

  it('start where each choice says: fan-in scale, or N(0, 1) with factors of N(0, 1) as released', () => {
    const deviation = (map: SharingKind, pattern: RegExp): number => {
      const supernet = fresh({ ...defaultSharing, map });
      const values = supernet.parameters
        .filter(({ name }) => pattern.test(name))
        .flatMap(({ tensor }) => [...tensor.data]);
      supernet.dispose();
      return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
    };
    const wide = /stage1\.block1\.conv\d\.shared/;
    expect(deviation(SharingKind.Piecewise, wide)).toBeCloseTo(Math.sqrt(2 / (9 * 16)), 2);
    expect(deviation(SharingKind.PiecewisePublished, wide)).toBeCloseTo(1, 1);
    expect(deviation(SharingKind.Piecewise, /factors/)).toBe(1);
    expect(deviation(SharingKind.PiecewisePublished, /factors/)).toBeCloseTo(1, 1);
    expect(piecewiseSharing(familyNamed('add'), 100).parameters[0]!.deviation).toBeUndefined();
    expect(publishedPiecewiseSharing(familyNamed('add')).parameters[0]!.deviation).toBe(1);
  });
});

describe('the term about distributions', () => {
  const stepWith = (supernet: Supernet, genome: Genome, withLoss: boolean): Float32Array[] => {
    const { value, tape } = Tape.record(() => {
      const logits = supernet.forward(images(0), genome, Mode.Training);
      const loss = softmaxCrossEntropy(logits, toyBatch(0, 0).labels);
      const term = supernet.distributionTerm(seed, 0);
      return withLoss && term !== undefined ? add(loss, term) : loss;
    });
    tape.backward(value);
    const shared = supernet.parameters.filter(({ name }) => name.endsWith('.shared'));
    const scaleOf = scalesAfterPass(supernet);
    const gradients = shared.map((each) => {
      const scale = scaleOf(each);
      return each.tensor.gradient!.map((g) => scale * g);
    });
    for (const { tensor } of supernet.parameters) tensor.dropGradient();
    return gradients;
  };

  it.each(['conv x1', 'add x0.5'])(
    'adds its gradient after a step of %s was rescaled, on the whole tensor, and leaves the norms alone',
    (label) => {
      const weight = 0.01;
      const sharing = { ...defaultSharing, distribution: DistributionKind.Sorted, weight };
      const [plain, shaped] = [fresh(sharing), fresh(sharing)];
      for (const supernet of [plain, shaped]) stepWith(supernet, genomeOf('conv x1'), false);
      const [without, withTerm] = [
        stepWith(plain, genomeOf(label), false),
        stepWith(shaped, genomeOf(label), true),
      ];
      plain.parameters
        .filter(({ name }) => name.endsWith('.shared'))
        .forEach(({ tensor }, layer) => {
          const { data, size } = tensor;
          const added = withTerm[layer]!.map((g, i) => g - without[layer]![i]!);
          expect(added.some((g) => g !== 0)).toBe(true);
          if (label.startsWith('add')) return;
          const rms = Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / size);
          const order = [...data.keys()].sort((a, b) => data[a]! - data[b]!);
          const quantiles = quantilesOf(WeightLaw.Gaussian, size);
          const alike = order.reduce((sum, at, i) => sum + (quantiles[i]! * data[at]!) / rms / size, 0);
          const expected = new Float64Array(size);
          order.forEach((at, i) => {
            expected[at] = ((-2 * weight) / (size * rms)) * (quantiles[i]! - (alike * data[at]!) / rms);
          });
          expect(relativeError(added, expected)).toBeLessThan(1e-2);
        });
      const norms = (supernet: Supernet) =>
        supernet.buffers.filter(({ name }) => name.endsWith('gradientNorm')).map(({ data }) => data[0]!);
      expect(norms(shaped)).toEqual(norms(plain));
      for (const supernet of [plain, shaped]) supernet.dispose();
    },
  );

  it('is of the layers of the last pass alone, and as released of add alone', () => {
    const value = (sharing: SharingSettings, genome: Genome, step = 0): number | undefined => {
      const supernet = fresh(sharing);
      const { value: term, tape } = Tape.record(() => {
        supernet.forward(images(0), genomeOf('add x1'), Mode.Training);
        supernet.forward(images(0), genome, Mode.Training);
        return supernet.distributionTerm(seed, step);
      });
      const held = term?.data[0];
      tape.dispose();
      supernet.dispose();
      return held;
    };
    const sorted = { ...defaultSharing, distribution: DistributionKind.Sorted };
    const all = value(sorted, genomeOf('conv x1'))!;
    expect(value(sorted, genomeOf('conv x0.5', 'skip', 'conv x0.5', 'skip'))).toBeLessThan(all);
    expect(value({ ...sorted, weight: 1 }, genomeOf('conv x1'))! / all).toBeCloseTo(10, 4);
    const released = { ...defaultSharing, distribution: DistributionKind.Published };
    expect(value(released, genomeOf('conv x1'))).toBeUndefined();
    expect(value(released, genomeOf('pot.ps x1'))).toBeUndefined();
    expect(value(released, genomeOf('add x1'))).toBeGreaterThan(0);
    expect(value(released, genomeOf('add x1'), 1)).not.toBe(value(released, genomeOf('add x1')));
    const without = { ...defaultSharing, distribution: DistributionKind.None };
    expect(value(without, genomeOf('add x1'))).toBeUndefined();
    expect(value(defaultSharing, genomeOf('add x1'))).toBeGreaterThan(0);
    expect(
      value({ map: SharingKind.None, distribution: DistributionKind.None }, genomeOf('add x1')),
    ).toBeUndefined();
  });

  it('keeps shared tensors that training pulls away from their law nearer to it', () => {
    // Uniform at the start, as a tensor that lost its form.
    const distance = (distribution: DistributionKind, weight?: number): number => {
      const supernet = fresh({ ...defaultSharing, distribution, weight });
      const shared = supernet.parameters.filter(({ name }) => /conv[12]\.shared/.test(name));
      const random = Random.stream('formless');
      for (const { tensor } of shared) {
        const reach = 0.2;
        tensor.data.forEach((_, i) => (tensor.data[i] = reach * (2 * random.uniform() - 1)));
      }
      train(traineeOf(supernet), toyOptions({ stepsPerEpoch: 40 }));
      const found = shared.map(({ tensor }) => Math.abs(momentsOf(tensor.data).kurtosis - 3));
      supernet.dispose();
      return found.reduce((sum, each) => sum + each, 0) / found.length;
    };
    const free = distance(DistributionKind.None);
    expect(distance(DistributionKind.Sorted)).toBeLessThan(0.9 * free);
    expect(distance(DistributionKind.Sorted, 1)).toBeLessThan(0.6 * free);
    expect(distance(DistributionKind.Moment)).toBeLessThan(0.6 * free);
  });
});
