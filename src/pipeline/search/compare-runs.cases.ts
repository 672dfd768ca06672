/**
 * @file Finished runs made up for tests of their comparison: the numbers are given, the rest is the least there can be.
 */
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import type { ComparedRun } from './compare-runs.js';
import type { NetworkResult } from '../run/result.js';
import { withSeeds } from './retraining.js';

interface MadeUpNetwork {
  readonly name: string;
  /** Of its blocks in turn. */
  readonly families: readonly string[];
  readonly energyMj: number;
  /** On test, by seed. */
  readonly accuracies: readonly number[];
}

/** A run of that name over those families, with those retrained networks. */
export function madeUpRun(
  name: string,
  families: readonly string[],
  networks: readonly MadeUpNetwork[],
): ComparedRun {
  const space = createMiniSpace({ input: { height: 32, width: 32, channels: 3 }, classes: 10, families });
  return {
    path: `runs/${name}`,
    config: {},
    result: {
      format: 'shiftaddnas-result',
      version: 1,
      name,
      command: 'shiftaddnas search',
      seed: 1,
      startedAt: '2024-01-02T03:04:05.000Z',
      seconds: 1,
      phaseSeconds: {},
      versions: {},
      machine: { cpu: '', cores: 1, memoryGiB: 1, platform: '', device: '', threads: 1 },
      dataset: {
        name: 'made-up',
        spec: 'made-up',
        ...{ height: 32, width: 32, channels: 3 },
        classes: ['a', 'b'],
        ...{ trainImages: 100, searchValidationImages: 10, testImages: 10 },
        fingerprint: 'same',
        notices: [],
      },
      space: { name: 'mini', size: '1', families },
      profile: 'fair',
      profiles: ['fair'],
      budget: [],
      schedule: { 'retrain.epochs': 5 },
      search: { generations: 1, evaluated: 10, bestGenome: [], bestSearchValidationAccuracy: 0.5 },
      networks: networks.map((network) => madeUpNetwork(space, network)),
    },
  };
}

function madeUpNetwork(
  space: ReturnType<typeof createMiniSpace>,
  { name, families, energyMj, accuracies }: MadeUpNetwork,
): NetworkResult {
  const architecture = space.architecture(uniformGenome(space, families[0]!));
  const blocks = architecture.blocks.map((block, at) => ({
    ...block,
    family: families[at % families.length]!,
  }));
  const retraining = (testAccuracy: number, at: number) => ({
    seed: 1 + at,
    ...{ testAccuracy, searchValidationAccuracy: testAccuracy, trainSeconds: 1 },
  });
  const [first, ...further] = accuracies.map(retraining);
  const result: NetworkResult = {
    name,
    testAccuracy: first!.testAccuracy,
    searchValidationAccuracy: first!.testAccuracy,
    energyMj: { fair: energyMj },
    latencyMs: { fair: 1 },
    ...{ macs: 1, params: 1, withinBudget: true, trainSeconds: 1 },
    architecture: { ...architecture, blocks },
    layers: {},
    weightHistograms: [],
  };
  return withSeeds(result, 1, further);
}
