import { describe, expect, it } from 'vitest';
import type { Parameter } from '../nn/module.js';
import { normals, relativeError } from '../tensor/float64.cases.js';
import { Tensor } from '../tensor/tensor.js';
import { createOptimiser, isOptimiserState } from './optimiser.js';
import { RAdam, rectification } from './radam.js';

const settings = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 };

function parameter(values: Float32Array, rest: Partial<Parameter> = {}): Parameter {
  return { name: 'p', tensor: Tensor.persistent([values.length], values, true), decay: false, ...rest };
}

function setGradient(at: Parameter, values: Float32Array): void {
  at.tensor.gradient = Tensor.persistent([values.length], values).data;
}

describe('RAdam', () => {
  it.each([0.9, 0.99, 0.999])('rectifies as the paper derives it, beta2 %d', (beta2) => {
    // rho_t by its definition: 2 / (1 - beta2) - 1 less twice the mean age under the truncated geometric weights.
    const limit = 2 / (1 - beta2) - 1;
    let rectified = 0;
    for (let step = 1; step <= 2000; step++) {
      const rho = limit - (2 * step * beta2 ** step) / (1 - beta2 ** step);
      const variance = (length: number): number => (2 * length) / ((length - 2) * (length - 4) * 4);
      const scale = rectification(beta2, step);
      expect(scale === undefined).toBe(rho < 5);
      // r_t is the root of the ratio of the (approximate) variances of the divisor, in the long run and now.
      if (scale !== undefined) {
        expect(scale).toBeCloseTo(Math.sqrt(variance(limit) / variance(rho)), 10);
        expect(scale).toBeGreaterThanOrEqual(rectified);
        rectified = scale;
      }
    }
    expect(rectification(0.999, 5)).toBeUndefined();
    // rho_6 = 5.99 by hand: sqrt(1.99 * 3.99 * 1999 / (1995 * 1997 * 5.99)).
    expect(rectification(0.999, 6)).toBeCloseTo(0.0258, 4);
  });

  it('follows a plain recurrence in float64 through both regimes; decay only where it is due', () => {
    const start = normals(10, 'w');
    for (const decay of [true, false]) {
      const at = parameter(start, { decay });
      const radam = new RAdam([at], settings);
      const [w, m, v] = [Float64Array.from(start), new Float64Array(10), new Float64Array(10)];
      let plain = 0;
      for (let step = 1; step <= 40; step++) {
        const gradient = normals(10, 'g', step);
        setGradient(at, gradient);
        radam.step(0.1, () => 0.5);
        const scale = rectification(0.99, step);
        if (scale === undefined) plain++;
        for (let i = 0; i < 10; i++) {
          const g = 0.5 * gradient[i]!;
          m[i] = 0.9 * m[i]! + 0.1 * g;
          v[i] = 0.99 * v[i]! + 0.01 * g * g;
          const mean = m[i]! / (1 - 0.9 ** step);
          const size = Math.sqrt(v[i]! / (1 - 0.99 ** step)) + 1e-8;
          w[i] =
            w[i]! * (1 - (decay ? 0.01 : 0)) - 0.1 * (scale === undefined ? mean : (scale * mean) / size);
        }
        expect(at.tensor.gradient).toBeUndefined();
      }
      expect(plain).toBe(5);
      expect(relativeError(at.tensor.data, w)).toBeLessThan(2e-6);
      expect(relativeError(radam.state.get('radam.mean:p')!.data, m)).toBeLessThan(1e-6);
      expect(relativeError(radam.state.get('radam.square:p')!.data, v)).toBeLessThan(1e-6);
      expect([...radam.state.get('radam.steps:p')!.data]).toEqual([40]);
      at.tensor.dispose();
      radam.dispose();
    }
  });

  it('counts the steps of each parameter by itself and leaves one without gradient alone', () => {
    const [used, rare] = [parameter(normals(3, 'u')), parameter(normals(3, 'r'), { name: 'q', decay: true })];
    const radam = new RAdam([used, rare], settings);
    const before = rare.tensor.data.slice();
    for (let step = 0; step < 8; step++) {
      setGradient(used, normals(3, 'g', step));
      radam.step(0.1);
    }
    expect(rare.tensor.data).toEqual(before);
    const alone = parameter(before, { name: 'q', decay: true });
    const other = new RAdam([alone], settings);
    setGradient(rare, normals(3, 'late'));
    setGradient(used, normals(3, 'late'));
    radam.step(0.1);
    setGradient(alone, normals(3, 'late'));
    other.step(0.1);
    expect(rare.tensor.data).toEqual(alone.tensor.data);
    for (const each of [used, rare, alone]) each.tensor.dispose();
    radam.dispose();
    other.dispose();
  });

  it('is made by name, and checkpoints know its memory', () => {
    const at = parameter(normals(2, 'w'));
    const radam = createOptimiser([at], { optimiser: 'radam', ...settings });
    expect(radam).toBeInstanceOf(RAdam);
    expect([...radam.state.keys()]).toEqual(['radam.mean:p', 'radam.square:p', 'radam.steps:p']);
    expect([...radam.state.keys()].every(isOptimiserState)).toBe(true);
    expect(() => createOptimiser([], { optimiser: 'radam', ...settings, beta1: 1 })).toThrow(
      'beta1 1 is not',
    );
    at.tensor.dispose();
    radam.dispose();
  });
});
