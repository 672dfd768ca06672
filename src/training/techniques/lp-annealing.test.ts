import { expect, it } from 'vitest';
import type { Parameter } from '../../nn/module.js';
import { Tensor } from '../../tensor/tensor.js';
import { exponentAt, exponentsOf, lpAnnealing } from './lp-annealing.js';

const settings = { start: 2, until: 0.75 };

it('falls on a straight line from 2 to 1, which it keeps from three quarters on', () => {
  const exponents = Array.from({ length: 400 }, (_, step) => exponentAt(settings, step, 400));
  exponents.forEach((p, step) => expect(p).toBeCloseTo(Math.max(1, 2 - step / 300), 12));
  expect(new Set(exponents.slice(300))).toEqual(new Set([1]));
  expect(exponentAt({ start: 2, until: 0 }, 0, 10)).toBe(1);
});

it('acts on tensors called exponent that are never trained, and on no others', () => {
  const parameter = (name: string, fixed: boolean): Parameter => ({
    name,
    tensor: Tensor.persistent([1], [7]),
    decay: false,
    ...(fixed && { fixed }),
  });
  const parameters = [
    parameter('a.exponent', true),
    parameter('b.exponent', false),
    parameter('exponent.weight', true),
  ];
  expect(exponentsOf(parameters).map(({ name }) => name)).toEqual(['a.exponent']);
  const technique = lpAnnealing(parameters, settings);
  const values = (): number[] => parameters.map(({ tensor }) => tensor.data[0]!);
  technique.beforeStep!({ step: 30, steps: 80, stepsPerEpoch: 10 });
  expect(values()).toEqual([1.5, 7, 7]);
  technique.finish!();
  expect(values()).toEqual([1, 7, 7]);
  for (const { tensor } of parameters) tensor.dispose();
});
