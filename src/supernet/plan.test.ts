import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode, stateOf } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import { familyNamed } from '../operators/registry.js';
import type { Genome, SearchSpace } from '../spaces/contract.js';
import { createDeclaredSpace } from '../spaces/declared/space.js';
import { nodesOf } from '../spaces/expand.js';
import { createHytraCifar, createHytraImagenet } from '../spaces/hytra/space.js';
import { createMiniSpace } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import { NodeKind } from '../spaces/nodes.js';
import { poolUsage } from '../tensor/pool.js';
import { Tensor } from '../tensor/tensor.js';
import { tidy } from '../tensor/tape.js';
import { ownName, plannedParameters, supernetPlan } from './plan.js';
import { fairGenome } from './sampler.js';
import { Supernet } from './supernet.js';

const images = { input: { height: 16, width: 16, channels: 1 }, classes: 4 };
const small = { stageChannels: [8, 16, 32, 64], stem: { channels: 8, kernel: 3, stride: 1, pool: false } };
const declared = createDeclaredSpace({
  ...{ name: 'own', ...images, stem: { channels: 8 } },
  stages: [
    { channels: 8, depth: [1, 3], families: ['conv', 'pot.q', 'add'], widths: [0.5, 1], kernels: [3, 5] },
    {
      channels: 16,
      depth: 2,
      block: 'inverted',
      families: ['conv', 'add'],
      widths: [1, 2],
      kernels: [1, 3],
      skip: true,
    },
    {
      channels: 16,
      depth: [1, 2],
      block: 'bottleneck',
      families: ['attention', 'pot.ps', 'add'],
      widths: [0.25, 0.5],
    },
  ] as never,
});
const fewBits = createDeclaredSpace({
  ...{ name: 'bits', ...images, stem: { channels: 8 } },
  stages: [
    {
      channels: 8,
      depth: [1, 2],
      families: ['conv', 'pot.q', 'add'],
      bits: ['float', 8, 4],
      widths: [0.5, 1],
    },
    { channels: 8, depth: 2, block: 'inverted', families: ['conv', 'add'], bits: [3, 8], widths: [1, 2] },
    { channels: 16, depth: 1, block: 'bottleneck', families: ['pot.q', 'add'], bits: [6], widths: [0.25] },
  ] as never,
});
const spaces: readonly (readonly [string, SearchSpace])[] = [
  ['mini', createMiniSpace({ ...images, stemChannels: 4, stageChannels: [4, 8], blocksPerStage: [1, 2] })],
  ['hytra-cifar', createHytraCifar({ ...images, ...small })],
  ['hytra-cifar, retrained form', createHytraCifar({ ...images, ...small, network: 'retrained' as never })],
  ['a declared one', declared],
  ['one with operands of few bits', fewBits],
];

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

describe('the plan of hytra-imagenet', () => {
  const space = createHytraImagenet();
  const plan = supernetPlan(space);

  it('holds the 91 candidates that networks can visit (cv-search 1.2), at the published widths', () => {
    expect(plan.candidates).toBe(91);
    // Layers of the first stages and of the last.
    const places = new Set(plan.shared.map(({ name }) => name.split('.').slice(0, 2).join('.')));
    expect(places).toContain('layer0.scale0');
    expect(places).toContain('layer3.scale2');
    for (const absent of [
      'layer0.scale1',
      'layer1.scale2',
      'layer2.scale3',
      'layer4.scale0',
      'layer12.scale2',
    ])
      expect(places).not.toContain(absent);
    const geometryOf = (name: string) => plan.shared.find((layer) => layer.name === name)!;
    // 9 * C * in of the shortcut with a stride, for the third stage (cv-search 1.3).
    expect(geometryOf('layer8.scale2.shortcutDown').geometry).toMatchObject({
      ...{ inChannels: 256, outChannels: 512, kernel: 3, stride: 2 },
    });
    expect(geometryOf('layer8.scale2.middle').families).toEqual(['conv', 'pot.q', 'add']);
    expect(geometryOf('layer15.scale3.middle').families).toEqual(['conv']);
    expect(plan.shared.some(({ name }) => /attention|position|query/.test(name))).toBe(false);
  });

  it('has about 97 M weights, and 136 M where shift has sign and exponent and nothing is shared (cv-search 1.2)', () => {
    const shift = space.options.stageFamilies.map((families) =>
      families.map((family) => (family === 'pot.q' ? 'pot.ps' : family)),
    );
    const published = plannedParameters(
      supernetPlan(createHytraImagenet({ classes: 100, stageFamilies: shift })),
    );
    expect(Math.abs(published.shared / 1e6 - 97)).toBeLessThan(1.2);
    expect(Math.abs(published.unshared / 1e6 - 136)).toBeLessThan(1.2);
    expect(plannedParameters(plan)).toEqual({ shared: 98_791_804, unshared: 124_713_256 });
  });
});

describe('what a plan says of the signs of inputs', () => {
  const signsOf = (space: SearchSpace): Record<string, boolean | undefined> =>
    Object.fromEntries(
      supernetPlan(space).shared.map(({ name, geometry }) => [name, geometry.nonNegativeInput]),
    );
  const stage = (block: string, rest: object) => ({
    ...{ channels: 8, depth: 1, stride: 1, block, families: ['conv'], bits: [4], widths: 1, ...rest },
  });
  const declare = (...stages: readonly object[]): SearchSpace =>
    createDeclaredSpace({ ...{ name: 's', ...images, stem: { channels: 8 } }, stages } as never);

  it('holds in every network of the space', () => {
    for (const space of [
      fewBits,
      declare(stage('residual', {}), stage('inverted', {}), stage('residual', {})),
    ]) {
      const said = signsOf(space);
      const plan = supernetPlan(space);
      const random = Random.stream('signs');
      const seen = new Map<string, boolean>();
      for (let i = 0; i < 60; i++) {
        const architecture = space.architecture(space.sample(random));
        for (const node of nodesOf(architecture)) {
          const name =
            node.block === null ? undefined : plan.sharedName(architecture.blocks[node.block]!, node);
          if (name === undefined || node.kind !== NodeKind.Layer) continue;
          seen.set(name, (seen.get(name) ?? true) && node.nonNegativeInput);
        }
      }
      expect(Object.fromEntries(seen)).toEqual(said);
      expect(new Set(Object.values(said))).toEqual(new Set([true, false]));
    }
  });

  it('is that of the network in which an input may be negative, where others have none such', () => {
    const skipped = declare(stage('residual', {}), stage('inverted', { skip: true }), stage('residual', {}));
    const always = declare(stage('residual', {}), stage('residual', { skip: true }), stage('residual', {}));
    expect(signsOf(skipped)).toMatchObject({ 'stage2.block0.conv1': false, 'stage2.block0.conv2': true });
    expect(signsOf(always)).toMatchObject({ 'stage2.block0.conv1': true, 'stage2.block0.conv2': true });
  });
});

describe.each(spaces)('the supernet of %s', (_, space) => {
  it('holds what the plan counts', () => {
    const supernet = new Supernet(space, Random.stream('plan'));
    const values = supernet.parameters.reduce((sum, { tensor }) => sum + tensor.size, 0);
    expect(values).toBe(plannedParameters(supernetPlan(space)).shared);
    expect(new Set(supernet.parameters.map(({ name }) => name)).size).toBe(supernet.parameters.length);
    supernet.dispose();
  });

  it('computes what the stand-alone network with its weights computes, for any network, to the bit', () => {
    const supernet = lived(new Supernet(space, Random.stream('plan')));
    const random = Random.stream('genomes');
    const x = Tensor.view(
      [2, 16, 16, 1],
      Float32Array.from({ length: 512 }, () => random.normal()),
    );
    for (let i = 0; i < 12; i++) {
      const genome = i % 2 === 0 ? space.sample(random) : fairGenome(space, 5, i);
      const network = inherited(supernet, space, genome);
      for (const mode of [Mode.Evaluation, Mode.Training]) {
        const expected = network.forward(x, mode);
        const logits = supernet.forward(x, genome, mode);
        expect(logits.data.every(Number.isFinite)).toBe(true);
        expect(logits.data, genome.join()).toEqual(expected.data);
        for (const tensor of [logits, expected]) tensor.dispose();
      }
      network.dispose();
    }
    supernet.dispose();
  });
});

/** Everything away from where it starts, so that what is mixed up shows. */
function lived(supernet: Supernet): Supernet {
  const random = Random.stream('lived');
  for (const { name, tensor } of supernet.parameters)
    if (!name.endsWith('.shared') && !/weight$|exponent|sign/i.test(name))
      tensor.data.forEach((value, at) => {
        // The step of a grid stays above zero.
        const size = /step$/i.test(name) ? value : 1;
        tensor.data[at] = value + 0.1 * size * random.normal();
      });
  for (const { name, data } of supernet.buffers)
    if (/mean|variance/.test(name))
      data.forEach((value, at) => (data[at] = value + 0.3 * Math.abs(random.normal())));
  return supernet;
}

/** The stand-alone network with the supernet's weights, cut and mapped by plain loops. */
function inherited(supernet: Supernet, space: SearchSpace, genome: Genome): Network {
  const architecture = space.architecture(genome);
  const plan = supernetPlan(space);
  const held = stateOf(supernet);
  const network = new Network(architecture, Random.stream('other'));
  const values = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const node of nodesOf(architecture)) {
    const block = node.block === null ? undefined : architecture.blocks[node.block]!;
    const shared = block && plan.sharedName(block, node);
    if (shared === undefined || node.kind !== NodeKind.Layer) {
      const from = block === undefined ? node.name : ownName(block, node);
      for (const [name, value] of held)
        if (name.startsWith(`${from}.`) && isOf(name.slice(from.length + 1)))
          values.set(`${node.name}${name.slice(from.length)}`, value);
      continue;
    }
    const { data, shape } = held.get(`${shared}.shared`)!;
    const [, , allIn, allOut] = shape as [number, number, number, number];
    const { kernel, inChannels, outChannels, family } = node;
    const cut = new Float32Array(kernel * kernel * inChannels * outChannels);
    for (let tap = 0; tap < kernel * kernel; tap++)
      for (let i = 0; i < inChannels; i++)
        for (let o = 0; o < outChannels; o++)
          cut[(tap * inChannels + i) * outChannels + o] = data[(tap * allIn + i) * allOut + o]!;
    const { sharing, own = [] } = familyNamed(family);
    for (const { name } of own) values.set(`${node.name}.${name}`, held.get(`${shared}.${family}.${name}`)!);
    const scalars = sharing.parameters.map(({ name }) =>
      Tensor.persistent([1], held.get(`${shared}.${family}.${name}`)!.data),
    );
    const slice = Tensor.persistent([kernel, kernel, inChannels, outChannels], cut);
    const mapped = tidy(() => sharing.apply(slice, scalars));
    values.set(`${node.name}.weight`, { shape: mapped.shape, data: mapped.data.slice() });
    for (const tensor of new Set([mapped, slice, ...scalars])) tensor.dispose();
  }
  loadState(network, values, 'supernet');
  return network;
}

/** Of the node itself, not of one that is called after it. */
function isOf(rest: string): boolean {
  return !rest.includes('.');
}
