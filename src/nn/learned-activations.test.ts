/**
 * RPReLU and the power activation: closed forms, and gradients against differences of a float64 oracle.
 */
import { describe, expect, it } from 'vitest';
import { normals } from '../tensor/float64.cases.js';
import { relu } from '../tensor/ops/elementwise.js';
import { mul } from '../tensor/ops/binary.js';
import { sum } from '../tensor/ops/reduction.js';
import { Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { power, PowerActivation } from './power-activation.js';
import { rprelu, RPRelu } from './rprelu.js';

type Values = readonly (readonly number[])[];

/** Gradients of sum(weights * op(inputs)) by the tape, and by central differences of `oracle` in float64. */
function compare(
  shapes: readonly (readonly number[])[],
  inputs: Values,
  op: (...tensors: Tensor[]) => Tensor,
  oracle: (...values: (readonly number[])[]) => readonly number[],
): void {
  const tensors = inputs.map((values, i) => Tensor.persistent(shapes[i]!, Float32Array.from(values), true));
  const exact = tensors.map(({ data }) => [...data]);
  const weights = [...normals(exact[0]!.length, 'weights')];
  const { value, tape } = Tape.record(() =>
    sum(mul(op(...tensors), Tensor.view(shapes[0]!, Float32Array.from(weights)))),
  );
  const loss = (values: Values): number =>
    oracle(...values).reduce((total, y, i) => total + weights[i]! * y, 0);
  expect(value.data[0]).toBeCloseTo(loss(exact), 4);
  tape.backward(value);
  tensors.forEach((tensor, which) => {
    exact[which]!.forEach((at, i) => {
      const step = 1e-6;
      const moved = (by: number): number =>
        loss(exact.map((values, w) => (w === which ? values.with(i, at + by) : values)));
      const wanted = (moved(step) - moved(-step)) / (2 * step);
      expect(Math.abs(tensor.gradient![i]! - wanted), `input ${which}, value ${i}`).toBeLessThan(
        1e-4 * (1 + Math.abs(wanted)),
      );
    });
    tensor.dispose();
  });
}

describe('RPReLU', () => {
  const prelu = (
    x: readonly number[],
    gamma: readonly number[],
    slope: readonly number[],
    zeta: readonly number[],
  ) =>
    x.map((value, i) => {
      const c = i % gamma.length;
      const u = value - gamma[c]!;
      return (u > 0 ? u : slope[c]! * u) + zeta[c]!;
    });

  it('is PReLU(x - gamma) + zeta, with its gradients', () => {
    const inputs = [normals(24, 'x'), normals(3, 'gamma'), normals(3, 'slope'), normals(3, 'zeta')].map(
      (v) => [...v],
    );
    compare([[2, 2, 2, 3], [3], [3], [3]], inputs, (x, g, s, z) => rprelu(x!, g!, s!, z!), prelu);
  });

  it('begins as a leaky ReLU; with slope 1 and no offsets it is the identity, with slope 0 ReLU', () => {
    const activation = new RPRelu('a', 3);
    const x = Tensor.view([8, 3], normals(24, 'x'));
    const values = (): Float32Array => tidy(() => activation.forward(x)).data;
    expect([...values()]).toEqual([...x.data].map((v) => (v > 0 ? v : 0.25 * v)));
    const slope = activation.parameters[1]!.tensor;
    slope.data.fill(1);
    expect(values()).toEqual(x.data);
    slope.data.fill(0);
    expect([...values()].map(Math.abs)).toEqual([...tidy(() => relu(x)).data].map(Math.abs));
  });
});

describe('the power activation', () => {
  it.each([0.6, 1, 1.7])('is sign(x) |x|^%d, with its gradients', (alpha) => {
    const x = [...normals(20, 'power')].map((v) => (Math.abs(v) < 0.05 ? 0.3 : v));
    compare(
      [[5, 4], [1]],
      [x, [alpha]],
      (t, a) => power(t!, a!),
      (values, [a]) => values.map((v) => Math.sign(v) * Math.abs(v) ** a!),
    );
  });

  it('begins as the identity, to the bit, and has finite gradients at zero', () => {
    const activation = new PowerActivation('p');
    const x = Tensor.persistent([3], [0, -2.5, 1e-30], true);
    expect(tidy(() => activation.forward(x)).data).toEqual(x.data);
    activation.parameters[0]!.tensor.data[0] = 0.5;
    const { value, tape } = Tape.record(() => sum(activation.forward(x)));
    tape.backward(value);
    expect(x.gradient!.every(Number.isFinite)).toBe(true);
    expect(Number.isFinite(activation.parameters[0]!.tensor.gradient![0])).toBe(true);
    x.dispose();
  });
});
