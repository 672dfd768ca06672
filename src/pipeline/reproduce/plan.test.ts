import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { checkConfig } from '../config/config.js';
import { trainConfigSchema } from '../jobs/train-request.js';
import { configOf, fullPlan, requireSamePlan, scaledPlan, shortenings, type Speed } from './plan.js';
import { chosenEntries, fullEpochs } from './recipe.js';
import { listRecipes, recipeNamed } from './registry.js';

const cifar = recipeNamed('cifar10-resnet20');

describe('every recipe', () => {
  it.each(listRecipes().map((recipe) => [recipe.name, recipe] as const))(
    '%s has entries that can be trained and told apart',
    (_, recipe) => {
      const names = recipe.entries.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      expect(names).toContain(recipe.baseline);
      const plan = fullPlan(recipe, { seeds: 1, data: recipe.data ?? 'mnist' });
      recipe.entries.forEach((entry, i) => {
        expect(fullEpochs(recipe, entry)).toBeGreaterThan(0);
        if (entry.published !== undefined) {
          expect(entry.published.accuracy).toBeGreaterThan(0.5);
          expect(entry.published.accuracy).toBeLessThan(1);
        }
        if (entry.teacher !== undefined) expect(names.slice(0, i)).toContain(entry.teacher);
        const config = checkConfig(
          trainConfigSchema,
          configOf(recipe, entry, plan, 3, (name) => `out/${name}`),
          recipe.name,
        );
        expect(config.seed).toBe(3);
        expect(config.retrain.epochs).toBe(fullEpochs(recipe, entry));
      });
    },
  );
});

describe('what differs from the recipe', () => {
  it('is said: more epochs and other data too', () => {
    const lenet = recipeNamed('addernet-lenet5');
    const plan = fullPlan(lenet, { seeds: 1, epochs: 100, data: 'idx:fashion' });
    expect(shortenings(lenet, plan).join('; ')).toMatch(
      /100 instead of 50 epochs .*idx:fashion in the place of MNIST/,
    );
    expect(shortenings(lenet, fullPlan(lenet, { seeds: 1 }))).toEqual([]);
  });
});

describe('the entries of a plan', () => {
  it('bring their teachers along, before them', () => {
    expect(chosenEntries(cifar, ['add-kd']).map(({ name }) => name)).toEqual(['conv', 'add-kd']);
    expect(chosenEntries(cifar, undefined)).toBe(cifar.entries);
    expect(() => chosenEntries(cifar, ['cnov'])).toThrow(
      /'cnov' is no entry of cifar10-resnet20; it has conv/,
    );
  });

  it('need data where the recipe knows none', () => {
    expect(() => fullPlan(cifar, { seeds: 1 })).toThrow(/needs CIFAR-10: give it by --data/);
    expect(() => recipeNamed('nothing')).toThrow(OptionError);
  });
});

describe('a time budget', () => {
  const plan = fullPlan(cifar, { seeds: 3, data: 'cifar10:x', only: ['conv', 'add'] });
  const speeds = (conv: number, add: number): ReadonlyMap<string, Speed> =>
    new Map([
      ['conv', { secondsPerStep: conv, batchSize: 128, trainImages: 45_000 }],
      ['add', { secondsPerStep: add, batchSize: 128, trainImages: 45_000 }],
    ]);
  /** Minutes of one seed at full length: 15 epochs of 351 steps each. */
  const minutes = (conv: number, add: number): number => (15 * 351 * (conv + add)) / 60;

  it('leaves a plan that fits as it is', () => {
    const scaled = scaledPlan(plan, 4 * minutes(0.1, 0.2), speeds(0.1, 0.2));
    expect(scaled).toMatchObject({ ...plan, budgetMinutes: 4 * minutes(0.1, 0.2) });
    expect(shortenings(cifar, scaled)).toEqual([`2 of its ${cifar.entries.length} entries`]);
  });

  it('takes seeds away first, then epochs of all entries alike, then images', () => {
    const one = minutes(0.1, 0.2);
    expect(scaledPlan(plan, 2.5 * one, speeds(0.1, 0.2)).seeds).toEqual([1, 2]);
    const half = scaledPlan(plan, 0.6 * one, speeds(0.1, 0.2));
    expect(half.seeds).toEqual([1]);
    expect(half.epochs).toEqual({ conv: 8, add: 8 });
    expect(half.limitTrain).toBeUndefined();
    const short = scaledPlan(plan, 0.04 * one, speeds(0.1, 0.2));
    expect(short.epochs).toEqual({ conv: 1, add: 1 });
    expect(short.limitTrain).toBe(Math.floor((351 * 0.04 * 0.9) / (1 / 15)) * 128);
    expect(shortenings(cifar, short)).toContain(`at most ${short.limitTrain} training images`);
  });

  it('never plans more than the budget, or says how much is needed', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.001, max: 2, noNaN: true }),
        fc.double({ min: 0.001, max: 2, noNaN: true }),
        fc.double({ min: 0.1, max: 5000, noNaN: true }),
        (conv, add, budget) => {
          let scaled;
          try {
            scaled = scaledPlan(plan, budget, speeds(conv, add));
          } catch (error) {
            expect(error).toBeInstanceOf(OptionError);
            const needed = Number(/takes about ([\d.]+) minutes/.exec((error as Error).message)![1]);
            expect(needed).toBeGreaterThan(0.9 * budget);
            return;
          }
          const steps = Math.floor(Math.min(45_000, scaled.limitTrain ?? Infinity) / 128);
          const seconds =
            scaled.seeds.length * steps * (scaled.epochs['conv']! * conv + scaled.epochs['add']! * add);
          expect(seconds).toBeLessThanOrEqual(60 * budget);
        },
      ),
    );
  });

  it('is the folder’s own: another machine’s speed changes nothing, other options are refused', () => {
    const held = scaledPlan(plan, 10, speeds(0.1, 0.2));
    requireSamePlan(held, { ...plan, budgetMinutes: 10 }, 'out');
    expect(() => requireSamePlan(held, { ...plan, budgetMinutes: 11 }, 'out')).toThrow(OptionError);
    const fewer = { ...plan, seeds: [1], budgetMinutes: 10 };
    expect(() => requireSamePlan(held, fewer, 'out')).toThrow(OptionError);
    expect(() => requireSamePlan(held, { ...plan, limitTrain: 640, budgetMinutes: 10 }, 'out')).toThrow(
      OptionError,
    );
    expect(() => requireSamePlan(plan, { ...plan, seeds: [1] }, 'out')).toThrow(/out holds a reproduction/);
  });
});
