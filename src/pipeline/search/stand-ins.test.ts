import { expect, it } from 'vitest';
import { createHytraCifar } from '../../spaces/hytra/space.js';
import { uniformGenome } from '../../spaces/landmarks.js';
import { createMiniSpace } from '../../spaces/mini/space.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { madeUpRun } from './compare-runs.cases.js';
import { standInNotes } from './stand-ins.js';

function notesOf(space: SearchSpace, baselines: Readonly<Record<string, string>>): readonly string[] {
  const made = { families: ['conv'], energyMj: 1, accuracies: [0.5] };
  const names = ['hybrid', ...Object.keys(baselines)];
  const { result } = madeUpRun(
    'run',
    space.families,
    names.map((name) => ({ name, ...made })),
  );
  const networks = result.networks.map((network) => ({
    ...network,
    architecture: space.architecture(uniformGenome(space, baselines[network.name] ?? 'conv')),
  }));
  return standInNotes({ ...result, networks });
}

it('the last stage of hytra has neither shift nor add, and the widest have no attention', () => {
  const space = createHytraCifar({ layers: 5, stageChannels: [8, 8, 16, 16] });
  const baselines = { 'all-conv': 'conv', 'all-shift': 'pot.q', 'all-attention': 'attention' };
  // Splits 1-1-1-2 alone.
  expect(notesOf(space, baselines)).toEqual([
    'all-shift: 2 of 5 blocks are conv, because the space offers no shift there',
    'all-attention: 2 of 5 blocks are conv, because the space offers no attention there',
  ]);
});

it('mini offers every family everywhere', () => {
  const space = createMiniSpace({ input: { height: 16, width: 16, channels: 1 }, classes: 4 });
  expect(notesOf(space, { 'all-conv': 'conv', 'all-shift': 'pot.q', 'all-add': 'add' })).toEqual([]);
});
