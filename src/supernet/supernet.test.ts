import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode, stateOf, type Parameter } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import { familyNamed } from '../operators/registry.js';
import { deviationOf } from '../operators/statistics.js';
import { BlockKind } from '../spaces/architecture.js';
import type { Genome } from '../spaces/contract.js';
import type { ForwardOptions } from '../spaces/execute.js';
import { planLayers } from '../spaces/layers.js';
import { Network } from '../spaces/network.js';
import { allGenomes } from '../spaces/product.js';
import { array64, conv64, moments64 } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { forEachBatch } from '../training/evaluate.js';
import { Interrupted } from '../training/interrupted.js';
import { Sgd } from '../training/optimiser.js';
import {
  copyOf,
  genomeOf,
  snapshot,
  toyBatch,
  toyBatchSize,
  toyOptions,
  toyShape,
  toySpace,
} from '../training/toy.cases.js';
import { train, type Trainee, type TrainingCheckpoint } from '../training/train.js';
import { createPlan } from './rules/plan.js';
import { plainRules, scalesAfterPass, toySteps } from './rules/trainee.cases.js';
import { supernetTrainee } from './rules/trainee.js';
import { Supernet } from './supernet.js';

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

const fresh = (seed = 1): Supernet => new Supernet(toySpace, Random.stream('supernet', seed));
const imagesOf = (step: number): Tensor =>
  Tensor.view([toyBatchSize, toyShape.height, toyShape.width, 1], toyBatch(0, step).images);

/** A supernet whose norms and learned scalars differ from each other and from their start. */
function lived(): Supernet {
  const supernet = fresh();
  const random = Random.stream('lived');
  for (const { name, tensor } of supernet.parameters)
    if (/gamma|beta|Scale|bias/.test(name))
      tensor.data.forEach((v, i) => (tensor.data[i] = v + 0.1 * random.normal()));
  for (const { name, data } of supernet.buffers)
    if (/mean|variance/.test(name)) data.forEach((v, i) => (data[i] = v + 0.3 * Math.abs(random.normal())));
  return supernet;
}

/** The stand-alone network of a genome with the supernet's weights, cut and mapped here by plain loops. */
function inherited(supernet: Supernet, genome: Genome): Network {
  const held = stateOf(supernet);
  const architecture = toySpace.architecture(genome);
  const network = new Network(architecture, Random.stream('other'));
  const values = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const take = (to: string, from: string): void => void values.set(to, held.get(from)!);
  for (const key of ['gamma', 'beta', 'mean', 'variance']) take(`stem.norm.${key}`, `stem.norm.${key}`);
  for (const name of ['stem.weight', 'classifier.weight', 'classifier.bias']) take(name, name);
  for (const layer of planLayers(architecture)) {
    if (layer.block === null) continue;
    const block = architecture.blocks[layer.block]!;
    const part = layer.name.split('.').at(-1) as 'conv1' | 'conv2' | 'shortcut';
    const norm = { conv1: 'norm1', conv2: 'norm2', shortcut: 'shortcut.norm' }[part];
    for (const key of ['gamma', 'beta', 'mean', 'variance'])
      take(`${layer.name}.norm.${key}`, `${block.name}.${layer.family}.w${block.midChannels}.${norm}.${key}`);
    const shared = held.get(`${layer.name}.shared`)!;
    const [, , allIn, allOut] = shared.shape as [number, number, number, number];
    const shape = [layer.kernel, layer.kernel, layer.inChannels, layer.outChannels];
    const cut = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => {
      const o = at % layer.outChannels;
      const i = Math.floor(at / layer.outChannels) % layer.inChannels;
      const tap = Math.floor(at / (layer.outChannels * layer.inChannels));
      return shared.data[(tap * allIn + i) * allOut + o]!;
    });
    const { sharing } = familyNamed(layer.family);
    const scalars = sharing.parameters.map(({ name }) =>
      Tensor.persistent([1], held.get(`${layer.name}.${layer.family}.${name}`)!.data),
    );
    const slice = Tensor.persistent(shape, cut);
    const mapped = tidy(() => sharing.apply(slice, scalars));
    values.set(`${layer.name}.weight`, { shape, data: mapped.data.slice() });
    for (const tensor of new Set([mapped, slice, ...scalars])) tensor.dispose();
  }
  loadState(network, values, 'supernet');
  return network;
}

const genomes: readonly Genome[] = [
  ...['conv', 'pot.q', 'add'].flatMap((family) => [genomeOf(`${family} x1`), genomeOf(`${family} x0.5`)]),
  genomeOf('skip', 'skip', 'add x0.5', 'skip'),
  genomeOf('add x1', 'conv x0.5', 'pot.q x1', 'add x0.5'),
  genomeOf('pot.q x0.5', 'skip', 'conv x1', 'add x1'),
];

describe('a subnet', () => {
  it('equals the stand-alone network with the mapped, sliced weights: every family, width and skip, to the bit', () => {
    const supernet = lived();
    for (const genome of genomes)
      for (const mode of [Mode.Evaluation, Mode.Training]) {
        const network = inherited(supernet, genome);
        const expected = network.forward(imagesOf(0), mode);
        const logits = supernet.forward(imagesOf(0), genome, mode);
        expect(logits.shape).toEqual([toyBatchSize, 1, 1, 4]);
        expect(logits.data.every((value) => Number.isFinite(value))).toBe(true);
        expect(logits.data, `${genome.join()} ${mode}`).toEqual(expected.data);
        for (const tensor of [logits, expected]) tensor.dispose();
        network.dispose();
      }
    supernet.dispose();
  });

  it('is another function than every other subnet', () => {
    const supernet = lived();
    const outputs = [...allGenomes(toySpace.optionCounts)]
      .filter((_, i) => i % 41 === 0)
      .map((genome) => {
        const logits = supernet.forward(imagesOf(0), genome, Mode.Training);
        const key = logits.data.join();
        logits.dispose();
        return key;
      });
    expect(outputs.length).toBeGreaterThan(20);
    expect(new Set(outputs).size).toBe(outputs.length);
    supernet.dispose();
  });

  it('refuses an option that there is not', () => {
    const supernet = fresh();
    expect(() => supernet.forward(imagesOf(0), [99, 0, 0, 0], Mode.Evaluation)).toThrow(
      /gene 0 of a genome of the mini space must be .* not 99/,
    );
    supernet.dispose();
  });
});

/** One recorded forward and backward pass of a genome; leaves the gradients. */
function backward(supernet: Supernet, genome: Genome, step = 0): void {
  const { value, tape } = Tape.record(() =>
    softmaxCrossEntropy(supernet.forward(imagesOf(step), genome, Mode.Training), toyBatch(0, step).labels),
  );
  tape.backward(value);
}

describe('a step', () => {
  it.each(['conv', 'pot.q', 'add'])(
    'of %s leaves norms, statistics and scalars of the other families alone',
    (family) => {
      const supernet = fresh();
      const before = snapshot(stateOf(supernet));
      const sgd = new Sgd(supernet.parameters, { momentum: 0.9, weightDecay: 0.1 });
      for (let step = 0; step < 3; step++) {
        backward(supernet, genomeOf(`${family} x0.5`), step);
        sgd.step(0.1, scalesAfterPass(supernet));
      }
      const changed = [...stateOf(supernet)]
        .filter(([name, { data }]) => data.some((value, i) => value !== before.get(name)!.data[i]))
        .map(([name]) => name);
      const others = ['conv', 'pot.q', 'add'].filter((other) => other !== family);
      for (const name of changed)
        for (const other of others)
          expect(name).not.toMatch(new RegExp(`\\.${other.replace('.', '\\.')}\\.`));
      expect(changed.filter((name) => name.includes('.w8.') || name.includes('.w16.'))).toEqual(
        changed.filter((name) => name.startsWith('stage1') && name.includes('.w8.')),
      );
      for (const expected of [
        'stem.weight',
        'stage0.block0.conv1.shared',
        `stage0.block0.${family}.w4.norm1.gamma`,
      ])
        expect(changed).toContain(expected);
      sgd.dispose();
      supernet.dispose();
    },
  );

  it('touches only the leading channels that it used, but for weight decay', () => {
    const supernet = fresh();
    const shared = supernet.parameters.find(({ name }) => name === 'stage1.block0.conv2.shared') as Parameter;
    backward(supernet, genomeOf('conv x0.5'));
    const [, , allIn, allOut] = shared.tensor.shape as [number, number, number, number];
    expect([allIn, allOut]).toEqual([16, 16]);
    let zeros = 0;
    shared.tensor.gradient!.forEach((value, at) => {
      const outside = Math.floor(at / allOut) % allIn >= 8;
      if (outside) expect(value).toBe(0);
      else if (value === 0) zeros++;
    });
    expect(zeros).toBeLessThan(shared.tensor.size / 20);
    supernet.dispose();
  });
});

describe('the factor on a gradient', () => {
  const normOf = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  const sharedOf = (supernet: Supernet): readonly Parameter[] =>
    supernet.parameters.filter(({ name }) => name.endsWith('.shared'));
  const drop = (supernet: Supernet): void =>
    supernet.parameters.forEach(({ tensor }) => tensor.dropGradient());

  it('is 1 for multiplying families, and brings the gradient of add to their running norm', () => {
    const supernet = fresh();
    const running = new Map<string, number>();
    ['conv x1', 'pot.q x1', 'conv x0.5'].forEach((label, step) => {
      backward(supernet, genomeOf(label), step);
      const scaleOf = scalesAfterPass(supernet);
      for (const parameter of sharedOf(supernet)) {
        const norm = normOf(parameter.tensor.gradient!);
        const held = running.get(parameter.name);
        running.set(parameter.name, held === undefined ? norm : 0.9 * held + 0.1 * norm);
        expect(scaleOf(parameter)).toBe(1);
      }
      drop(supernet);
    });
    for (const label of ['add x1', 'add x0.5']) {
      backward(supernet, genomeOf(label), 5);
      const scaleOf = scalesAfterPass(supernet);
      for (const parameter of sharedOf(supernet)) {
        const scaled = scaleOf(parameter) * normOf(parameter.tensor.gradient!);
        expect(scaled / running.get(parameter.name)!, parameter.name).toBeCloseTo(1, 4);
      }
      drop(supernet);
    }
    for (const { name, data } of supernet.buffers)
      if (name.endsWith('gradientNorm'))
        expect(data[0]! / running.get(name.replace('gradientNorm', 'shared'))!).toBeCloseTo(1, 5);
    supernet.dispose();
  });

  it('before any multiplying step, follows the size of the shared weights', () => {
    const supernet = fresh();
    backward(supernet, genomeOf('add x1'));
    const scaleOf = scalesAfterPass(supernet);
    for (const parameter of sharedOf(supernet)) {
      const { data, gradient, size } = parameter.tensor;
      const scaled = scaleOf(parameter) * normOf(gradient!);
      expect(scaled / (0.2 * deviationOf(data) * Math.sqrt(size))).toBeCloseTo(1, 4);
    }
    drop(supernet);
    supernet.dispose();
  });

  it('leaves every other parameter to itself', () => {
    const supernet = fresh();
    backward(supernet, genomeOf('add x1'));
    const scaleOf = scalesAfterPass(supernet);
    for (const parameter of supernet.parameters)
      if (!parameter.name.endsWith('.shared')) expect(scaleOf(parameter)).toBe(1);
    supernet.dispose();
  });
});

describe('recalibration', () => {
  const batches = [0, 1, 2].map((step) => toyBatch(9, step));
  function recalibrated(supernet: Supernet, genome: Genome) {
    supernet.resetStatistics(genome);
    forEachBatch(batches, toyShape, (images) => supernet.forward(images, genome, Mode.Recalibration));
    const logits = supernet.forward(imagesOf(0), genome, Mode.Evaluation);
    const copy = logits.data.slice();
    logits.dispose();
    return copy;
  }

  it('gives a subnet the same logits whatever was judged before, to the bit', () => {
    const supernet = lived();
    const order = (list: readonly Genome[]) =>
      new Map(list.map((genome) => [genome, recalibrated(supernet, genome)]));
    const forwards = order(genomes);
    const backwards = order([...genomes].reverse());
    for (const genome of genomes) expect(backwards.get(genome)).toEqual(forwards.get(genome));
    supernet.dispose();
  });

  it('changes statistics of the subnet alone and no weight', () => {
    const supernet = lived();
    const before = snapshot(stateOf(supernet));
    recalibrated(supernet, genomeOf('add x0.5', 'skip', 'add x0.5', 'skip'));
    for (const [name, { data }] of stateOf(supernet)) {
      const mayChange = /^(stem\.norm|stage0\.block0\.add\.w4.*|stage1\.block0\.add\.w8.*)\.(mean|variance)$/;
      if (!mayChange.test(name)) expect(data, name).toEqual(before.get(name)!.data);
      else expect(data, name).not.toEqual(before.get(name)!.data);
    }
    supernet.dispose();
  });

  it('is the plain average of the moments over the batches', () => {
    const supernet = lived();
    recalibrated(supernet, genomes[0]!);
    const state = stateOf(supernet);
    const weights = array64([3, 3, 1, 8], state.get('stem.weight')!.data);
    const moments = batches.map(({ images }) =>
      moments64(conv64(array64([toyBatchSize, 16, 16, 1], images), weights, { padding: 1 })),
    );
    const rows = toyBatchSize * 256;
    for (let c = 0; c < 8; c++) {
      const average = (key: 'mean' | 'variance'): number =>
        moments.reduce((sum, each) => sum + each[key][c]!, 0) / batches.length;
      expect(state.get('stem.norm.mean')!.data[c]).toBeCloseTo(average('mean'), 5);
      expect(state.get('stem.norm.variance')!.data[c]).toBeCloseTo(
        (average('variance') * rows) / (rows - 1),
        4,
      );
    }
    supernet.dispose();
  });
});

describe('training', () => {
  const traineeOf = (supernet: Supernet, options: ForwardOptions = {}): Trainee =>
    supernetTrainee(supernet, createPlan(toySpace, plainRules, toySteps), plainRules, { seed: 5, options })
      .trainee;

  it('resumes to the bit, running gradient norms included', () => {
    const whole = fresh();
    train(traineeOf(whole), toyOptions());
    const first = fresh();
    let polls = 0;
    let saved: TrainingCheckpoint | undefined;
    expect(() =>
      train(
        traineeOf(first),
        toyOptions({
          interrupted: () => polls++ >= 5,
          onCheckpoint: (checkpoint) => (saved = copyOf(checkpoint)),
        }),
      ),
    ).toThrow(Interrupted);
    const rest = fresh(2);
    train(traineeOf(rest), toyOptions({ resumeFrom: saved! }));
    expect(stateOf(rest)).toEqual(stateOf(whole));
    for (const supernet of [whole, first, rest]) supernet.dispose();
  });

  it('is the same to the bit when blocks are recomputed', () => {
    const trained = [false, true].map((recomputeBlocks) => {
      const supernet = fresh();
      train(traineeOf(supernet, { recomputeBlocks }), toyOptions());
      const state = snapshot(stateOf(supernet));
      supernet.dispose();
      return state;
    });
    expect(trained[1]).toEqual(trained[0]);
  });

  it('gives the mapped weights of a layer without touching the shared ones', () => {
    const supernet = lived();
    const before = snapshot(stateOf(supernet));
    for (const layer of supernet.sharedLayers)
      for (const name of ['conv', 'pot.q', 'add']) {
        const weights = layer.weightsOf(familyNamed(name));
        const shared = before.get(`${layer.name}.shared`)!.data;
        if (name === 'conv') expect(weights).toEqual(shared);
        if (name === 'pot.q') expect(weights).toEqual(familyNamed(name).effectiveWeights(shared));
        weights.fill(0);
      }
    expect(snapshot(stateOf(supernet))).toEqual(before);
    expect(toySpace.positions[1]!.options[0]!.kind).toBe(BlockKind.Skip);
    supernet.dispose();
  });
});
