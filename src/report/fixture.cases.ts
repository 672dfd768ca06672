/**
 * @file A complete run made up for the report's tests: the shapes are real (a `mini` space), the numbers are invented
 * by formulas and mean nothing.
 */
import { Random } from '../base/random.js';
import type {
  CandidateEvent,
  LayerCostRecord,
  NetworkResult,
  RunEvent,
  RunResult,
  TrainingEvent,
  WeightHistogram,
} from '../pipeline/run/result.js';
import type { Architecture } from '../spaces/architecture.js';
import { operationTotal, parameterCount, planLayers, scaleWidths } from '../spaces/layers.js';
import { createMiniSpace, uniformGenome } from '../spaces/mini/space.js';

export const madeUpSpace = createMiniSpace({
  input: { height: 28, width: 28, channels: 1 },
  classes: 10,
});

export const madeUpFamilies = [
  { name: 'conv', title: 'Convolution', colour: '#3b6fb6' },
  { name: 'pot.q', title: 'Shift (DeepShift-Q, 5 bit)', colour: '#d98f1f' },
  { name: 'add', title: 'Add (AdderNet)', colour: '#2f8f6b' },
];

const profiles = ['fair', 'paper', 'edge'];
const time = '2024-01-02T03:04:05.000Z';

/** Invented energy of one operation, mJ, by family and profile. */
function madeUpPrice(family: string, profile: number): number {
  const base = family === 'conv' ? 4.2e-9 : family === 'add' ? 3.1e-9 : 2.2e-9;
  return base * [1, 0.7, 1.9][profile]!;
}

function madeUpLayers(architecture: Architecture, profile: number): readonly LayerCostRecord[] {
  return planLayers(architecture).map((layer) => {
    const { outHeight, outWidth, outChannels, inChannels, kernel } = layer;
    const operations = outHeight * outWidth * outChannels * inChannels * kernel * kernel;
    const energyMj = operations * madeUpPrice(layer.family, profile) + 1e-5;
    const shares = [0.14, 0.12, 0.12, 0.06, 0.56];
    const [compute, dram, buffer, noc, file] = shares.map((share) => share * energyMj);
    return {
      name: layer.name,
      family: layer.family,
      operations,
      energyMj,
      latencyMs: operations * 4e-8,
      computeMj: compute!,
      dramMj: dram!,
      globalBufferMj: buffer!,
      nocMj: noc!,
      registerFileMj: file!,
    };
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function madeUpHistogram(family: string): WeightHistogram {
  const edges = Array.from({ length: 61 }, (_, at) => -0.6 + at * 0.02);
  const counts = edges.slice(1).map((edge) => {
    const middle = edge - 0.01;
    const density =
      family === 'add' ? Math.exp(-Math.abs(middle) / 0.08) : Math.exp(-((middle / 0.15) ** 2) / 2);
    return Math.round(4000 * density);
  });
  return { family, edges, counts };
}

function madeUpNetwork(name: string, architecture: Architecture, testAccuracy: number): NetworkResult {
  const layers = Object.fromEntries(profiles.map((profile, at) => [profile, madeUpLayers(architecture, at)]));
  const total = (quantity: 'energyMj' | 'latencyMs'): Record<string, number> =>
    Object.fromEntries(
      profiles.map((profile) => [profile, sum(layers[profile]!.map((layer) => layer[quantity]))]),
    );
  const families = [
    ...new Set(architecture.blocks.flatMap(({ family }) => (family === undefined ? [] : [family]))),
  ];
  return {
    name,
    testAccuracy,
    searchValidationAccuracy: testAccuracy - 0.003,
    energyMj: total('energyMj'),
    latencyMs: total('latencyMs'),
    macs: operationTotal(architecture),
    params: parameterCount(architecture),
    withinBudget: total('energyMj')['fair']! <= madeUpBudgetMj,
    trainSeconds: 212.4,
    architecture,
    layers,
    weightHistograms: families.map(madeUpHistogram),
  };
}

const allConv = madeUpSpace.architecture(uniformGenome(madeUpSpace, 'conv'));
const madeUpBudgetMj = 0.7 * sum(madeUpLayers(allConv, 0).map(({ energyMj }) => energyMj));

/** A result with five networks under three profiles. */
export function madeUpResult(changes: Partial<RunResult> = {}): RunResult {
  const uniform = (family: string): Architecture =>
    madeUpSpace.architecture(uniformGenome(madeUpSpace, family));
  const bestGenome = [6, 0, 3, 4, 2, 6].map((gene, at) => gene % madeUpSpace.optionCounts[at]!);
  return {
    format: 'shiftaddnas-result',
    version: 1,
    name: 'mnist-quick-1',
    command: 'shiftaddnas search --preset mnist-quick --seed 1',
    seed: 1,
    startedAt: time,
    seconds: 1873.2,
    phaseSeconds: { supernet: 612.7, search: 141.3, retrain: 1119.2 },
    versions: { shiftaddnas: '0.1.0', node: 'v20.20.2' },
    machine: {
      cpu: 'A processor with a fairly long name @ 2.60GHz',
      cores: 2,
      memoryGiB: 15.6,
      platform: 'linux x64',
      device: 'native avx512',
      threads: 2,
    },
    dataset: {
      name: 'MNIST',
      spec: 'mnist',
      height: 28,
      width: 28,
      channels: 1,
      classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
      trainImages: 54000,
      searchValidationImages: 6000,
      testImages: 10000,
      fingerprint: 'sha256:5f1d0c9a6a0b4f0e8a1d2c3b4a5968778695a4b3c2d1e0f',
      notices: ['The packaged copy of MNIST holds 8 images fewer than the original.'],
    },
    space: { name: 'mini', size: String(madeUpSpace.size), families: ['conv', 'pot.q', 'add'] },
    profile: 'fair',
    profiles,
    budget: [{ quantity: 'energyMj', limit: madeUpBudgetMj }],
    schedule: { epochs: 3, batchSize: 64, learningRate: 0.05, optimiser: 'SGD with Nesterov momentum' },
    supernet: {
      map: 'transport',
      distribution: 'none',
      steps: 1000,
      passes: 1000,
      weights: 70_000,
      families: ['conv', 'pot.q', 'add'].map((family) => ({
        ...madeUpHistogram(family),
        weights: 23_000,
        excessKurtosis: family === 'add' ? 2.9 : 0.1,
        gaussianDistance: family === 'add' ? 0.06 : 0.01,
        laplacianDistance: family === 'add' ? 0.01 : 0.06,
      })),
    },
    search: { generations: 20, evaluated: 600, bestGenome, bestSearchValidationAccuracy: 0.979 },
    networks: [
      madeUpNetwork('hybrid', madeUpSpace.architecture(bestGenome), 0.9874),
      madeUpNetwork('all-conv', allConv, 0.9902),
      madeUpNetwork('all-shift', uniform('pot.q'), 0.9861),
      madeUpNetwork('all-add', uniform('add'), 0.9838),
      madeUpNetwork('conv-scaled', scaleWidths(allConv, 0.75), 0.9882),
    ],
    ...changes,
  };
}

/** Invented evaluations of random genomes that get better with the generation. */
export function madeUpCandidates(count: number, generations = 20): readonly CandidateEvent[] {
  const random = Random.stream(7, 'report fixture');
  return Array.from({ length: count }, (_, at): CandidateEvent => {
    const generation = Math.floor((at * generations) / count);
    const genome = madeUpSpace.sample(random);
    const architecture = madeUpSpace.architecture(genome);
    const layers = madeUpLayers(architecture, 0);
    const energyMj = sum(layers.map((layer) => layer.energyMj));
    const quality =
      0.9 + 0.06 * Math.min(1, energyMj / madeUpBudgetMj) ** 0.5 + 0.018 * (generation / generations);
    const accuracy =
      random.uniform() < 0.03 ? 0.1 + 0.5 * random.uniform() : quality + 0.012 * (random.uniform() - 0.5);
    return {
      type: 'candidate',
      time,
      generation,
      genome,
      origin: generation === 0 ? 'random' : at % 2 === 0 ? 'mutation' : 'crossover',
      accuracy,
      energyMj,
      latencyMs: sum(layers.map((layer) => layer.latencyMs)),
      macs: operationTotal(architecture),
      params: parameterCount(architecture),
    };
  }).filter(({ generation, energyMj }) => generation === 0 || energyMj <= 1.1 * madeUpBudgetMj);
}

function madeUpTraining(phase: string, floor: number): readonly TrainingEvent[] {
  const random = Random.stream(8, phase);
  return Array.from({ length: 200 }, (_, at): TrainingEvent => {
    const loss = floor + 2.2 * Math.exp(-at / 25) + 0.05 * random.uniform();
    return {
      type: 'training',
      time,
      phase,
      epoch: Math.floor(at / 67),
      step: at * 10,
      loss,
      accuracy: Math.min(1, Math.exp(-loss)),
      learningRate: 0.05,
    };
  });
}

/** The whole event log of the run. */
export function madeUpEvents(candidates = 600): readonly RunEvent[] {
  return [
    { type: 'phase', time, phase: 'supernet', state: 'started' },
    ...madeUpTraining('supernet', 0.1),
    { type: 'phase', time, phase: 'supernet', state: 'finished' },
    ...madeUpCandidates(candidates),
    ...madeUpResult().networks.flatMap(({ name }, at) => madeUpTraining(`retrain:${name}`, 0.03 + 0.01 * at)),
    { type: 'notice', time, message: 'The run was resumed once.' },
  ];
}
