import { expect, it } from 'vitest';
import { relativeError } from '../../tensor/float64.cases.js';
import { stateNow, toyNetwork, toyOptions, toySchedule, traineeOf } from '../toy.cases.js';
import { train } from '../train.js';
import { averagedWeights, keptShare } from './averaged-weights.js';

it('forgets the start fast, then keeps its decay', () => {
  expect([0, 1, 8].map((step) => keptShare(0.999, step))).toEqual([0.1, 2 / 11, 0.5]);
  expect(keptShare(0.999, 1e6)).toBe(0.999);
  expect(keptShare(0.9, 81)).toBe(0.9);
});

it('ends with the exponential average of what plain training went through, statistics included', () => {
  const network = toyNetwork();
  const oracle = new Map([...stateNow(network)].map(([name, { data }]) => [name, Float64Array.from(data)]));
  let step = 0;
  const averaged = toyNetwork();
  train(traineeOf(averaged), toyOptions({ techniques: [averagedWeights(averaged, 0.6)] }));
  const plain = traineeOf(network);
  train(
    {
      ...plain,
      afterStep: () => {
        plain.afterStep?.();
        const kept = Math.min(0.6, (1 + step) / (10 + step));
        for (const [name, { data }] of stateNow(network)) {
          const average = oracle.get(name)!;
          average.forEach((held, i) => (average[i] = kept * held + (1 - kept) * data[i]!));
        }
        step++;
      },
    },
    toyOptions(),
  );
  expect(step).toBe(toySchedule.epochs * 4);
  for (const [name, { data }] of stateNow(averaged))
    expect(relativeError(data, oracle.get(name)!), name).toBeLessThan(1e-5);
  network.dispose();
  averaged.dispose();
});
