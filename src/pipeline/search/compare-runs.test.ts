import { describe, expect, it } from 'vitest';
import { hypervolume } from '../../search/hypervolume.js';
import { madeUpRun } from './compare-runs.cases.js';
import { compareRuns, familiesText } from './compare-runs.js';

const hybrid = madeUpRun(
  'hybrid',
  ['conv', 'add'],
  [
    { name: 'hybrid', families: ['conv', 'add'], energyMj: 3, accuracies: [0.8, 0.82] },
    { name: 'front-1', families: ['conv', 'add'], energyMj: 2, accuracies: [0.7, 0.72] },
    { name: 'front-2', families: ['add'], energyMj: 2.5, accuracies: [0.6, 0.62] },
    { name: 'all-conv', families: ['conv'], energyMj: 5, accuracies: [0.9, 0.92] },
    { name: 'all-add', families: ['add'], energyMj: 4, accuracies: [0.75, 0.77] },
  ],
);
const add = madeUpRun(
  'add',
  ['add'],
  [
    { name: 'hybrid', families: ['add'], energyMj: 2.8, accuracies: [0.76, 0.8] },
    { name: 'front-1', families: ['add'], energyMj: 1, accuracies: [0.5, 0.5] },
  ],
);

describe('a comparison of runs', () => {
  const comparison = compareRuns([hybrid, add]);

  it('takes the hypervolume of what the searches found under a common reference point', () => {
    // A tenth of the range beyond the worst: errors 0.5 to 0.19, energies 1 to 3.
    expect(comparison.reference[0]).toBeCloseTo(0.5 + 0.1 * 0.31, 12);
    expect(comparison.reference[1]).toBeCloseTo(3.2, 12);
    const of = (points: readonly (readonly number[])[]): number => hypervolume(points, comparison.reference);
    const [first, second] = comparison.runs;
    expect(first!.hypervolume).toBeCloseTo(
      of([
        [0.19, 3],
        [0.29, 2],
      ]),
      12,
    );
    expect(first!.hypervolumeBySeed[1]).toBeCloseTo(
      of([
        [0.18, 3],
        [0.28, 2],
      ]),
      12,
    );
    const [a, b] = first!.hypervolumeBySeed as [number, number];
    expect(first!.hypervolumeDeviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
    expect([first!.mixed, second!.mixed]).toEqual([true, false]);
    // What a mixed search found may be of one family.
    expect(first!.networks.map(familiesText)).toEqual(['add, conv', 'add alone', 'add, conv']);
    expect(second!.networks.map(({ network }) => network)).toEqual(['front-1', 'hybrid']);
    expect(first!.networks.map(({ network, onFront }) => [network, onFront])).toEqual([
      ['front-1', true],
      ['front-2', false],
      ['hybrid', true],
    ]);
  });

  it('holds the best network of each family against what mixed searches found at no more energy', () => {
    const [ofAdd, ofConv] = comparison.duels;
    expect(ofAdd!.best).toMatchObject({ run: 'add', network: 'hybrid', accuracy: 0.78 });
    // At 2.8 mJ the winner of the mixed run is too dear.
    expect(ofAdd!.rivals).toHaveLength(1);
    expect(ofAdd!.rivals[0]).toMatchObject({ run: 'hybrid', network: 'front-1', apart: true });
    expect(ofAdd!.rivals[0]!.ahead).toBeCloseTo(-0.07, 12);
    expect(ofConv!.best).toMatchObject({ run: 'hybrid', network: 'all-conv' });
    expect(ofConv!.rivals[0]).toMatchObject({ network: 'hybrid', apart: true });
  });

  it('does not call apart what overlaps, and says nothing of one seed', () => {
    const wide = madeUpRun(
      'wide',
      ['conv', 'add'],
      [{ name: 'hybrid', families: ['conv', 'add'], energyMj: 2, accuracies: [0.7, 0.9] }],
    );
    expect(compareRuns([wide, add]).duels[0]!.rivals[0]!.apart).toBe(false);
    const single = madeUpRun(
      'single',
      ['conv', 'add'],
      [{ name: 'hybrid', families: ['conv', 'add'], energyMj: 2, accuracies: [0.9] }],
    );
    const compared = compareRuns([single, add]);
    expect(compared.duels[0]!.rivals[0]!.apart).toBeNull();
    expect(compared.runs[0]).toMatchObject({ hypervolumeBySeed: [], hypervolumeDeviation: null });
  });

  it('names what else differs', () => {
    expect(compareRuns([hybrid, { ...add, config: { search: { strategy: 'nsga2' } } }]).differences).toEqual({
      'search.strategy': [null, 'nsga2'],
    });
    expect(comparison.differences).toEqual({});
  });

  it('refuses other data, schedules, techniques and profiles, and a single run', () => {
    const changed = (change: object): typeof add => ({ ...add, result: { ...add.result, ...change } });
    expect(() => compareRuns([hybrid])).toThrow('at least two');
    expect(() => compareRuns([hybrid, hybrid])).toThrow('named twice');
    expect(() =>
      compareRuns([hybrid, changed({ dataset: { ...add.result.dataset, fingerprint: 'other' } })]),
    ).toThrow('runs/add: the data set (its fingerprint) is other');
    expect(() => compareRuns([hybrid, changed({ schedule: { 'retrain.epochs': 9 } })])).toThrow(
      'runs/add: retrain.epochs is 9, in runs/hybrid it is 5',
    );
    expect(() => compareRuns([hybrid, { ...add, config: { techniques: { ema: {} } } }])).toThrow(
      'techniques',
    );
    expect(() => compareRuns([hybrid, changed({ profile: 'paper' })])).toThrow('--profile');
    expect(() => compareRuns([hybrid, add], 'edge')).toThrow("no energies under profile 'edge'");
    expect(compareRuns([hybrid, changed({ profile: 'paper' })], 'fair').profile).toBe('fair');
  });
});
