import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { digitCount, Digits, proximalTable } from '../../nn/digits.js';
import { centralDifferences, normals, relativeError } from '../../tensor/float64.cases.js';
import { mul } from '../../tensor/ops/binary.js';
import { sum } from '../../tensor/ops/reduction.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { genomeOf, toyNetwork, toyOptions, toySchedule, traineeOf } from '../toy.cases.js';
import { train } from '../train.js';
import { bitPruning, distancePenalty, integerOf, multiplyingLayers, quantised } from './bit-pruning.js';

describe('quantised weights', () => {
  const [weights, scales] = [normals(24, 'w').map((w) => 3 * w), Float32Array.of(0.5, 1, 0.25, 2)];

  it('are whole multiples of the scale of their channel, halves to even, within the limit', () => {
    expect(
      [0.5, 1.5, 2.5, -0.5, -1.5, 99, -99, 3.2].map((w) => integerOf(w, 1, 4)).map((v) => v + 0),
    ).toEqual([0, 2, 2, 0, -2, 4, -4, 3]);
    const y = quantised(Tensor.view([6, 4], weights), Tensor.view([4], scales), 4);
    y.data.forEach((v, i) => {
      const s = scales[i % 4]!;
      expect(Number.isInteger(v / s) && Math.abs(v / s) <= 4).toBe(true);
      if (Math.abs(weights[i]! / s) <= 4) expect(Math.abs(v - weights[i]!)).toBeLessThanOrEqual(s / 2);
    });
    y.dispose();
  });

  it('have the gradients of LSQ', () => {
    const [w, s] = [Tensor.persistent([6, 4], weights, true), Tensor.persistent([4], scales, true)];
    const dy = normals(24, 'dy');
    const { value, tape } = Tape.record(() => sum(mul(quantised(w, s, 4), Tensor.view([6, 4], dy))));
    tape.backward(value);
    const ds = new Float64Array(4);
    weights.forEach((weight, i) => {
      const v = weight / scales[i % 4]!;
      const within = Math.abs(v) <= 4.5;
      expect(w.gradient![i]).toBe(within ? dy[i] : 0);
      ds[i % 4]! +=
        (dy[i]! * (within ? integerOf(weight, scales[i % 4]!, 4) - v : 4 * Math.sign(v))) / Math.sqrt(6 * 4);
    });
    expect(relativeError(s.gradient!, ds)).toBeLessThan(1e-5);
    w.dispose();
    s.dispose();
  });
});

describe('the penalty', () => {
  const table = proximalTable(128, 1.001, 0.5, Digits.Binary);
  const scales = Float32Array.of(0.01, 0.02);

  it('is zero where every weight is at its proximal integer, and nowhere else', () => {
    const there = Float32Array.from([0, 4, 2, 64, -32, -128], (n, i) => n * scales[i % 2]!);
    there.forEach((w, i) =>
      expect(table[Math.abs(integerOf(w, scales[i % 2]!, 128))]).toBe(Math.abs([0, 4, 2, 64, -32, -128][i]!)),
    );
    expect(distancePenalty(there, scales, table)).toEqual({ value: 0, gradient: new Float64Array(6) });
    expect(distancePenalty(Float32Array.of(1.19, 0), scales, table).value).toBeCloseTo(1, 12);
  });

  it('has the gradient that finite differences find, away from the steps of the rounding', () => {
    // Weights a quarter beside integers: no difference quotient crosses a half.
    const random = Random.stream('penalty');
    const weights = Float64Array.from(
      { length: 30 },
      (_, i) => (random.integer(250) - 125 + 0.25) * scales[i % 2]!,
    );
    const value = (): number => distancePenalty(weights as unknown as Float32Array, scales, table).value;
    const { gradient } = distancePenalty(weights as unknown as Float32Array, scales, table);
    expect(relativeError(gradient, centralDifferences(value, weights, 1e-7))).toBeLessThan(1e-4);
    expect(gradient.some((g) => g !== 0)).toBe(true);
  });
});

describe('bit pruning', () => {
  const genome = genomeOf('conv x1', 'add x1', 'conv x1', 'conv x1');
  const digitsAfter = (weight: number): number => {
    const network = toyNetwork(1, genome);
    const settings = { bits: 8, weight, lambda: 1.001, power: 0.5, digits: Digits.Binary, layersPerStep: 3 };
    const technique = bitPruning(network.operatorLayers, settings, 1);
    const [first] = multiplyingLayers(network.operatorLayers);
    const scale = technique.parameters![0]!.tensor;
    train(
      traineeOf(network),
      toyOptions({ schedule: { ...toySchedule, epochs: 10 }, techniques: [technique] }),
    );
    const { digitsPerWeight } = technique.facts!() as { digitsPerWeight: number };
    // What is left behind are products of integers and scales, and the count is theirs.
    first!.weight.data.forEach((w, i) => {
      const integer = w / scale.data[i % scale.size]!;
      expect(Math.abs(integer - Math.round(integer))).toBeLessThan(1e-3);
      expect(digitCount(Math.round(integer), Digits.Binary)).toBeLessThanOrEqual(8);
    });
    expect(first!.variant).toBeUndefined();
    technique.dispose!();
    network.dispose();
    return digitsPerWeight;
  };

  it('acts on multiplications alone', () => {
    const network = toyNetwork(1, genome);
    const names = multiplyingLayers(network.operatorLayers).map(({ family }) => family.name);
    expect(new Set(names)).toEqual(new Set(['conv']));
    expect(names.length).toBeLessThan(network.operatorLayers.length);
    network.dispose();
  });

  it('leaves integers, the fewer digits the more they cost', () => {
    const [free, dear] = [digitsAfter(0), digitsAfter(3000)];
    expect(free).toBeGreaterThan(2.5);
    expect(dear).toBeLessThan(0.9 * free);
  });
});
