/**
 * Families with tensors of their own beside the shared ones, in one supernet with the families that have none.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode, stateOf, type NamedTensors } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import type { OperatorFamily } from '../operators/contract.js';
import { weightShape } from '../operators/layer.js';
import { familyNamed, listFamilies } from '../operators/registry.js';
import type { Genome } from '../spaces/contract.js';
import { planLayers } from '../spaces/layers.js';
import { createMiniSpace } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { snapshot, toyBatch, toyBatchSize, toySpace } from '../training/toy.cases.js';
import { Sgd } from '../training/optimiser.js';
import { scalesAfterPass } from './rules/trainee.cases.js';
import { Supernet } from './supernet.js';

const keepsWeights = ({ fixedWeights, weightShape: ownShape }: OperatorFamily): boolean =>
  fixedWeights === true || ownShape !== undefined;

const names = [
  ...listFamilies().filter((family) => family.own !== undefined || keepsWeights(family)),
  ...['conv.int4', 'add.int6', 'pot.q.int8'].map(familyNamed),
].map(({ name }) => name);
const space = createMiniSpace({ ...toySpace.options, families: ['conv', ...names, 'add'] });
const images = (step: number): Tensor => Tensor.view([toyBatchSize, 16, 16, 1], toyBatch(0, step).images);

function genomeOf(label: string): Genome {
  return space.optionCounts.map((count, position) =>
    Array.from({ length: count }, (_, option) => space.optionLabel(position, option)).indexOf(label),
  );
}

/** Whether the weights that are the family's alone tell something apart: a window of one place is no choice. */
const hasChoice = ({ name, parameters }: Supernet['sharedLayers'][number], family: string): boolean =>
  parameters.find((parameter) => parameter.name === `${name}.${family}.weight`)!.tensor.shape[0]! > 1;

/** The leading part, in the last two axes, of a tensor of four. */
function cut(whole: Tensor['shape'], data: Float32Array, shape: readonly number[]): Float32Array {
  const [, , rows, columns] = shape as [number, number, number, number];
  const [, , allRows, allColumns] = whole as [number, number, number, number];
  return Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => {
    const [column, row] = [at % columns, Math.floor(at / columns) % rows];
    return data[(Math.floor(at / (rows * columns)) * allRows + row) * allColumns + column]!;
  });
}

/** The stand-alone network of a genome with what the supernet holds for it. */
function inherited(held: NamedTensors, genome: Genome): Network {
  const architecture = space.architecture(genome);
  const network = new Network(architecture, Random.stream('other'));
  const values = new Map(stateOf(network));
  const set = (to: string, from: string, shape = values.get(to)!.shape): void => {
    const source = held.get(from)!;
    const data = source.shape.length === 4 ? cut(source.shape, source.data, shape) : source.data.slice();
    values.set(to, { shape, data });
  };
  for (const name of values.keys()) if (!name.startsWith('stage')) set(name, name);
  for (const layer of planLayers(architecture)) {
    if (layer.block === null) continue;
    const block = architecture.blocks[layer.block]!;
    const family = familyNamed(layer.family);
    const part = layer.name.split('.').at(-1) as 'conv1' | 'conv2' | 'shortcut';
    const norm = { conv1: 'norm1', conv2: 'norm2', shortcut: 'shortcut.norm' }[part];
    for (const key of ['gamma', 'beta', 'mean', 'variance'])
      set(`${layer.name}.norm.${key}`, `${block.name}.${family.name}.w${block.midChannels}.${norm}.${key}`);
    for (const { name } of family.own ?? [])
      set(`${layer.name}.${name}`, `${layer.name}.${family.name}.${name}`);
    if (keepsWeights(family)) set(`${layer.name}.weight`, `${layer.name}.${family.name}.weight`);
    else {
      const { shape, data } = held.get(`${layer.name}.shared`)!;
      const wanted = weightShape(layer);
      const slice = Tensor.persistent(wanted, cut(shape, data, wanted));
      const scalars = family.sharing.parameters.map(({ name }) =>
        Tensor.persistent([1], held.get(`${layer.name}.${family.name}.${name}`)!.data),
      );
      const weights = tidy(() => family.sharing.apply(slice, scalars));
      values.set(`${layer.name}.weight`, { shape: wanted, data: weights.data.slice() });
      for (const tensor of new Set([slice, weights, ...scalars])) tensor.dispose();
    }
  }
  loadState(network, values, 'supernet');
  return network;
}

describe.each(names)('%s in a supernet', (family) => {
  it('is the stand-alone network with the shared and own tensors, cut to its width, to the bit', () => {
    const before = poolUsage().usedBytes;
    const supernet = new Supernet(space, Random.stream('own', family));
    for (const { name, tensor } of supernet.parameters)
      if (name.endsWith('threshold')) tensor.data.forEach((_, i) => (tensor.data[i] = 0.1 * (i % 3)));
    for (const width of ['x1', 'x0.5'])
      for (const mode of [Mode.Training, Mode.Evaluation]) {
        const genome = genomeOf(`${family} ${width}`);
        const network = inherited(stateOf(supernet), genome);
        const expected = network.forward(images(0), mode);
        const logits = supernet.forward(images(0), genome, mode);
        expect(logits.data, `${width} ${mode}`).toEqual(expected.data);
        if (mode === Mode.Training) expect(new Set(logits.data).size).toBeGreaterThan(8);
        for (const tensor of [logits, expected]) tensor.dispose();
        network.dispose();
      }
    supernet.dispose();
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('trains what is its own and the shared tensors it uses, and nothing of another family', () => {
    const supernet = new Supernet(space, Random.stream('own', family));
    const before = snapshot(stateOf(supernet));
    const sgd = new Sgd(supernet.parameters, { momentum: 0.9, weightDecay: 0.1 });
    for (let step = 0; step < 3; step++) {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(
          supernet.forward(images(step), genomeOf(`${family} x1`), Mode.Training),
          toyBatch(0, step).labels,
        ),
      );
      tape.backward(value);
      sgd.step(0.1, scalesAfterPass(supernet));
    }
    const changed = [...stateOf(supernet)]
      .filter(([name, { data }]) => data.some((value, i) => value !== before.get(name)!.data[i]))
      .map(([name]) => name);
    const { own = [], fixedWeights = false } = familyNamed(family);
    const kept = keepsWeights(familyNamed(family));
    for (const layer of supernet.sharedLayers) {
      for (const { name, fixed = false } of own)
        expect(changed.includes(`${layer.name}.${family}.${name}`), name).toBe(!fixed);
      expect(changed.includes(`${layer.name}.shared`)).toBe(!kept);
      for (const other of ['conv', ...names, 'add'].filter((each) => each !== family))
        expect(
          changed.filter(
            (name) =>
              name.startsWith(`${layer.name}.${other}.`) && !name.startsWith(`${layer.name}.${family}.`),
          ),
        ).toEqual([]);
      expect(changed.includes(`${layer.name}.${family}.weight`)).toBe(
        kept && !fixedWeights && hasChoice(layer, family),
      );
    }
    sgd.dispose();
    supernet.dispose();
  });
});
