import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import type { Parameter } from '../nn/module.js';
import { poolUsage, take } from '../tensor/pool.js';
import { Tensor } from '../tensor/tensor.js';
import { createClusteredOptimiser, StandIn, withStandIns } from './clusters.js';
import { createOptimiser, isOptimiserState, type OptimiserSettings } from './optimiser.js';

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

const size = 20;
const settings: Record<string, OptimiserSettings> = {
  sgd: { momentum: 0.9, weightDecay: 0.1 },
  nesterov: { momentum: 0.9, nesterov: true, weightDecay: 0.1 },
  adamw: { optimiser: 'adamw', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 },
  radam: { optimiser: 'radam', beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 },
};

const valuesOf = (...labels: (string | number)[]): Float32Array => {
  const random = Random.stream(...labels);
  return Float32Array.from({ length: size }, () => random.normal());
};

function parameter(name: string, decay = true): Parameter {
  return { name, tensor: Tensor.persistent([size], valuesOf(name), true), decay };
}

function give({ tensor }: Parameter, gradient: ArrayLike<number>): void {
  tensor.gradient = take(size);
  tensor.gradient.set(gradient);
}

describe.each(Object.entries(settings))('%s', (_, chosen) => {
  it('with one cluster moves as without, to the bit, steps without a gradient included', () => {
    const ends = [false, true].map((clustered) => {
      const [shared, other] = [parameter('shared'), parameter('other', false)];
      const standIn = new StandIn(shared, 'conv');
      const clusters = new Map(clustered ? [[shared, [standIn]]] : []);
      const optimiser = createClusteredOptimiser([shared, other], clusters, chosen);
      for (let step = 0; step < 9; step++) {
        if (step % 3 < 2) give(clustered ? standIn : shared, valuesOf('gradient', step));
        give(other, valuesOf('other gradient', step));
        optimiser.step(0.1, ({ name }) => (name.startsWith('shared') ? 0.5 : 1));
      }
      const end = [shared, other].map(({ tensor }) => tensor.data.slice());
      optimiser.dispose();
      for (const { tensor } of [shared, other]) tensor.dispose();
      return end;
    });
    expect(ends[1]).toEqual(ends[0]);
  });

  it('with two clusters in turn keeps their memories apart', () => {
    const shared = parameter('shared');
    const standIns = ['conv', 'add'].map((name) => new StandIn(shared, name));
    const optimiser = createClusteredOptimiser([shared], new Map([[shared, standIns]]), chosen);
    // Of each family an optimiser of its own, on weights that are brought level after every step.
    const copies = standIns.map(({ name }) => ({
      ...shared,
      name,
      tensor: Tensor.persistent([size], shared.tensor.data, true),
    }));
    const alone = copies.map((copy) => createOptimiser([copy], chosen));
    for (let step = 0; step < 8; step++) {
      const turn = step % 2;
      give(standIns[turn]!, valuesOf('gradient', step));
      optimiser.step(0.1);
      give(copies[turn]!, valuesOf('gradient', step));
      alone[turn]!.step(0.1);
      expect(shared.tensor.data).toEqual(copies[turn]!.tensor.data);
      copies[1 - turn]!.tensor.data.set(copies[turn]!.tensor.data);
    }
    for (const each of [optimiser, ...alone]) each.dispose();
    for (const { tensor } of [shared, ...copies]) tensor.dispose();
  });

  it('with clusters that meet in a step takes the sum (SGD) or the mean (Adam) of their steps, and decays once', () => {
    const shared = parameter('shared');
    const standIns = ['conv', 'pot.q', 'add'].map((name) => new StandIn(shared, name));
    const optimiser = createClusteredOptimiser([shared], new Map([[shared, standIns]]), chosen);
    const isSgd = !('optimiser' in chosen);
    const rate = 0.1;
    let weights = Float64Array.from(shared.tensor.data);
    // Each family alone, without decay, from weights of zero: what it moves by is its step.
    const copies = standIns.map(({ name }) => ({
      name,
      tensor: Tensor.persistent([size], new Float32Array(size), true),
      decay: false,
    }));
    const alone = copies.map((copy) => createOptimiser([copy], { ...chosen, weightDecay: 0 }));
    const scales = [1, 1, 0.25];
    for (let step = 0; step < 7; step++) {
      const met = step % 3 === 2 ? [0, 2] : [0, 1, 2];
      for (const at of met) {
        give(standIns[at]!, valuesOf('gradient', step, at));
        // The decay of SGD goes through the velocities, in equal parts.
        const decay = isSgd ? chosen.weightDecay / met.length : 0;
        const gradient = valuesOf('gradient', step, at).map((v, i) => scales[at]! * v + decay * weights[i]!);
        copies[at]!.tensor.data.fill(0);
        give(copies[at]!, gradient);
        alone[at]!.step(rate);
      }
      optimiser.step(rate, (parameter) => scales[standIns.indexOf(parameter as StandIn)] ?? 1);
      const share = isSgd ? 1 : 1 / met.length;
      const decayed = isSgd ? 1 : 1 - rate * chosen.weightDecay;
      weights = weights.map(
        (w, i) => decayed * w + share * met.reduce((sum, at) => sum + copies[at]!.tensor.data[i]!, 0),
      );
      shared.tensor.data.forEach((value, i) => expect(value).toBeCloseTo(weights[i]!, 4));
      weights = Float64Array.from(shared.tensor.data);
    }
    for (const each of [optimiser, ...alone]) each.dispose();
    for (const { tensor } of [shared, ...copies]) tensor.dispose();
  });

  it('names the memories by parameter and cluster, as checkpoints know them', () => {
    const [shared, other] = [parameter('shared'), parameter('other')];
    const standIns = ['conv', 'add'].map((name) => new StandIn(shared, name));
    const clusters = new Map([[shared, standIns]]);
    expect(withStandIns([shared, other], clusters).map(({ name }) => name)).toEqual([
      ...['shared@conv', 'shared@add', 'other'],
    ]);
    const optimiser = createClusteredOptimiser([shared, other], clusters, chosen);
    const names = [...optimiser.state.keys()];
    expect(names.every(isOptimiserState)).toBe(true);
    for (const name of ['shared@conv', 'shared@add', 'other'])
      expect(
        names.some((key) => key.endsWith(`:${name}`)),
        name,
      ).toBe(true);
    optimiser.dispose();
    for (const { tensor } of [shared, other]) tensor.dispose();
  });
});
